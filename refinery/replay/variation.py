"""What is to be different in a counterfactual replay: a model, its parameters, a prompt, a value.

A variation says what changes and where. What it does to a request on the wire is in `varying`;
what it does to recorded inputs and results is here, in `changed_tape`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from refinery.errors import InputError
from refinery.model import codec
from refinery.model.trace import Json, Run, RunKind, Trace
from refinery.model.walk import of_kind
from refinery.replay import canonical
from refinery.replay.exchange import ModelReply
from refinery.replay.json_paths import put
from refinery.replay.tape import RecordedCall, RecordedResult, Tape

MAX_CELLS = 64
"""Most variations of one matrix; chosen by us: each is a whole replay."""
MIN_PREFIX = 4
"""Shortest beginning of a run id that names a step."""
_VENDORS = ("openai", "anthropic")
_SETTING = re.compile(
    r"(?P<step>.+?)\.(?P<side>input|output)s?(?:\.(?P<path>[^=]*))?=(?P<value>.*)", re.DOTALL
)
_HINT = "write STEP.input.PATH=VALUE or STEP.output.PATH=VALUE; STEP is root, a run id or a name"


@dataclass(frozen=True, slots=True)
class Setting:
    """One recorded value that is replaced."""

    step: str
    """`root`, a run id, the beginning of one, or a name."""
    side: str
    """`input` or `output`."""
    path: tuple[str, ...]
    """Inside the step's inputs or outputs; empty: the whole value."""
    value: Json

    def __str__(self) -> str:
        """The form of the command line."""
        where = ".".join((self.step, self.side, *self.path))
        return f"{where}={json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Variation:
    """What is different in one replay; a field that is None stays as recorded."""

    model: str | None = None
    """As sent in the request."""
    vendor: str | None = None
    """`openai` or `anthropic` when the model was named with it."""
    temperature: float | None = None
    max_tokens: int | None = None
    prompt: str | None = field(default=None, repr=False)
    """Text of the system prompt, or a template with `{name}` places."""
    prompt_name: str | None = None
    """What the prompt is called in tables, e.g. its file."""
    settings: tuple[Setting, ...] = ()
    at: str | None = None
    """Id of the only model step whose request is changed; None: see `start`."""
    start: str | None = None
    """Id of the model step from which on requests are changed; None: from the first."""

    @property
    def changes_requests(self) -> bool:
        """Whether model requests are changed before they are looked up."""
        named = (self.model, self.temperature, self.max_tokens, self.prompt)
        return any(value is not None for value in named)

    @property
    def label(self) -> str:
        """What a person calls it, e.g. `model small-2, temperature 1`."""
        parts = [f"model {self.model}"] if self.model is not None else []
        parts += [f"temperature {self.temperature:g}"] if self.temperature is not None else []
        parts += [f"max tokens {self.max_tokens}"] if self.max_tokens is not None else []
        parts += [f"prompt {self.prompt_name or 'given'}"] if self.prompt is not None else []
        parts += [_short(str(setting)) for setting in self.settings]
        return ", ".join(parts) or "nothing"

    def to_json(self) -> dict[str, Json]:
        """What is different, as JSON; fields that stay as recorded are left out."""
        told: dict[str, Json] = codec.encode(self)
        told["settings"] = [str(setting) for setting in self.settings]
        return {name: value for name, value in told.items() if value not in (None, [])}


@dataclass(frozen=True, slots=True)
class Matrix:
    """Values to be combined, each with each; an empty tuple leaves a field as recorded."""

    models: tuple[str, ...] = ()
    """`model`, or `openai:model` and `anthropic:model`."""
    temperatures: tuple[float, ...] = ()
    max_tokens: tuple[int, ...] = ()
    prompts: tuple[tuple[str, str], ...] = ()
    """Name and text of each."""
    settings: tuple[str, ...] = ()
    """As written on the command line; all of them hold in every variation."""


