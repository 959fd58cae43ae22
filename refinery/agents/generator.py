"""The hypothesis generator: a model proposes typed edits against the located source."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from refinery.agents._prompt import one_line, system_prompt
from refinery.agents.schemas import ArgumentDraft, HypothesisDraft, Proposal
from refinery.agents.tools import may_be_shown, numbered, shown_source
from refinery.codebase import editor
from refinery.codebase.repository import Repository
from refinery.errors import EditError
from refinery.knowledge.passages import Passage
from refinery.llm.router import Conversation, Model
from refinery.model.failure import Diagnosis, Finding
from refinery.model.patch import Edit, Hypothesis
from refinery.model.trace import Json, Trace
from refinery.safety.redact import redact
from refinery.safety.untrusted import fence

MAX_HYPOTHESES = 5
MAX_EDITS = 12
"""Most edits of one hypothesis; a small change needs few."""
MAX_FINDINGS = 3
MAX_FILES = 5
SMALL_FILE_LINES = 400
"""Files up to this length are shown whole; of longer ones the lines around the located place."""
_AROUND_LINES = 100
_MAX_QUOTE = 600


@dataclass(frozen=True, slots=True)
class GeneratorTask:
    """What to mend and with what."""

    trace: Trace
    """Only quoted evidence of the diagnosis is shown to the model, never the whole trace."""
    diagnosis: Diagnosis
    """With the source locations attached to its findings."""
    model: Model
    repository: Repository
    passages: tuple[Passage, ...] = ()
    expectation: str | None = None
    attempts: tuple[str, ...] = ()
    """Earlier hypotheses and what became of them, one line each."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What the generator came up with."""

    hypotheses: tuple[Hypothesis, ...]
    """Best first, `H1`, `H2`, …; every one can be planned."""
    dropped: tuple[str, ...]
    """Hypotheses that were thrown away, with the reason."""
    cost_usd: float | None
    """None when the model's price is unknown."""


@dataclass(frozen=True, slots=True)
class _Sorted:
    good: tuple[tuple[Hypothesis, int], ...]
    """Hypotheses that can be planned, with the lines they change."""
    bad: tuple[tuple[str, str], ...]
    """Titles and reasons of the others."""


def generate(task: GeneratorTask) -> list[Hypothesis]:
    """Hypotheses for a diagnosis, best first; none when nothing usable was proposed.

    Raises:
        ModelError: the model did not answer, or twice answered nonsense.
        BudgetError: the budget does not allow the next call.
        CredentialsError: the key was refused.
    """
    return list(propose(task).hypotheses)


def propose(task: GeneratorTask) -> Generation:
    """As `generate`, with what was dropped and what it cost.

    Edits that do not fit their source go back to the model once, with the reason, and are
    dropped when they still do not fit. Nothing is written anywhere.

    Raises:
        ModelError, BudgetError, CredentialsError: as `generate`.
    """
    if not task.diagnosis.findings:
        return Generation((), (), 0.0)
    kinds = editor.describe_kinds()
    conversation = task.model.converse(
        system_prompt("generator"), _question(task, kinds), purpose="generate"
    )
    sorted_out = _try(task, kinds, conversation.structured(Proposal).value.hypotheses)
    if sorted_out.bad:
        sorted_out = _once_more(task, kinds, conversation, sorted_out)
    ranked = sorted(sorted_out.good, key=lambda pair: -_worth(*pair))[:MAX_HYPOTHESES]
    return Generation(
        hypotheses=tuple(
            replace(hypothesis, hypothesis_id=f"H{number}")
            for number, (hypothesis, _) in enumerate(ranked, start=1)
        ),
        dropped=tuple(f"{title}: {reason}" for title, reason in sorted_out.bad),
        cost_usd=task.model.cost(conversation.usage),
    )


def _once_more(
    task: GeneratorTask,
    kinds: Mapping[str, Json],
    conversation: Conversation,
    before: _Sorted,
) -> _Sorted:
    """Give the edits that do not fit back to the model, once."""
    reasons = "\n".join(f"- {title}: {reason}" for title, reason in before.bad)
    conversation.say(
        f"These hypotheses cannot be applied:\n{fence(reasons, 'reasons')}\n"
        "Give only these again, corrected, or leave out those that cannot be mended. Copy texts "
        "to be replaced exactly from the source shown."
    )
    again = _try(task, kinds, conversation.structured(Proposal).value.hypotheses)
    known = [hypothesis.edits for hypothesis, _ in before.good]
    fresh = tuple(pair for pair in again.good if pair[0].edits not in known)
    return _Sorted(before.good + fresh, again.bad)


def _try(
    task: GeneratorTask, kinds: Mapping[str, Json], drafts: Sequence[HypothesisDraft]
) -> _Sorted:
    good: list[tuple[Hypothesis, int]] = []
    bad: list[tuple[str, str]] = []
    for draft in drafts[: 2 * MAX_HYPOTHESES]:
        title = one_line(draft.title, 200)
        try:
            hypothesis = _hypothesis(task, kinds, draft)
            patch = editor.plan(task.repository, hypothesis.edits)
        except EditError as error:
            bad.append((title, one_line(str(error), 500)))
            continue
        if not patch.changes:
            bad.append((title, "its edits change nothing"))
        elif all(hypothesis.edits != other.edits for other, _ in good):
            good.append((hypothesis, _changed_lines(patch.diff)))
    return _Sorted(tuple(good), tuple(bad))


