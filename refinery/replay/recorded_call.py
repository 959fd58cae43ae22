"""A recorded model call, read back so that it can be asked again, of any vendor's model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from refinery.errors import InputError
from refinery.model.messages import Message, messages_in
from refinery.model.trace import Json, Run
from refinery.model.walk import MAX_DEPTH
from refinery.replay import canonical
from refinery.replay.canonical import Fresh
from refinery.replay.json_paths import put
from refinery.replay.variation import Variation
from refinery.replay.varying import filled, replaced_texts

_SENT = {
    "openai": {
        **{name: name for name in ("temperature", "top_p", "max_tokens", "seed", "stop")},
        **{name: name for name in ("frequency_penalty", "presence_penalty", "tool_choice")},
    },
    "anthropic": {
        **{name: name for name in ("temperature", "top_p", "top_k", "max_tokens")},
        **{"stop": "stop_sequences", "tool_choice": "tool_choice"},
    },
}
"""Parameters each vendor takes, from their common names."""

_ATTACHED = frozenset(
    {
        *("image", "image_url", "input_image", "audio", "input_audio"),
        *("file", "input_file", "document", "video", "media"),
    }
)
"""Types of blocks that are no text, as OpenAI, Anthropic and LangChain name them."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is to be asked."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Json], ...]
    """As OpenAI's function schemas."""
    params: Mapping[str, Json]
    """Sampling parameters under their common names."""
    changed_params: Mapping[str, Json]
    """Those that are not as recorded."""
    inputs: Json
    """The recorded inputs with what was changed."""
    notes: tuple[str, ...] = ()
    """What of the recording cannot be asked again."""

    @property
    def extra_bytes(self) -> int:
        """UTF-8 size of what is sent beside the messages."""
        return len(json.dumps(self.tools, default=str).encode("utf-8", "replace"))

    def params_for(self, vendor: str) -> dict[str, Json]:
        """The parameters a vendor's model takes, under the names LangChain's client uses."""
        names = _SENT[vendor]
        sent = {names[name]: value for name, value in self.params.items() if name in names}
        choice = sent.get("tool_choice")
        if not self.tools:
            sent.pop("tool_choice", None)
        elif vendor == "anthropic" and choice is not None:
            sent["tool_choice"] = _anthropic_choice(choice)
        elif isinstance(choice, Mapping):
            sent["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
        return sent

    def langchain(self) -> list[Any]:
        """The messages as LangChain's clients take them."""
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

        made: list[Any] = []
        for message in self.messages:
            if message.role == "system":
                made.append(SystemMessage(message.text))
            elif message.role == "assistant":
                made.append(AIMessage(message.text, tool_calls=_calls(message)))
            elif message.role == "tool":
                made.append(ToolMessage(message.text, tool_call_id=message.tool_call_id or ""))
            else:
                made.append(HumanMessage(message.text))
        return made


def varied(
    call: Run, variation: Variation, places: Mapping[str, str] | None = None
) -> Conversation:
    """A recorded call with what a variation changes.

    Args:
        call: as recorded; it stays as it is.
        variation: its model is not looked at.
        places: what the recorded prompt was filled with.

    Raises:
        InputError: the call has no messages or holds more than text, a path leads nowhere, or
            the prompt has a place that is not known.
    """
    inputs = call.inputs
    for setting in variation.settings:
        if setting.side == "output":
            raise InputError(
                f"{setting}: a call that is asked alone has nothing after it",
                hint="set its input, or replay the whole run",
            )
        inputs = put(inputs, setting.path, setting.value, str(setting))
    messages = messages_in(replace(call, inputs=inputs))
    if not messages:
        raise InputError(
            f"the call {call.name or call.run_id} has no messages to ask again",
            hint="it was recorded without its inputs",
        )
    form = canonical.of_run(replace(call, inputs=inputs), Fresh(0))
    if variation.prompt is not None:
        text = filled(variation.prompt, places)
        old = next((m.text for m in messages if m.role == "system"), None)
        changed = replaced_texts(inputs, {old: text}) if old else inputs
        messages = _with_prompt(messages, text)
        inputs = changed if changed != inputs else {"messages": [_plain(m) for m in messages]}
    new = {"temperature": variation.temperature, "max_tokens": variation.max_tokens}
    own = {name: value for name, value in new.items() if value is not None}
    kept = {k: v for k, v in form.fields.items() if k not in ("model", "tools")}
    tools = form.fields.get("tools")
    return Conversation(
        messages=messages,
        tools=tuple(_tool(tool) for tool in tools) if isinstance(tools, list) else (),
        params={**kept, **own},
        changed_params=own,
        inputs=inputs,
        notes=_notes(kept, form.unknown, inputs),
    )


def _notes(kept: Mapping[str, Json], unknown: tuple[str, ...], inputs: Json) -> tuple[str, ...]:
    taken = {name for names in _SENT.values() for name in names}
    lost = sorted({*unknown, *(name for name in kept if name not in taken)} - {"model"})
    notes = [f"not sent again: {', '.join(lost)}"] if lost else []
    if _has_attachment(inputs):
        notes.append("pictures and files of the call are not sent again")
    return tuple(notes)


def _has_attachment(value: Json, depth: int = 0) -> bool:
    """Whether something in a conversation is no text."""
    if isinstance(value, Mapping):
        if value.get("type") in _ATTACHED:
            return True
        value = list(value.values())
    if not isinstance(value, list) or depth > MAX_DEPTH:
        return False
    return any(_has_attachment(item, depth + 1) for item in value)


def _with_prompt(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    index = next((n for n, m in enumerate(messages) if m.role == "system"), None)
    if index is None:
        return (Message("system", text), *messages)
    return (*messages[:index], Message("system", text), *messages[index + 1 :])


def _plain(message: Message) -> dict[str, Json]:
    return {"role": message.role, "content": message.text}


def _calls(message: Message) -> list[dict[str, Any]]:
    return [
        {
            "name": call.name,
            "args": call.arguments if isinstance(call.arguments, dict) else {},
            "id": call.call_id or f"call_{number}",
            "type": "tool_call",
        }
        for number, call in enumerate(message.tool_calls)
    ]


def _tool(tool: Json) -> dict[str, Json]:
    if isinstance(tool, Mapping) and {"name", "parameters"} <= set(tool):
        return {"type": "function", "function": dict(tool)}
    return dict(tool) if isinstance(tool, Mapping) else {"type": str(tool)}


def _anthropic_choice(choice: Json) -> dict[str, Json]:
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": choice["name"]}
    return {"type": {"required": "any"}.get(str(choice), str(choice))}
