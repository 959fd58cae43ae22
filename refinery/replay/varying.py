"""Changes the model requests of one replayed case before they are looked up.

Which recorded step a request is, is known by its content: the recorded call it equals before it
is changed. A request that equals none comes after an answer that was not recorded.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from refinery.errors import InputError
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Json, Run, RunKind, Trace
from refinery.model.walk import of_kind
from refinery.replay import wire
from refinery.replay.exchange import Api, ModelRequest
from refinery.replay.json_paths import get, put
from refinery.replay.tape import RecordedCall, Tape
from refinery.replay.variation import Setting, Variation

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
_MAX_DEPTH = 100
_SYSTEM = ("system", "developer")
CONVERSATION = ("messages", "input", "system", "instructions")
"""Keys of a request body that hold what is said."""
_WIRE = {Api.OPENAI_CHAT: "openai", Api.OPENAI_RESPONSES: "openai", Api.ANTHROPIC: "anthropic"}

_PATHS = {
    Api.OPENAI_CHAT: "/v1/chat/completions",
    Api.OPENAI_RESPONSES: "/v1/responses",
    Api.ANTHROPIC: "/v1/messages",
}


class CannotVaryError(InputError):
    """A request cannot be changed as asked, so nobody may answer it."""


@dataclass(frozen=True, slots=True)
class Varied:
    """One request that was changed."""

    run_id: str | None
    """The recorded call it was before; None: it comes after an answer that was not recorded."""
    asked: ModelRequest
    """As the agent sent it."""
    sent: ModelRequest
    """As it was looked up, and asked of the model when it was not found."""

    @property
    def told(self) -> str:
        """What was changed, in words."""
        names = [
            name
            for name in sorted({*self.asked.body, *self.sent.body})
            if self.asked.body.get(name) != self.sent.body.get(name)
        ]
        parts = [
            f"{name} {_shown(self.sent.body.get(name))}"
            if name not in CONVERSATION
            else f"{name} changed"
            for name in names
        ]
        return "varied: " + ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What of the original trace a variation needs."""

    places: Mapping[str, Mapping[str, str]]
    """Values a call's prompt template was filled with, by the call's run id."""
    inputs: Mapping[str, Json]
    """Recorded inputs of model calls, by run id."""

    @classmethod
    def of(cls, trace: Trace) -> "Recorded":
        """Read them from a trace."""
        calls = of_kind(trace, RunKind.LLM)
        prompts = of_kind(trace, RunKind.PROMPT)
        places = {run.run_id: _places(run, prompts) for run in calls}
        return cls(places, {run.run_id: run.inputs for run in calls})


def _places(call: Run, prompts: tuple[Run, ...]) -> dict[str, str]:
    """What the prompt of a call was filled with: the inputs of the prompt run that made it."""
    system = next((m.text for m in messages_in(call) if m.role == "system"), None)
    for prompt in reversed(prompts):
        made = [message.text for message in messages_out(prompt)]
        is_its = prompt.parent_id == call.parent_id and (system is None or system in made)
        if is_its and isinstance(prompt.inputs, Mapping):
            return {str(k): v for k, v in prompt.inputs.items() if isinstance(v, str)}
    return {}


class Varying:
    """A variation at work in one case; used under the lock of its session."""

    def __init__(self, variation: Variation, tape: Tape, recorded: Recorded) -> None:
        self.variation = variation
        self._recorded = recorded
        self._order = {call.run_id: number for number, call in enumerate(tape.calls)}
        self._has_started = variation.start is None
        self._is_done = False
        self.varied: list[Varied] = []
        """Every request that was changed, in order."""

    @property
    def _inputs(self) -> list[Setting]:
        """Settings of the inputs of model steps."""
        found = (s for s in self.variation.settings if s.side == "input")
        return [setting for setting in found if setting.step in self._order]

    def _is_placed(self, call: RecordedCall | None) -> bool:
        if self.variation.at is not None:
            is_it = call is not None and call.run_id == self.variation.at and not self._is_done
            self._is_done = self._is_done or is_it
            return is_it
        if self.variation.start is not None and call is not None:
            is_late = self._order[call.run_id] >= self._order.get(self.variation.start, 0)
            self._has_started = self._has_started or is_late
            return is_late
        return self._has_started

    def change(self, asked: ModelRequest | Run, call: RecordedCall | None) -> Varied | None:
        """Change a request; None when nothing of it is to change.

        Args:
            asked: as the agent sent it; a call that is described instead cannot be changed.
            call: the recorded call it is equal to; None: it comes after another answer.

        Raises:
            CannotVaryError: what is asked for does not fit the request.
        """
        run_id = call.run_id if call else None
        own = [setting for setting in self._inputs if setting.step == run_id]
        is_placed = self.variation.changes_requests and self._is_placed(call)
        if not own and not is_placed:
            return None
        if isinstance(asked, Run):
            raise CannotVaryError("requests of a model that is not asked over HTTP cannot change")
        body = dict(asked.body)
        for setting in own:
            body = _with_input(body, setting, self._recorded.inputs.get(setting.step))
        if is_placed:
            places = self._recorded.places.get(run_id or "")
            body = changed_body(asked.api, body, self.variation, places)
        if body == asked.body:
            return None
        varied = Varied(run_id, asked, _parsed(asked.api, body))
        self.varied.append(varied)
        return varied