def _hypothesis(
    task: GeneratorTask, kinds: Mapping[str, Json], draft: HypothesisDraft
) -> Hypothesis:
    """The hypothesis of a draft.

    Raises:
        EditError: it has no edits, too many, or one of an unknown kind or outside the repository.
    """
    if not 0 < len(draft.edits) <= MAX_EDITS:
        raise EditError(f"it has {len(draft.edits)} edits; 1 to {MAX_EDITS} are taken")
    edits = []
    for edit in draft.edits:
        if edit.kind not in kinds:
            raise EditError(f"{edit.kind!r} is no kind of edit; there are: {', '.join(kinds)}")
        path = edit.path.removeprefix("./")
        if _is_outside(task, path):
            raise EditError(f"{path!r} is not a file of the repository that may be changed")
        edits.append(Edit(edit.kind, path, _arguments(edit.arguments, kinds[edit.kind])))
    found = {finding.finding_id for finding in task.diagnosis.findings}
    cited = {passage.citation for passage in task.passages}
    return Hypothesis(
        hypothesis_id="",
        finding_id=draft.finding if draft.finding in found else "F1",
        title=one_line(draft.title, 200),
        rationale=draft.rationale.strip()[:2_000],
        strategy=draft.strategy,
        edits=tuple(edits),
        confidence=draft.confidence,
        risks=tuple(one_line(risk, 300) for risk in draft.risks[:8]),
        example_before=one_line(draft.example_before, 500),
        example_after=one_line(draft.example_after, 500),
        citations=tuple(c for c in dict.fromkeys(draft.citations) if c in cited),
        engine="model",
    )


def _is_outside(task: GeneratorTask, path: str) -> bool:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        return True
    root = task.repository.root.resolve()
    try:
        is_inside = (root / path).resolve().is_relative_to(root)
    except (OSError, ValueError):  # no file system takes such a name
        return True
    return ".git" in (part.lower() for part in parts) or not is_inside


def _arguments(drafts: Sequence[ArgumentDraft], schema: Json) -> dict[str, Json]:
    """Arguments as the kind's schema wants them: texts as they are, everything else from JSON."""
    properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    return {draft.name: _value(draft.value, properties.get(draft.name, {})) for draft in drafts}


def _value(text: str, schema: Any) -> Json:
    types = schema.get("type") if isinstance(schema, Mapping) else None
    if types == "string":
        return text
    if isinstance(types, list) and "string" in types:
        return None if text == "null" and "null" in types else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # the editor says what is wrong with it, and the model may correct it


def _question(task: GeneratorTask, kinds: Mapping[str, Json]) -> str:
    findings = task.diagnosis.findings[:MAX_FINDINGS]
    parts = [_described(finding) for finding in findings]
    if task.expectation:
        parts.append(f"What was expected, in the user's words:\n{task.expectation}")
    parts += _sources(task, findings)
    parts += [f"Guide passage {p.citation}\n{fence(p.text, 'guide')}" for p in task.passages]
    if task.attempts:
        tried = "\n".join(f"- {one_line(attempt, 300)}" for attempt in task.attempts)
        parts.append(f"Already tried without success:\n{fence(tried, 'attempts')}")
    described = json.dumps(kinds, ensure_ascii=False, indent=1)
    parts.append(f"Kinds of edits and the JSON schema of their arguments:\n{described}")
    return "\n\n".join(parts)


def _described(finding: Finding) -> str:
    """A finding for the editor: typed fields in the open, everything worded by others fenced."""
    places = [place for place in (finding.source, *finding.related) if place]
    worded = [f"{finding.title}\n{finding.explanation}"]
    worded += [f"evidence: {one_line(e.quote, _MAX_QUOTE)}" for e in finding.evidence[:6]]
    facts = json.dumps(finding.facts, ensure_ascii=False)[:2_000] if finding.facts else ""
    worded += [f"facts: {facts}"] if facts else []
    lines = [
        f"Finding {finding.finding_id}: root cause {finding.root_cause}, {finding.likelihood}, "
        f"engine {finding.engine}.",
        *(f"Place: {p.file} lines {p.line_start}-{p.line_end} ({p.kind})" for p in places[:6]),
        fence(str(redact("\n".join(worded))[0]), "finding"),
    ]
    return "\n".join(lines)


def _sources(task: GeneratorTask, findings: Sequence[Finding]) -> list[str]:
    """Source of the located files, with line numbers, most important file first."""
    places = [place for finding in findings for place in (finding.source, *finding.related)]
    spans: dict[str, list[tuple[int, int]]] = {}
    for place in places:
        if place:
            spans.setdefault(place.file, []).append((place.line_start, place.line_end))
    shown = []
    for name in list(spans)[:MAX_FILES]:
        # As committed, because that is what edits are planned on.
        content = task.repository.read(name) if may_be_shown(name) else None
        source = shown_source(content) if content is not None else None
        if source is None:
            continue
        count = len(source.splitlines())
        first, last = 1, count
        if count > SMALL_FILE_LINES:
            first = max(1, min(start for start, _ in spans[name]) - _AROUND_LINES)
            last = min(count, first + SMALL_FILE_LINES)
        text = fence(numbered(source, first, last), "source")
        shown.append(f"Source {name}, lines {first}-{last} of {count}:\n{text}")
    return shown


def _changed_lines(diff: str) -> int:
    marks = (line for line in diff.splitlines() if not line.startswith(("+++", "---")))
    return sum(line[:1] in ("+", "-") for line in marks)


def _worth(hypothesis: Hypothesis, changed_lines: int) -> float:
    """Likelihood, less for a large change and for named risks; weights chosen by us."""
    return hypothesis.confidence / (1 + changed_lines / 40) / (1 + 0.05 * len(hypothesis.risks))
