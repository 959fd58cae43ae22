"""Recipes for numbers the program sets: token limit, temperature, retries, time limit, steps."""

from collections.abc import Iterator
from itertools import islice

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.numbers import (
    MODEL_CALLS,
    absent_edit,
    changed,
    is_number,
    lower_temperature,
)
from refinery.codebase.causes import RETRIES, TIMEOUTS, TOKENS, settings_behind
from refinery.codebase.scan import is_secondary
from refinery.model.patch import Edit
from refinery.model.trace import Json

CLIENTS = ("OpenAI", "AsyncOpenAI", "AzureOpenAI", "Anthropic", "AsyncAnthropic", "ChatOpenAI",
           "ChatAnthropic", "AzureChatOpenAI", "init_chat_model")  # fmt: skip
"""Names whose call makes a client that retries and waits."""

LARGEST_LIMIT = 8_192
"""Most tokens a recipe asks for; within the output limit of current chat models."""
MOST_RETRIES = 5
LONGEST_WAIT_S = 120
MOST_STEPS = 50


def raise_token_limit(case: Case) -> Iterator[Draft]:
    """Give the answer four times the room it had."""
    value = case.finding.facts.get("value")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < LARGEST_LIMIT:
        return
    room = min(max(value * 4, 256), LARGEST_LIMIT)
    name = str(case.finding.facts.get("parameter") or TOKENS[0])
    yield from changed(
        case,
        lambda _: room,
        absent_edit(case, MODEL_CALLS, name, str(room)),
        Draft(
            title=f"Raise {name} from {value} to {room}",
            rationale=f"The answer was cut off at the limit of {value} tokens.",
            strategy="parameters",
            edits=(),
            fitness=0.9,
            before=f"The answer ends after {value} tokens, in the middle.",
            after="The answer has room to end.",
            risks=("Long answers cost more and take longer.",),
            topic="max tokens truncated output length limit",
        ),
    )


def raise_token_limit_far(case: Case) -> Iterator[Draft]:
    """Give the answer far more room than it had, in case four times is not enough."""
    value = case.finding.facts.get("value")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < LARGEST_LIMIT:
        return
    room = min(max(value * 16, 1_024), LARGEST_LIMIT)
    name = str(case.finding.facts.get("parameter") or TOKENS[0])
    draft = Draft(
        title=f"Raise {name} from {value} to {room}",
        rationale=f"The answer was cut off at the limit of {value} tokens, and nobody knows how "
        "long it would have been.",
        strategy="parameters",
        edits=(),
        fitness=0.4,
        before=f"The answer ends after {value} tokens, in the middle.",
        after="Even a long answer has room to end.",
        risks=("An answer that never ends costs more before it is cut.",),
        topic="max tokens truncated output length limit",
    )
    yield from islice(changed(case, lambda _: room, None, draft), 1)


def vendor_default(case: Case) -> Iterator[Draft]:
    """Take out the argument that forbids retries, so that the client's own default counts."""
    for one in settings_behind(case.tree, "rate_limit", {}):
        if one.form != "argument" or one.value != 0 or is_secondary(one.path):
            continue
        arguments: dict[str, Json] = {"line": one.line, "call": one.node, "name": one.name}
        yield Draft(
            title=f"Leave the number of retries to the client: no {one.name}=0",
            rationale="The program forbids what the vendor's client does by itself: to try again "
            "after a pause.",
            strategy="code",
            edits=(Edit("remove_argument", one.path, arguments),),
            fitness=0.5,
            before="One refused call ends the run.",
            after="The client tries again as often as its vendor thinks right.",
            risks=("The vendor may change the default.",),
            topic="rate limit retries backoff",
        )
        return


def more_retries(case: Case) -> Iterator[Draft]:
    """Retry a call that the provider turned away, with the client's own parameter."""
    draft = Draft(
        title=f"Retry calls that the provider turns away up to {MOST_RETRIES} times",
        rationale="The provider turned the call away for the moment and nothing tried again; its "
        "client retries with growing pauses when told to.",
        strategy="parameters",
        edits=(),
        fitness=0.7,
        before="One refused call ends the run.",
        after="The call is made again after a pause.",
        risks=("A provider that is down is waited for longer.",),
        topic="rate limit retries backoff",
    )
    found = [one for one in settings_behind(case.tree, "rate_limit", {}) if is_number(one)]
    few = [one for one in found if isinstance(one.value, int) and one.value < MOST_RETRIES]
    absent = absent_edit(case, CLIENTS, RETRIES[0], str(MOST_RETRIES))
    yield from changed(case, lambda _: MOST_RETRIES, absent, draft, few)


def longer_timeout(case: Case) -> Iterator[Draft]:
    """Wait longer for an answer, with the client's own parameter."""
    draft = Draft(
        title="Wait longer for the answer",
        rationale="The call was given up before the answer came.",
        strategy="parameters",
        edits=(),
        fitness=0.75,
        before="The call ends with a timeout.",
        after="The answer is waited for.",
        risks=("A service that hangs is noticed later.",),
        topic="timeout retries latency limits",
    )
    found = settings_behind(case.tree, "timeout", {})
    short = [one for one in found if is_number(one) and 0 < float(one.value) < LONGEST_WAIT_S]
    yield from changed(
        case,
        lambda old: min(LONGEST_WAIT_S, max(30, round(float(old) * 10))),
        absent_edit(case, CLIENTS, TIMEOUTS[0], "60") if not found else None,
        draft,
        short,
    )


def more_steps(case: Case) -> Iterator[Draft]:
    """Allow more steps where a step limit ended the run."""
    if not case.finding.facts.get("limit"):
        return
    draft = Draft(
        title="Allow more steps before the run is ended",
        rationale="The run was ended by its step limit while it was still at work.",
        strategy="control flow",
        edits=(),
        fitness=0.6,
        before="The run ends at the limit without an answer.",
        after="The run may finish.",
        risks=("A run that loops costs more before it is ended.",),
        topic="agent loops recursion limit stop condition",
    )
    found = [
        one
        for one in settings_behind(case.tree, "repeated_calls", {"limit": True})
        if isinstance(one.value, int) and one.value < MOST_STEPS
    ]
    yield from changed(
        case, lambda old: min(MOST_STEPS, max(25, int(old) * 3)), None, draft, found
    )


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "truncated_output": (raise_token_limit, raise_token_limit_far),
    "high_temperature": (lower_temperature,),
    "unparsable_output": (lower_temperature,),
    "malformed_tool_arguments": (lower_temperature,),
    "invented_argument": (lower_temperature,),
    "rate_limit": (more_retries, vendor_default),
    "retry_storm": (more_retries, vendor_default),
    "timeout": (longer_timeout, more_retries),
    "repeated_calls": (more_steps,),
}
