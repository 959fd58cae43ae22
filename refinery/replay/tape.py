"""The tape of a trace: everything its replay is answered from.

Model replies are found by canonical request, tool and retriever results by name and normalised
arguments. What chance and the clock said is kept as far as it was recorded; what they say anew,
`canonical` takes out of the comparison.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from refinery.errors import ReplayError
from refinery.model import bodies, codec
from refinery.model.messages import messages_out
from refinery.model.trace import EntryPoint, Json, Run, RunKind, RunStatus, Trace
from refinery.model.walk import of_kind
from refinery.replay import canonical
from refinery.replay.canonical import Canonical, Fresh
from refinery.replay.exchange import ModelReply

_STATUS = re.compile(r"[Ee]rror code: (\d{3})\b")
_BODY = re.compile(r"Error code: \d{3} - (\{.*\})\s*\Z", re.DOTALL)
"""How both vendors' SDKs write an error's body into its message."""
NO_ANSWER = 0
"""Status of a call that failed without a response, e.g. a connection that broke."""
_INTERFACES = frozenset(
    {bodies.CHAT, bodies.RESPONSES, bodies.MESSAGES, bodies.EMBEDDINGS, bodies.COMPLETIONS}
)
_REPEATED = frozenset({"instructions", "metadata", "prompt", "tools"})
_MAX_RETRIES = 50
_MAX_MOMENTS = 5_000
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "refusal": "content_filter",
}
_MAX_LITERAL = 100_000
"""Longest written-out argument that is parsed, in characters."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One model call and what came of it."""

    run_id: str
    name: str
    request: Canonical
    reply: ModelReply | None
    """None: the call failed."""
    error: str = ""
    error_status: int = 500
    """HTTP status of a failed call; `NO_ANSWER` when there was no response."""
    error_type: str = ""
    """Class name of a failed call's error; empty when unknown."""
    interface: str = ""
    """Of a call recorded as it was sent, e.g. `openai.responses`; empty when unknown."""
    body: Json = None
    """The answer's or the error's body as the vendor sent it; None when it was not kept."""
    retries: tuple[int | None, ...] = ()
    """HTTP status of each attempt the client made anew after it; None: no response came."""
    wire: "WireAnswer | None" = None
    """The response's bytes; None when they were not kept."""
    start_ns: int = 0
    duration_s: float = 0.0
    """How long it took, all attempts together; 0: not known."""


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """A response as it came over the wire."""

    status: int
    content_type: str
    content_encoding: str
    """Empty: none."""
    content: str
    """The body's bytes in base64."""


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """One tool call or retrieval and what came of it."""

    run_id: str
    name: str
    key: str
    """Name and normalised arguments, see `result_key`."""
    output: Json
    error_type: str | None = None
    """Class name when it failed; None: it succeeded."""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a run began and ended, nanoseconds UTC."""

    kind: str
    name: str
    start_ns: int
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Tape:
    """What a replay needs of one trace; plain data, see `to_json`."""

    trace_id: str
    entry: EntryPoint | None
    """How the program was started; None when the recording does not say."""
    start_ns: int
    calls: tuple[RecordedCall, ...]
    """In the order they were made."""
    tools: tuple[RecordedResult, ...]
    retrievals: tuple[RecordedResult, ...]
    known: tuple[str, ...]
    """UUIDs and times of day that are data: they came in with the argument, a tool, a retriever
    or a reply."""
    output: Json
    """What the recorded run returned: the root run's outputs."""
    folder: str = "."
    """Where in the repository the program is run, relative to its root."""
    draws: Json = None
    """What chance decided, as `recorders.draws` notes it; None when it was not noted."""
    drawn: tuple[str, ...] = ()
    """Identifiers the program asked models about that came from nowhere else, in order."""
    moments: tuple[Moment, ...] = ()
    """When each run was, by start."""

    @classmethod
    def from_trace(cls, trace: Trace) -> "Tape":
        """Make the tape of a trace.

        Raises:
            ReplayError: the trace has no runs.
        """
        root = trace.root
        if root is None:
            raise ReplayError(f"trace {trace.trace_id} is empty", hint="record it again")
        entry = entry_point(root)
        tools = tuple(_result(r) for r in _ended(trace, RunKind.TOOL))
        retrievals = tuple(_result(r) for r in _ended(trace, RunKind.RETRIEVER))
        runs = sorted(
            (*_ended(trace, RunKind.LLM), *_ended(trace, RunKind.EMBEDDING)),
            key=lambda run: run.start_ns or 0,
        )
        outside: list[Json] = [entry.argument if entry else root.inputs]
        outside += [result.output for result in (*tools, *retrievals)]
        outside += [_said(run.outputs) for run in runs]
        known = sorted(
            {found for value in outside for found in canonical.uuids(value)}
            | {found for value in outside for found in canonical.times_of_day(value)}
        )
        fresh = Fresh(root.start_ns or 0, frozenset(known))
        return cls(
            trace_id=trace.trace_id,
            entry=entry,
            start_ns=root.start_ns or 0,
            calls=tuple(_call(run, fresh) for run in runs),
            tools=tools,
            retrievals=retrievals,
            known=tuple(known),
            output=root.outputs,
            folder=_folder(root),
            draws=_draws(root),
            drawn=tuple(_drawn(runs, frozenset(known))),
            moments=tuple(_moments(trace)),
        )

    def to_json(self) -> Json:
        """The tape as JSON; `from_json` reads it back equal."""
        return codec.encode(self)

    @classmethod
    def from_json(cls, value: Json) -> "Tape":
        """Read a tape from JSON.

        Raises:
            ValueError: the value is not a tape.
        """
        return codec.decode(cls, value)


