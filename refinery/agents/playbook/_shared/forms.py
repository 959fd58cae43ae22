"""Sentences that ask for the form a user's check names."""

from collections.abc import Iterator, Mapping

from refinery.agents.playbook._shared.advice import ADVICE, Advice
from refinery.model.trace import Json
from refinery.replay.languages import NAMES

_TOPIC = "answer format length language instructions"
_WHY = "The answer has another form than the one that is wanted; the prompt does not ask for it."


def form_advice(facts: Mapping[str, Json]) -> Iterator[Advice]:
    """What to ask for, best first, by the facts of a finding about a missed check."""
    kind, wanted = str(facts.get("check")), str(facts.get("wanted"))
    for fitness, sentence in _sentences(kind, wanted.strip()):
        said = f"{sentence[:1].lower()}{sentence[1:].rstrip('.')}"
        title = f"Ask for the form that is wanted: {said}"
        yield Advice(sentence, title, _WHY, fitness, _TOPIC)


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
        yield 0.6, "Use no asterisks, backticks, headings or other marks in the answer."
