"""Recipes for a result that is not what was expected, by where the right answer was lost."""

import re
from collections.abc import Iterator
from dataclasses import replace

from refinery.agents.missed import CATEGORY
from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import ADVICE, SECOND, Advice, advise
from refinery.agents.playbook._shared.editing import set_literal
from refinery.agents.playbook._shared.numbers import lower_temperature
from refinery.codebase.causes import settings_behind
from refinery.model.messages import answer_text, messages_in
from refinery.model.trace import RunKind
from refinery.model.walk import of_kind
from refinery.replay.languages import NAMES

MOST_TURNS = 40
"""Messages a recipe keeps of a conversation; chosen by us."""
_MOST_PLACES = 2
_DATE = re.compile(r"\b(?:19|20)\d{2}-\d{2}(?:-\d{2})?\b|\b(?:19|20)\d{2}\b")
_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,60}\binstructions?\b|"
    r"\b(?:assistants?|ai|system|important)\b.{0,80}\b(?:reply|answer|say|tell|call|send)\b",
    re.IGNORECASE,
)
_FORM_TOPIC = "answer format length language instructions"
_FORM = "The answer has another form than the one that is wanted; the prompt does not ask for it."


def keep_more_turns(case: Case) -> Iterator[Draft]:
    """Keep more of the conversation, where the program cuts it."""
    if case.finding.facts.get("lost") != "in the conversation":
        return
    found = settings_behind(case.tree, CATEGORY, case.finding.facts, case.places())
    for rank, one in enumerate(found[:_MOST_PLACES]):
        source = case.tree.text(one.path)
        assert isinstance(one.value, int)
        more = min(MOST_TURNS, max(12, one.value * 5))
        edit = set_literal(source, one, more) if source and more > one.value else None
        if edit is not None:
            yield Draft(
                title=f"Keep {more} messages of the conversation instead of {one.value}",
                rationale="What the answer needs was said earlier in the conversation, and the "
                f"program hands only the last {one.value} messages to the model.",
                strategy="context",
                edits=(edit,),
                fitness=0.85 - 0.1 * rank,
                before="Earlier messages are forgotten.",
                after=f"The last {more} messages reach the model.",
                risks=("Long conversations cost more.",),
                topic="conversation memory window history",
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
    kind, wanted = str(case.finding.facts.get("check")), str(case.finding.facts.get("wanted"))
    for fitness, sentence in _sentences(kind, wanted.strip()):
        title = "Ask for the form that is wanted"
        yield from advise(case, Advice(sentence, title, _FORM, fitness, _FORM_TOPIC))


def _sentences(kind: str, wanted: str) -> Iterator[tuple[float, str]]:
    """Instructions that ask for what a check tests, by their fitness."""
    if kind == "language":
        yield 0.85, "Answer in the language of the question."
        name = next((name for name, code in NAMES.items() if code == wanted), "")
        if name:
            yield 0.8, f"Answer in {name.capitalize()}."
    if kind == "max_words" and wanted.isdigit():
        yield 0.9, f"Answer in at most {wanted} words."
        yield 0.8, "Answer in one short sentence."
    if kind == "max_chars" and wanted.isdigit():
        yield 0.85, f"Answer in at most {max(1, int(wanted) // 7)} words."
        yield 0.8, "Answer in one short sentence."
    if kind == "min_words" and wanted.isdigit():
        yield 0.85, f"Answer in at least {wanted} words."
    if kind in ("json_schema", "regex") and ("{" in wanted[:4] or kind == "json_schema"):
        yield 0.85, ADVICE["unparsable_output"].sentence
    if kind in ("not_contains", "not_regex") and set(wanted) & set("*#`_"):
        yield 0.9, "Answer in plain text, without markdown."


RECIPES: dict[str, tuple[Recipe, ...]] = {
    CATEGORY: (keep_more_turns, say_what_counts, answer_steadily, ask_for_the_form),
}
