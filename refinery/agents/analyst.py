"""The failure analyst: a model reads a trace and reports findings whose every quote is checked."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from refinery import plugins
from refinery.agents import reuse
from refinery.agents._prompt import one_line, system_prompt
from refinery.agents.digest import Digest, Handles, summarise
from refinery.agents.forecast import forecast
from refinery.agents.schemas import FindingDraft, Report
from refinery.agents.tools import Reader
from refinery.llm.router import Conversation, Model
from refinery.llm.schema import wire_schema
from refinery.model.codec import decode, encode
from refinery.model.failure import (
    Diagnosis,
    Evidence,
    Finding,
    Forecast,
    Likelihood,
    RootCause,
    RunReading,
    Signal,
    SourceLocation,
)
from refinery.model.trace import Json, Run, Trace
from refinery.model.walk import occurs, texts
from refinery.safety.redact import redact
from refinery.safety.untrusted import fence

DIGEST_TOKENS = 16_000
"""Estimated size of the digest; small enough for every model with 32,000 tokens of context."""
TOOL_ROUNDS = 6
"""Rounds of tool calls before the analyst must report."""
MAX_FINDINGS = 5
MAX_SIGNALS = 20
MIN_QUOTE = 6
"""Fewest letters and digits of a quote that is no whole value of its run; chosen by us."""
_ORDER = {Likelihood.CERTAIN: 0, Likelihood.LIKELY: 1, Likelihood.POSSIBLE: 2}


@dataclass(frozen=True, slots=True)
class AnalystTask:
    """What to analyse and with what."""

    trace: Trace
    signals: tuple[Signal, ...]
    """What the detectors saw; hints for the analyst."""
    model: Model
    root: Path | None = None
    """The agent's repository, to be read; None: only the trace is read."""
    expectation: str | None = None
    """The right behaviour in the user's words."""
    located: tuple[SourceLocation, ...] = ()
    """Places of the repository tied to the trace."""
    cache: Path | None = None
    """Folder of earlier analyses; None neither reads nor writes one."""
    alike: tuple[str, ...] = ()
    """What traces that failed alike share, see `fingerprint`; empty: none is reused."""
    foretell: Callable[[Forecast], None] = lambda _: None
    """Is told what the analysis will take, before the model is asked and only then."""


@dataclass(frozen=True, slots=True)
class _Checked:
    findings: tuple[Finding, ...]
    rejected: tuple[str, ...]


def analyse(task: AnalystTask) -> Diagnosis:
    """Diagnose a trace with a model.

    A finding is kept only when its runs exist and every quote stands verbatim in the run it
    names; the others are listed in `Diagnosis.rejected`. When all are thrown away, the model is
    told once and may report again.

    Returns:
        A diagnosis of engine `model`; from the cache (at no cost) when trace, hints, model,
        expectation and prompt are the same as before, or as far as this trace bears out the
        analysis of one that failed alike, see `reuse`.

    Raises:
        ModelError: the model did not answer, or twice answered nonsense.
        BudgetError: the budget does not allow the next call.
        CredentialsError: the key was refused.
    """
    entry = task.cache / f"analysis-{_key(task)}.json" if task.cache else None
    cached = _read_cache(entry) if entry else None
    like = task.cache / f"alike-{_key_alike(task)}.json" if task.cache and task.alike else None
    cached = cached or (reuse.find(like, task.trace) if like else None)
    if entry:
        task.model.note_lookup("analyse", is_found=cached is not None)
    if cached:
        return cached
    handles = Handles(task.trace)
    focus = [i for signal in task.signals for i in (signal.cause_run_id, signal.symptom_run_id)]
    digest = summarise(task.trace, handles, focus, DIGEST_TOKENS)
    reader = Reader(task.trace, handles, task.root, task.located)
    looks_around = not digest.is_whole or task.root is not None
    question = _question(task, handles, digest)
    sent = system_prompt("analyst") + question + json.dumps(wire_schema(Report))
    expected = forecast(task.model, sent, TOOL_ROUNDS if looks_around else 0)
    task.foretell(expected)
    conversation = task.model.converse(system_prompt("analyst"), question, purpose="analyse")
    if looks_around:
        conversation.use(reader.tools(), TOOL_ROUNDS)
        conversation.say("Report your findings now.")
    checked, unanswerable = _report(conversation, handles)
    diagnosis = Diagnosis(
        trace_id=task.trace.trace_id,
        engine="model",
        findings=checked.findings,
        unanswerable=unanswerable,
        rejected=checked.rejected,
        readings=_receipt(digest, reader),
        model=task.model.spec,
        cost_usd=task.model.cost(conversation.usage),
        forecast=expected,
    )
    if entry:
        _write_cache(entry, diagnosis)
    if like:
        reuse.keep(like, diagnosis, task.trace)
    return diagnosis


def _question(task: AnalystTask, handles: Handles, digest: Digest) -> str:
    parts = [f"Categories: {', '.join(plugins.names('detectors'))}."]
    if task.expectation:
        parts.append(f"What was expected, in the user's words:\n{task.expectation}")
    if task.signals:
        parts.append(f"Signals of the detectors:\n{fence(_hints(task, handles), 'signals')}")
    parts.append(f"The trace, {len(handles)} runs:\n{fence(digest.text)}")
    return "\n\n".join(parts)