def combined(matrix: Matrix) -> tuple[Variation, ...]:
    """Every combination of the values, the last field changing fastest.

    Raises:
        InputError: a setting cannot be read, or there are more than `MAX_CELLS` combinations.
    """
    settings = tuple(parse_setting(text) for text in matrix.settings)
    axes: list[Sequence[Any]] = [
        matrix.models or (None,),
        matrix.temperatures or (None,),
        matrix.max_tokens or (None,),
        matrix.prompts or (None,),
    ]
    found = []
    for model, temperature, tokens, prompt in product(*axes):
        vendor, name = split_model(model) if model is not None else (None, None)
        named, text = prompt or (None, None)
        found.append(Variation(name, vendor, temperature, tokens, text, named, settings))
        if len(found) > MAX_CELLS:
            raise InputError(
                f"more than {MAX_CELLS} variations", hint="try fewer values in one command"
            )
    return tuple(found)


def split_model(text: str) -> tuple[str | None, str]:
    """Vendor and name of a model; a name may hold colons, only known vendors count.

    Raises:
        InputError: there is no name.
    """
    vendor, _, name = text.partition(":")
    found = (vendor, name.strip()) if vendor in _VENDORS else (None, text.strip())
    if not found[1]:
        raise InputError(f"{text!r} names no model", hint="e.g. --model gpt-5-mini")
    return found


def parse_setting(text: str) -> Setting:
    """Read `STEP.input.PATH=VALUE`; the value is JSON, or text when it is not JSON.

    Raises:
        InputError: the text has another form.
    """
    match = _SETTING.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} sets nothing", hint=_HINT)
    path = tuple(part for part in (match["path"] or "").split(".") if part)
    try:
        value: Json = json.loads(match["value"])
    except (ValueError, RecursionError):
        value = match["value"]
    return Setting(match["step"], match["side"], path, value)


