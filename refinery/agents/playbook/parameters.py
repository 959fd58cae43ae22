"""Recipes for how the model is called: token limit, temperature, retries, time limit."""

import ast
from collections.abc import Iterator

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.model.patch import Edit

MODEL_CALLS = ("ChatOpenAI", "ChatAnthropic", "AzureChatOpenAI", "init_chat_model", "create")
"""Names whose call sets a model's parameters."""

TOKEN_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
LARGEST_LIMIT = 8_192
"""Most tokens a recipe asks for; within the output limit of current chat models."""


def raise_token_limit(case: Case) -> Iterator[Draft]:
    """Give the answer four times the room it had."""
    value = case.finding.facts.get("value")
    name = str(case.finding.facts.get("parameter") or TOKEN_NAMES[0])
    if not isinstance(value, int) or value <= 0 or value >= LARGEST_LIMIT:
        return
    names = (name, *(n for n in TOKEN_NAMES if n != name))
    for file, line, call, keyword in _model_calls(case, names):
        room = min(max(value * 4, 256), LARGEST_LIMIT)
        yield _draft(
            (file, line, call, keyword),
            str(room),
            title=f"Raise {keyword} from {value} to {room}",
            rationale=f"The answer was cut off at the limit of {value} tokens.",
            fitness=0.9,
            topic="max tokens truncated output length limit",
        )


def lower_temperature(case: Case) -> Iterator[Draft]:
    """Ask for the most likely answer instead of a varied one."""
    for file, line, call, keyword in _model_calls(case, ("temperature",)):
        yield _draft(
            (file, line, call, keyword),
            "0",
            title="Set the temperature to 0",
            rationale="The task needs the same answer every time and the temperature varies it.",
            fitness=0.6,
            topic="temperature determinism parameters",
        )


def more_retries(case: Case) -> Iterator[Draft]:
    """Retry a call that the provider turned away for the moment."""
    for file, line, call, keyword in _model_calls(case, ("max_retries",)):
        yield _draft(
            (file, line, call, keyword),
            "6",
            title="Retry calls that the provider turns away",
            rationale="The provider limited the rate; its SDK retries with growing pauses.",
            fitness=0.6,
            topic="rate limit retries backoff",
        )


def _draft(
    target: tuple[str, int, str, str],
    value: str,
    *,
    title: str,
    rationale: str,
    fitness: float,
    topic: str,
) -> Draft:
    file, line, call, keyword = target
    arguments = {"line": line, "call": call, "name": keyword, "value": value}
    return Draft(
        title=title,
        rationale=rationale,
        strategy="parameters",
        edits=(Edit("set_argument", file, arguments),),
        fitness=fitness,
        risks=("Cost and latency of every call may change.",),
        topic=topic,
    )


def _model_calls(case: Case, keywords: tuple[str, ...]) -> Iterator[tuple[str, int, str, str]]:
    """Calls in located files that set a model's parameters, with the keyword to use.

    A call that already has one of the keywords comes first; at most one call is returned.
    """
    found: list[tuple[bool, str, int, str, str]] = []
    for file in dict.fromkeys(place.file for place in case.places() if place.file.endswith(".py")):
        place = next(p for p in case.places() if p.file == file)
        source = case.read(place)
        if source is None:
            continue
        for call, name in _calls(source):
            present = [k.arg for k in call.keywords if k.arg in keywords]
            keyword = present[0] if present else keywords[0]
            found.append((bool(present), file, call.lineno, name, str(keyword)))
    found.sort(key=lambda item: not item[0])
    for _, file, line, name, keyword in found[:1]:
        yield file, line, name, keyword


def _calls(source: str) -> Iterator[tuple[ast.Call, str]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        dotted = ast.unparse(node.func)
        if dotted.rpartition(".")[2] in MODEL_CALLS:
            yield node, dotted


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "truncated_output": (raise_token_limit,),
    "high_temperature": (lower_temperature,),
    "unparsable_output": (lower_temperature,),
    "rate_limit": (more_retries,),
    "retry_storm": (more_retries,),
}