def _parsed(api: Api, body: dict[str, Json]) -> ModelRequest:
    try:
        return wire.parse_request(_PATHS[api], body)
    except InputError as error:
        raise CannotVaryError(f"the changed request is none: {error}") from error


def changed_body(
    api: Api,
    body: dict[str, Json],
    variation: Variation,
    places: Mapping[str, str] | None = None,
) -> dict[str, Json]:
    """The body of a request with model, parameters and prompt of a variation.

    Args:
        api: the interface it is written for.
        body: stays as it is.
        variation: what is to change.
        places: what the recorded prompt was filled with; None: nothing is known.

    Raises:
        CannotVaryError: the model is another vendor's, or a place of the prompt is not known.
    """
    if variation.vendor is not None and variation.vendor != _WIRE[api]:
        raise CannotVaryError(
            f"the agent speaks {_WIRE[api]}'s API here, and {variation.vendor}:{variation.model} "
            "does not"
        )
    changed = dict(body)
    if variation.model is not None:
        changed["model"] = variation.model
    if variation.temperature is not None and body.get("temperature") != variation.temperature:
        changed["temperature"] = variation.temperature
    if variation.max_tokens is not None:
        changed[_tokens_key(api, body)] = variation.max_tokens
    if variation.prompt is not None:
        changed = _with_prompt(api, changed, filled(variation.prompt, places))
    return changed


def _tokens_key(api: Api, body: Mapping[str, Json]) -> str:
    if api is Api.OPENAI_RESPONSES:
        return "max_output_tokens"
    is_new = api is Api.OPENAI_CHAT and "max_completion_tokens" in body
    return "max_completion_tokens" if is_new else "max_tokens"


def filled(prompt: str, places: Mapping[str, str] | None) -> str:
    """The prompt with its places filled, when it is a template of the recorded values.

    A prompt that names none of them is text, braces and all.
    """
    named = set(_PLACE.findall(prompt))
    if not named:
        return prompt
    if places is None:
        raise CannotVaryError(
            f"what {{{min(named)}}} of the prompt stands for is not known for this request"
        )
    if not named & set(places):
        return prompt
    if missing := sorted(named - set(places)):
        raise CannotVaryError(f"the recording does not say what {{{missing[0]}}} stands for")
    text = _PLACE.sub(lambda match: places[match[1]], prompt)
    return text.replace("{{", "{").replace("}}", "}")


def _with_prompt(api: Api, body: dict[str, Json], text: str) -> dict[str, Json]:
    if api is Api.ANTHROPIC:
        return {**body, "system": text}
    key = "input" if api is Api.OPENAI_RESPONSES else "messages"
    if api is Api.OPENAI_RESPONSES and (body.get("instructions") or not _spoken(body.get(key))):
        return {**body, "instructions": text}
    messages = list(body[key]) if isinstance(body.get(key), list) else []
    for index, message in enumerate(messages):
        if isinstance(message, Mapping) and message.get("role") in _SYSTEM:
            messages[index] = {**message, "content": text}
            return {**body, key: messages}
    return {**body, key: [{"role": "system", "content": text}, *messages]}


def _spoken(items: Json) -> bool:
    """Whether a list of messages has a system prompt."""
    listed = items if isinstance(items, list) else []
    return any(isinstance(item, Mapping) and item.get("role") in _SYSTEM for item in listed)


def _with_input(body: dict[str, Json], setting: Setting, recorded: Json) -> dict[str, Json]:
    """The body with a recorded input replaced, wherever the vendor's interface keeps it."""
    try:
        old = get(recorded, setting.path)
    except (LookupError, ValueError, TypeError):
        old = None
    try:
        is_same_place = setting.path != () and get(body, setting.path) == old
    except (LookupError, ValueError, TypeError):
        is_same_place = False
    if is_same_place or (len(setting.path) == 1 and setting.path[0] not in CONVERSATION):
        try:
            return dict(put(body, setting.path, setting.value, str(setting)))
        except InputError as error:
            raise CannotVaryError(str(error)) from error
    if isinstance(old, str) and old and isinstance(setting.value, str):
        spoken = {name: body[name] for name in CONVERSATION if name in body}
        changed = replaced_texts(spoken, {old: setting.value})
        if changed != spoken:
            return {**body, **changed}
    raise CannotVaryError(f"{setting}: that input is not found in the request")


def replaced_texts(value: Json, texts: Mapping[str, str], depth: int = 0) -> Json:
    """The value with whole texts replaced by others."""
    if isinstance(value, str):
        return texts.get(value, value)
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: replaced_texts(item, texts, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced_texts(item, texts, depth + 1) for item in value]
    return value


def _shown(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