def _said(outputs: Json) -> Json:
    """An answer without what it repeats of the request, as OpenAI's responses do."""
    if not isinstance(outputs, Mapping):
        return outputs
    return {name: value for name, value in outputs.items() if name not in _REPEATED}


def entry_point(root: Run) -> EntryPoint | None:
    """How a traced program was started, as kept in its root run; None when it was not kept."""
    kept = (root.metadata or {}).get("refinery")
    written = kept.get("entry_point") if isinstance(kept, Mapping) else None
    if not isinstance(written, Mapping):
        return None
    try:
        return codec.decode(EntryPoint, written)
    except ValueError:
        return None


def with_entry(trace: Trace, target: str | None) -> Trace:
    """The trace with an entry point, for recordings that do not say how they were started.

    Args:
        trace: returned as it is when it has one.
        target: `module:callable` of the settings, called with the root run's inputs; None
            changes nothing.
    """
    root = trace.root
    if root is None or target is None or entry_point(root) is not None:
        return trace
    inputs = root.inputs
    is_wrapped = isinstance(inputs, Mapping) and set(inputs) == {"input"}
    entry = EntryPoint("callable", target, inputs["input"] if is_wrapped else inputs)
    kept = (root.metadata or {}).get("refinery")
    ours = {**(kept if isinstance(kept, Mapping) else {}), "entry_point": codec.encode(entry)}
    changed = replace(root, metadata={**(root.metadata or {}), "refinery": ours})
    return replace(trace, runs=tuple(changed if run is root else run for run in trace.runs))


def _folder(root: Run) -> str:
    """The project's folder inside the repository, as the recorder kept it."""
    kept = (root.metadata or {}).get("refinery")
    folder = kept.get("folder") if isinstance(kept, Mapping) else None
    is_inside = isinstance(folder, str) and ".." not in PurePosixPath(folder).parts
    return str(folder) if is_inside and not PurePosixPath(str(folder)).is_absolute() else "."


def result_key(name: str, arguments: Json) -> str:
    """What a tool or retriever result is found by: its name and its arguments.

    Arguments wrapped as `{"input": …}`, or written out as JSON or Python text, are unwrapped,
    since recorders keep them in any of these forms.
    """
    plain = canonical.without_secrets(_plain(arguments))
    return f"{name} {json.dumps(plain, sort_keys=True, default=str)}"


def _plain(arguments: Json) -> Json:
    if isinstance(arguments, Mapping) and set(arguments) == {"input"}:
        arguments = arguments["input"]
    if isinstance(arguments, Mapping) and set(arguments) == {"query"}:
        arguments = arguments["query"]
    if isinstance(arguments, str) and arguments[:1] in "{[" and len(arguments) < _MAX_LITERAL:
        for read in (json.loads, ast.literal_eval):
            try:
                return canonical.number(read(arguments))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return canonical.number(arguments)


def _ended(trace: Trace, kind: RunKind) -> list[Run]:
    """Runs of a kind that came to an end, in the order they were started."""
    runs = [r for r in of_kind(trace, kind) if r.outputs is not None or r.is_failed]
    usable = [run for run in runs if run.status is not RunStatus.CANCELLED]
    return sorted(usable, key=lambda run: run.start_ns or 0)


