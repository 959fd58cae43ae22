"""Recipes for numbers the program sets: token limit, temperature, retries, time limit, steps."""

import ast
from collections.abc import Callable, Iterator

from refinery import syntax
from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook.editing import set_literal
from refinery.codebase.causes import RETRIES, TIMEOUTS, TOKENS, settings_behind
from refinery.codebase.parameters import Setting
from refinery.codebase.scan import is_secondary
from refinery.model.patch import Edit
from refinery.model.trace import Json

MODEL_CALLS = ("ChatOpenAI", "ChatAnthropic", "AzureChatOpenAI", "init_chat_model", "create")
"""Names whose call sets a model's parameters."""
CLIENTS = ("OpenAI", "AsyncOpenAI", "AzureOpenAI", "Anthropic", "AsyncAnthropic", "ChatOpenAI",
           "ChatAnthropic", "AzureChatOpenAI", "init_chat_model")  # fmt: skip
"""Names whose call makes a client that retries and waits."""

LARGEST_LIMIT = 8_192
"""Most tokens a recipe asks for; within the output limit of current chat models."""
MOST_RETRIES = 5
LONGEST_WAIT_S = 120
MOST_STEPS = 50
_MOST_PLACES = 2
"""Places one recipe proposes to change, each a hypothesis of its own."""

Number = int | float


def raise_token_limit(case: Case) -> Iterator[Draft]:
    """Give the answer four times the room it had."""
    value = case.finding.facts.get("value")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < LARGEST_LIMIT:
        return
    room = min(max(value * 4, 256), LARGEST_LIMIT)
    name = str(case.finding.facts.get("parameter") or TOKENS[0])
    yield from _changed(
        case,
        lambda _: room,
        _absent(case, MODEL_CALLS, name, str(room)),
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


def lower_temperature(case: Case) -> Iterator[Draft]:
    """Ask for the most likely answer instead of a varied one."""
    draft = Draft(
        title="Set the temperature to 0",
        rationale="The task needs the same answer every time and the temperature varies it.",
        strategy="parameters",
        edits=(),
        fitness=0.6,
        before="Equal questions get different answers.",
        after="The likeliest answer is given each time.",
        risks=("Texts that should vary become alike.",),
        topic="temperature determinism parameters",
    )
    absent = _absent(case, MODEL_CALLS, "temperature", "0")
    found = settings_behind(case.tree, "high_temperature", {})
    warm = [one for one in found if isinstance(one.value, int | float) and one.value > 0]
    yield from _changed(case, lambda _: 0, absent if not found else None, draft, warm)


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
    found = [one for one in settings_behind(case.tree, "rate_limit", {}) if _is_number(one)]
    few = [one for one in found if isinstance(one.value, int) and one.value < MOST_RETRIES]
    absent = _absent(case, CLIENTS, RETRIES[0], str(MOST_RETRIES))
    yield from _changed(case, lambda _: MOST_RETRIES, absent, draft, few)


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
    short = [one for one in found if _is_number(one) and 0 < float(one.value) < LONGEST_WAIT_S]
    yield from _changed(
        case,
        lambda old: min(LONGEST_WAIT_S, max(30, round(float(old) * 10))),
        _absent(case, CLIENTS, TIMEOUTS[0], "60") if not found else None,
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
    yield from _changed(
        case, lambda old: min(MOST_STEPS, max(25, int(old) * 3)), None, draft, found
    )


def _is_number(one: Setting) -> bool:
    return isinstance(one.value, int | float) and not isinstance(one.value, bool)


def _changed(
    case: Case,
    value_of: Callable[[Number], Json],
    absent: Edit | None,
    draft: Draft,
    found: list[Setting] | None = None,
) -> Iterator[Draft]:
    """The draft with an edit for each place the value is set in; where there is none, with
    the edit that sets it.
    """  # noqa: D205  # one sentence that needs two lines
    facts = case.finding.facts
    if found is None:
        found = settings_behind(case.tree, case.finding.category, facts, case.places())
    found = [one for one in found if _is_number(one) and not is_secondary(one.path)]
    for rank, one in enumerate(found[:_MOST_PLACES]):
        assert isinstance(one.value, int | float)
        source = case.tree.text(one.path)
        edit = set_literal(source, one, value_of(one.value)) if source else None
        if edit is not None:
            yield _with(draft, edit, draft.fitness - 0.1 * rank)
    if not found and absent is not None:
        yield _with(draft, absent, draft.fitness)


def _with(draft: Draft, edit: Edit, fitness: float) -> Draft:
    from dataclasses import replace

    return replace(draft, edits=(edit,), fitness=fitness)


def _absent(case: Case, calls: tuple[str, ...], name: str, value: str) -> Edit | None:
    """An edit that adds an argument to the one call that makes or asks the model."""
    for place in case.places():
        source = case.read(place) if place.file.endswith(".py") else None
        for call, dotted in _calls(source, calls) if source else ():
            if all(keyword.arg != name for keyword in call.keywords):
                arguments = {"line": call.lineno, "call": dotted, "name": name, "value": value}
                return Edit("set_argument", place.file, arguments)
    return None


def _calls(source: str, names: tuple[str, ...]) -> Iterator[tuple[ast.Call, str]]:
    try:
        tree = syntax.parse_module(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            dotted = ast.unparse(node.func)
            is_plain = all(part.isidentifier() for part in dotted.split("."))
            if is_plain and dotted.rpartition(".")[2] in names:
                yield node, dotted


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "truncated_output": (raise_token_limit,),
    "high_temperature": (lower_temperature,),
    "unparsable_output": (lower_temperature,),
    "malformed_tool_arguments": (lower_temperature,),
    "invented_argument": (lower_temperature,),
    "rate_limit": (more_retries,),
    "retry_storm": (more_retries,),
    "timeout": (longer_timeout, more_retries),
    "repeated_calls": (more_steps,),
}