def _hints(task: AnalystTask, handles: Handles) -> str:
    lines = []
    for signal in task.signals[:MAX_SIGNALS]:
        cause, symptom = handles.name(signal.cause_run_id), handles.name(signal.symptom_run_id)
        lines.append(
            f"- {signal.detector} ({signal.likelihood}): {one_line(signal.title, 200)}; "
            f"cause {cause}, symptom {symptom}. {one_line(signal.explanation, 400)}"
        )
    return str(redact("\n".join(lines))[0])


def _report(conversation: Conversation, handles: Handles) -> tuple[_Checked, tuple[str, ...]]:
    """Ask for the report; once more when none of its findings stands up."""
    report = conversation.structured(Report).value
    checked = _check(report.findings, handles)
    if checked.rejected and not checked.findings:
        reasons = "\n".join(checked.rejected)
        conversation.say(
            f"All findings were thrown away:\n{fence(reasons, 'reasons')}\n"
            "Report again. Copy quotes exactly, or report fewer findings, or none."
        )
        report = conversation.structured(Report).value
        again = _check(report.findings, handles)
        rejected = tuple(dict.fromkeys(checked.rejected + again.rejected))
        checked = _Checked(again.findings, rejected)
    said = tuple(one_line(question, 300) for question in report.unanswerable[:10])
    return checked, said


def _check(drafts: Sequence[FindingDraft], handles: Handles) -> _Checked:
    kept: list[Finding] = []
    rejected: list[str] = []
    for draft in drafts:
        try:
            kept.append(_finding(draft, handles))
        except ValueError as error:
            rejected.append(f"{one_line(draft.title, 120)}: {error}")
    kept.sort(key=lambda finding: (_ORDER[finding.likelihood], -finding.confidence))
    numbered = (
        replace(finding, finding_id=f"F{number}")
        for number, finding in enumerate(kept[:MAX_FINDINGS], start=1)
    )
    return _Checked(tuple(numbered), tuple(rejected))


def _finding(draft: FindingDraft, handles: Handles) -> Finding:
    """The finding of a draft.

    Raises:
        ValueError: it names a run or a quote that is not in the trace; says which.
    """
    cause, symptom = handles.run(draft.cause_run), handles.run(draft.symptom_run)
    if cause is None or symptom is None:
        unknown = draft.cause_run if cause is None else draft.symptom_run
        raise ValueError(f"there is no run {one_line(unknown, 40)!r}")
    if not draft.quotes:
        raise ValueError("it quotes nothing")
    evidence = []
    for quote in draft.quotes:
        run = handles.run(quote.run)
        if run is None:
            raise ValueError(f"there is no run {one_line(quote.run, 40)!r}")
        where = occurs(run, quote.quote) if quote.quote.strip() else None
        if where is None:
            shown = one_line(quote.quote, 120)
            raise ValueError(f"the quote {shown!r} does not occur in {quote.run}")
        if not _says_something(run, quote.quote):
            raise ValueError(f"the quote {quote.quote!r} is too short to show anything")
        evidence.append(Evidence(run.run_id, quote.quote, where))
    return Finding(
        finding_id="",
        category=one_line(draft.category, 60) or "unknown",
        title=one_line(draft.title, 200),
        explanation=draft.explanation.strip()[:2_000],
        likelihood=Likelihood(draft.likelihood),
        confidence=draft.confidence,
        cause_run_id=cause.run_id,
        symptom_run_id=symptom.run_id,
        evidence=tuple(evidence),
        root_cause=RootCause(draft.root_cause),
        level=draft.level,
        engine="model",
    )


def _receipt(digest: Digest, reader: Reader) -> tuple[RunReading, ...]:
    """What was read: the digest's extents, raised by what the tools read."""
    return tuple(
        reading
        if reading.extent == "whole"
        else replace(reading, extent=reader.extents.get(reading.run_id, reading.extent))
        for reading in digest.readings
    )


def _key(task: AnalystTask) -> str:
    """SHA-256 hex of everything the answer depends on but the repository's files."""
    own = {
        "trace": encode(task.trace),
        "signals": encode(task.signals),
        "located": encode(task.located),
    }
    return _digest(task, own)


def _key_alike(task: AnalystTask) -> str:
    """SHA-256 hex of what analyses of traces that failed alike share."""
    return _digest(task, {"alike": list(task.alike)})


def _digest(task: AnalystTask, own: dict[str, Json]) -> str:
    asked = {
        **own,
        "expectation": task.expectation,
        "model": task.model.identity,
        "reads_source": task.root is not None,
        "prompt": system_prompt("analyst"),
        "schema": wire_schema(Report),
        "tokens": DIGEST_TOKENS,
    }
    text = json.dumps(asked, ensure_ascii=False, sort_keys=True)
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def _read_cache(entry: Path) -> Diagnosis | None:
    """An earlier analysis, which costs nothing now; None when there is none that can be read."""
    try:
        stored = decode(Diagnosis, json.loads(entry.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    return replace(stored, cost_usd=0.0, forecast=None)


def _write_cache(entry: Path, diagnosis: Diagnosis) -> None:
    partial = entry.with_suffix(".partial")
    with suppress(OSError):  # an analysis that was paid for is worth more than its cache
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_text(json.dumps(encode(diagnosis), ensure_ascii=False), encoding="utf-8")
        partial.replace(entry)


def _says_something(run: Run, quote: str) -> bool:
    """Whether a quote is more than a few letters that stand in every run, or a whole value."""
    plain = quote.strip()
    is_long = sum(c.isalnum() for c in plain) >= MIN_QUOTE
    return is_long or any(plain == text.strip() for _, text in texts(run))