def _call(run: Run, fresh: Fresh) -> RecordedCall:
    interface = run.native_kind if run.native_kind in _INTERFACES else None
    call = RecordedCall(
        run_id=run.run_id,
        name=run.name or run.model_requested or "model",
        request=canonical.of_run(run, fresh),
        reply=_reply(run),
        interface=interface or "",
        retries=tuple(_retries(run)),
        start_ns=run.start_ns or 0,
        duration_s=(run.duration_ms or 0.0) / 1000,
    )
    if run.is_failed:
        return _failed(call, run)
    if interface and isinstance(run.outputs, Mapping) and not _has_omissions(run):
        return replace(call, body=run.outputs)
    return call


def _failed(call: RecordedCall, run: Run) -> RecordedCall:
    """A call that failed, with status and body of its error."""
    message = run.error.message if run.error else "the recorded call failed"
    kind = run.error.type if run.error else ""
    told = _STATUS.search(message[:2000])
    noted = ours(run).get("http_status")
    status = noted if isinstance(noted, int) else int(told.group(1)) if told else 0
    body: Json = run.outputs if isinstance(run.outputs, Mapping) else None
    if body is None and (written := _BODY.match(message)):
        body = _literal(written.group(1))
    if not status:
        has_answer = not any(word in kind for word in ("Connection", "Timeout"))
        status = 500 if has_answer else NO_ANSWER
    return replace(
        call, reply=None, error=message, error_status=status, error_type=kind, body=body
    )


def ours(run: Run) -> Mapping[str, Json]:
    """What Refinery notes of a run in its metadata."""
    kept = (run.metadata or {}).get("refinery")
    return kept if isinstance(kept, Mapping) else {}


def _has_omissions(run: Run) -> bool:
    return bool(ours(run).get("vectors_omitted") or ours(run).get("pieces_omitted"))


def _literal(text: str) -> Json:
    """A value from its Python text; None when it is none."""
    if len(text) > _MAX_LITERAL:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _retries(run: Run) -> Iterator[int | None]:
    """What the client's repeated attempts had met, in order."""
    for event in (run.events or [])[:_MAX_RETRIES]:
        if isinstance(event, Mapping) and event.get("name") == "retry":
            about = event.get("kwargs")
            status = about.get("http_status") if isinstance(about, Mapping) else None
            yield status if isinstance(status, int) else None


def _draws(root: Run) -> Json:
    return noted if isinstance(noted := ours(root).get("draws"), Mapping) else None


def _drawn(runs: Iterable[Run], known: frozenset[str]) -> Iterator[str]:
    """Identifiers in requests that did not come in from outside, each once."""
    seen = set(known)
    for run in runs:
        for found in canonical.uuids(run.inputs):
            if found not in seen and len(seen) < _MAX_MOMENTS:
                seen.add(found)
                yield found


def _moments(trace: Trace) -> Iterator[Moment]:
    """When runs began and ended, by start."""
    timed = [run for run in trace.runs if run.start_ns is not None]
    for run in sorted(timed, key=lambda run: run.start_ns or 0)[:_MAX_MOMENTS]:
        kind = run.kind.value if run.kind else "None"
        yield Moment(kind, run.name or "", run.start_ns or 0, run.end_ns)


def _reply(run: Run) -> ModelReply:
    spoken = [m for m in messages_out(run) if m.role == "assistant"]
    reason = _finish_reason(run.outputs)
    return ModelReply(
        text="\n".join(message.text for message in spoken[:1]),
        tool_calls=spoken[0].tool_calls if spoken else (),
        usage=run.usage,
        finish_reason=reason,
        model=run.model_responded or run.model_requested,
    )


def _finish_reason(outputs: Json) -> str | None:
    """Why a recorded reply ended, wherever the source keeps it; None when it does not say."""
    for key in ("finish_reason", "stop_reason"):
        if found := _first(outputs, key):
            return _REASONS.get(found, found)
    return None


def _first(value: Json, key: str, depth: int = 0) -> str | None:
    """The first string under a key, at most 12 levels down."""
    if depth > 12:
        return None
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            return str(value[key])
        value = [value[name] for name in value if name != "tool_calls"]
    if isinstance(value, list):
        for item in value[:20]:
            if found := _first(item, key, depth + 1):
                return found
    return None


def _result(run: Run) -> RecordedResult:
    error = run.error if run.is_failed else None
    return RecordedResult(
        run_id=run.run_id,
        name=run.name or "",
        key=result_key(run.name or "", run.inputs),
        output=run.outputs,
        error_type=(error.type or "Exception") if error else None,
        error_message=error.message if error else "",
    )
