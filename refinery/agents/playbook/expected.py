"""Recipes for a result that is not what was expected, by where the right answer was lost."""

import re
from collections.abc import Iterator
from dataclasses import replace

from refinery.agents.missed import CATEGORY
from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import ADVICE, SECOND, THIRD, advise
from refinery.agents.playbook._shared.forms import form_advice
from refinery.agents.playbook._shared.numbers import lower_temperature
from refinery.model.messages import answer_text, messages_in
from refinery.model.trace import RunKind
from refinery.model.walk import of_kind

_DATE = re.compile(r"\b(?:19|20)\d{2}-\d{2}(?:-\d{2})?\b|\b(?:19|20)\d{2}\b")
_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,60}\binstructions?\b|"
    r"\b(?:assistants?|ai|system|important)\b.{0,80}\b(?:reply|answer|say|tell|call|send)\b",
    re.IGNORECASE,
)


def say_what_counts(case: Case) -> Iterator[Draft]:
    """Tell the model what to go by, where it had the right answer at hand or made one up."""
    if case.finding.facts.get("lost") not in ("in the answer", "made up", "not retrieved"):
        return
    for category, weight in _applicable(case):
        advice = ADVICE[category]
        yield from advise(case, replace(advice, fitness=advice.fitness * weight))
    if case.finding.facts.get("lost") == "in the answer":
        yield from advise(case, SECOND["ungrounded_answer"])
    if case.finding.facts.get("lost") in ("in the answer", "made up"):
        yield from advise(case, THIRD["ungrounded_answer"])


def _applicable(case: Case) -> Iterator[tuple[str, float]]:
    """Categories whose advice may help, by what the trace holds, with their weight."""
    calls = of_kind(case.trace, RunKind.LLM)
    given = "\n".join(message.text for message in messages_in(calls[-1])) if calls else ""
    tools = of_kind(case.trace, RunKind.TOOL)
    yield "ungrounded_answer", 1.0
    if len(set(_DATE.findall(given))) > 1:
        yield "stale_document", 0.95
    if any(run.tools for run in calls) or tools:
        yield "claimed_action", 0.8
        yield "empty_result_ignored", 0.85
    if _ORDER.search(given) or any(_ORDER.search(answer_text(run.outputs)) for run in tools):
        yield "injected_instruction", 1.1


def answer_steadily(case: Case) -> Iterator[Draft]:
    """Lower the temperature where the model had what it needed."""
    if case.finding.facts.get("lost") not in ("in the answer", "made up"):
        return
    calls = of_kind(case.trace, RunKind.LLM)
    heat = ((calls[-1].params or {}) if calls else {}).get("temperature")
    is_warm = isinstance(heat, int | float) and heat > 0
    for draft in lower_temperature(case):
        if is_warm or heat is None:
            yield replace(draft, fitness=0.8 if is_warm else 0.35)


def ask_for_the_form(case: Case) -> Iterator[Draft]:
    """Ask for the language, length or format that the user's check names."""
    for advice in form_advice(case.finding.facts):
        yield from advise(case, advice)


RECIPES: dict[str, tuple[Recipe, ...]] = {
    CATEGORY: (say_what_counts, answer_steadily, ask_for_the_form),
}
