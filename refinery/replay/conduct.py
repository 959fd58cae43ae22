"""Checks on what a run did: which tools it called, in what order, and whether it asked first."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refinery.errors import InputError
from refinery.model.messages import messages_in, tool_calls
from refinery.model.trace import Json, RunKind, Trace
from refinery.model.walk import of_kind

_CALL = re.compile(r"\s*(?P<name>[^\s{>]+)\s*(?P<arguments>\{.*\})?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Called:
    """One call of a tool."""

    name: str
    arguments: Json


def calls_of(trace: Trace) -> list[Called]:
    """Calls of tools in tree order; where no tool run was recorded, those the model asked for."""
    ran = [Called(run.name or "", run.inputs) for run in of_kind(trace, RunKind.TOOL)]
    if ran:
        return ran
    asked = (call for run in of_kind(trace, RunKind.LLM) for call in tool_calls(run))
    return [Called(call.name, call.arguments) for call in asked]


def validate(kind: str, value: str) -> None:
    """Check the value of a check of this module.

    Raises:
        InputError: it is no `TOOL [{arguments}]`, or for `order` no `TOOL > TOOL`.
    """
    if kind == "order":
        _pair(value)
    else:
        _wanted(value)


def holds(kind: str, value: str, trace: Trace) -> tuple[bool, str]:
    """Whether a check holds for a trace, and what was seen."""
    return _TESTS[kind](value, trace)


def _tool_called(value: str, trace: Trace) -> tuple[bool, str]:
    wanted, calls = _wanted(value), calls_of(trace)
    if any(_fits(wanted, call) for call in calls):
        return True, ""
    if any(call.name == wanted.name for call in calls):
        return False, f"{wanted.name} was called with other arguments"
    return False, f"called: {_names(calls)}"


def _tool_not_called(value: str, trace: Trace) -> tuple[bool, str]:
    held = not _tool_called(value, trace)[0]
    return held, "" if held else f"{_wanted(value).name} was called"


def _order(value: str, trace: Trace) -> tuple[bool, str]:
    first, then = _pair(value)
    calls = calls_of(trace)
    second = next((i for i, call in enumerate(calls) if _fits(then, call)), None)
    if second is None:
        return True, f"{then.name} was not called"
    held = any(_fits(first, call) for call in calls[:second])
    return held, "" if held else f"called: {_names(calls[: second + 1])}"


def _asks_before(value: str, trace: Trace) -> tuple[bool, str]:
    """Whether a question of the assistant was answered by the user before each call's request."""
    wanted = _wanted(value)
    for run in of_kind(trace, RunKind.LLM):
        if not any(_fits(wanted, Called(c.name, c.arguments)) for c in tool_calls(run)):
            continue
        said = messages_in(run)
        roles = [message.role for message in said]
        asked = [i for i, m in enumerate(said) if m.role == "assistant" and "?" in m.text]
        if not any("user" in roles[index + 1 :] for index in asked):
            return False, f"{wanted.name} was called before the user was asked"
        return True, ""
    if any(_fits(wanted, call) for call in calls_of(trace)):
        return False, f"{wanted.name} was called, and no conversation says that anyone was asked"
    return True, f"{wanted.name} was not called"


_TESTS: dict[str, Callable[[str, Trace], tuple[bool, str]]] = {
    "tool_called": _tool_called,
    "tool_not_called": _tool_not_called,
    "order": _order,
    "asks_before": _asks_before,
}
KINDS = tuple(_TESTS)


def _wanted(text: str) -> _Wanted:
    shape = _CALL.fullmatch(text)
    if shape is None:
        raise InputError(
            f"{text!r} names no tool", hint='write a tool, e.g. refund or refund {"amount": 5}'
        )
    try:
        arguments = json.loads(shape["arguments"] or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"the arguments in {text!r} are not JSON: {error}") from error
    return _Wanted(shape["name"], arguments)


def _pair(text: str) -> tuple[_Wanted, _Wanted]:
    first, sign, then = text.partition(">")
    if not sign:
        raise InputError(f"{text!r} is no order", hint="write it as: look_up > cancel")
    return _wanted(first), _wanted(then)


def _fits(wanted: _Wanted, call: Called) -> bool:
    if call.name != wanted.name:
        return False
    given = call.arguments
    if isinstance(given, Mapping) and set(given) == {"input"}:
        given = given["input"]
    if not wanted.arguments:
        return True
    return isinstance(given, Mapping) and all(
        name in given and given[name] == value for name, value in wanted.arguments.items()
    )


def _names(calls: list[Called]) -> str:
    shown = ", ".join(call.name for call in calls[:10])
    return shown or "no tool"