def find_step(trace: Trace, text: str, *kinds: RunKind) -> Run:
    """The run a person means: `root`, an id, the beginning of one, a name, or `name#2`.

    Args:
        trace: where to look.
        text: what the person wrote.
        kinds: only runs of these kinds; none: any.

    Raises:
        InputError: no run or several runs fit; the hint lists what there is.
    """
    runs = of_kind(trace, *kinds) if kinds else trace.runs
    if text == "root" and trace.root is not None and (not kinds or trace.root in runs):
        return trace.root
    name, _, number = text.rpartition("#")
    if name and number.isdecimal():
        named = [run for run in runs if run.name == name]
        if 0 < int(number) <= len(named):
            return named[int(number) - 1]
    fitting = [run for run in runs if run.run_id == text]
    fitting = fitting or [run for run in runs if run.name == text]
    if not fitting and len(text) >= MIN_PREFIX:
        fitting = [run for run in runs if run.run_id.startswith(text)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{len(fitting)} steps are called {text!r}" if fitting else f"no step {text!r}"
    raise InputError(f"{what} in trace {trace.trace_id}", hint=_listed(fitting or runs))


def resolved(variation: Variation, trace: Trace) -> Variation:
    """The variation with its steps named by run id.

    Raises:
        InputError: a step is not there, is no model call, or has nothing that could be set.
    """
    at = find_step(trace, variation.at, RunKind.LLM).run_id if variation.at else None
    start = find_step(trace, variation.start, RunKind.LLM).run_id if variation.start else None
    settings = tuple(_with_id(setting, trace) for setting in variation.settings)
    return replace(variation, at=at, start=start, settings=settings)


def _with_id(setting: Setting, trace: Trace) -> Setting:
    run = find_step(trace, setting.step)
    if run is trace.root and setting.side == "input":
        return replace(setting, step="root")
    if run.kind is RunKind.LLM:
        return replace(setting, step=run.run_id)
    if run.kind in (RunKind.TOOL, RunKind.RETRIEVER) and setting.side == "output":
        return replace(setting, step=run.run_id)
    name = run.name or run.run_id
    if run.kind in (RunKind.TOOL, RunKind.RETRIEVER):
        raise InputError(
            f"the input of {name!r} is what the agent gives it",
            hint=f"set its result, {name}.output=…, or the model step that called it",
        )
    raise InputError(
        f"{setting.side} of {name!r} ({run.kind or 'unknown kind'}) cannot be set",
        hint="set the input of root, or model, tool and retriever steps",
    )


def is_variation(trace: Trace) -> bool:
    """Whether a trace is a counterfactual replay of another one, so never happened."""
    kept = (trace.root.metadata or {}).get("refinery") if trace.root else None
    return isinstance(kept, Mapping) and "variation_of" in kept


def _listed(runs: Sequence[Run]) -> str:
    steps = [f"{run.name or run.kind or 'step'} {run.run_id[:13]}" for run in runs[:8]]
    more = f" and {len(runs) - 8} more" if len(runs) > 8 else ""
    return f"one of: {', '.join(steps)}{more}" if steps else "this trace has none of that kind"


def changed_tape(tape: Tape, variation: Variation) -> Tape:
    """The tape with the recorded values that the variation sets; inputs of models stay.

    Args:
        tape: of the original trace, which is not changed.
        variation: resolved, see `resolved`.

    Raises:
        InputError: a path leads nowhere.
    """
    for setting in variation.settings:
        tape = _set(tape, setting)
    new = {found for setting in variation.settings for found in canonical.uuids([setting.value])}
    return replace(tape, known=tuple(sorted({*tape.known, *new}))) if new else tape


def _set(tape: Tape, setting: Setting) -> Tape:
    if setting.step == "root" and setting.side == "input":
        return _with_argument(tape, setting)
    if setting.side == "output":
        return replace(
            tape,
            calls=tuple(
                _with_reply(call, setting) if call.run_id == setting.step else call
                for call in tape.calls
            ),
            tools=_with_results(tape.tools, setting),
            retrievals=_with_results(tape.retrievals, setting),
        )
    return tape


def _with_argument(tape: Tape, setting: Setting) -> Tape:
    entry = tape.entry
    if entry is None:
        raise InputError(
            "the recording does not say what the program was started with",
            hint="record it with `refinery record --input`",
        )
    path = setting.path
    is_named = path[:1] == ("input",)
    if is_named and not (isinstance(entry.argument, Mapping) and "input" in entry.argument):
        path = path[1:]  # recorders wrap an argument that is no object as {"input": …}
    changed = put(entry.argument, path, setting.value, str(setting))
    return replace(tape, entry=replace(entry, argument=changed))


def _with_results(
    results: tuple[RecordedResult, ...], setting: Setting
) -> tuple[RecordedResult, ...]:
    return tuple(
        replace(
            result,
            output=_returned(result.output, setting),
            error_type=None,
            error_message="",
        )
        if result.run_id == setting.step
        else result
        for result in results
    )


def _returned(output: Json, setting: Setting) -> Json:
    """The recorded result with a value set in what the tool returned."""
    is_wrapped = isinstance(output, Mapping) and set(output) == {"output"}
    inner = output["output"] if is_wrapped else output
    path = setting.path[1:] if is_wrapped and setting.path[:1] == ("output",) else setting.path
    value = setting.value
    if not path and _is_tool_message(inner):
        path = ("content",)
        value = value if isinstance(value, str | list) else json.dumps(value, ensure_ascii=False)
    changed = put(inner, path, value, str(setting))
    return {"output": changed} if is_wrapped or not isinstance(changed, Mapping) else changed


def _is_tool_message(value: Json) -> bool:
    if not isinstance(value, Mapping):
        return False
    inner = value.get("kwargs")
    if isinstance(inner, Mapping):
        return "content" in inner
    return "content" in value and value.get("type") == "tool"


def _with_reply(call: RecordedCall, setting: Setting) -> RecordedCall:
    """The recorded model step with another answer."""
    path = setting.path
    if path[:1] in (("content",), ("output",)):
        path = ("text", *path[1:])
    value = setting.value
    if not path and not isinstance(value, Mapping):
        path = ("text",)
        value = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    before = codec.encode(call.reply or ModelReply())
    after = {**before, **put({}, (), value, "")} if not path else put(
        before, path, value, str(setting)
    )  # fmt: skip
    try:
        reply = codec.decode(ModelReply, {**after, "finish_reason": None})
    except (ValueError, TypeError) as error:
        raise InputError(f"{setting} is no answer of a model: {error}", hint=_HINT) from error
    return replace(call, reply=reply, error="", error_type="")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
