"""Analyses of traces that failed alike, held against another trace instead of paid for again.

What was found in one trace is a guess about another. So a finding is carried over only when its
runs have counterparts at the same place of the tree and a quote of it stands there verbatim; its
likelihood is at most `likely`, and `possible` when a quote is missing.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from refinery.model.codec import decode, encode
from refinery.model.failure import Diagnosis, Evidence, Finding, Likelihood
from refinery.model.trace import Run, Trace
from refinery.model.walk import occurs

MAX_DEPTH = 200
"""Steps from the root to a run that are followed."""
Address = tuple[tuple[str, str, int], ...]
"""Name, kind and number among its like siblings of each run from the root down."""


def keep(entry: Path, diagnosis: Diagnosis, trace: Trace) -> None:
    """Keep an analysis for traces that fail alike; the newest one counts.

    Args:
        entry: the file, named by what failures that are alike share.
        diagnosis: by a model.
        trace: of which.
    """
    if not diagnosis.findings:
        return
    named = {run_id for finding in diagnosis.findings for run_id in _runs(finding)}
    places = {run_id: found for run_id, found in _addresses(trace).items() if run_id in named}
    kept = {"diagnosis": encode(diagnosis), "places": places}
    partial = entry.with_suffix(".partial")
    with suppress(OSError):  # an analysis that was paid for is worth more than its cache
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        partial.replace(entry)


def find(entry: Path, trace: Trace) -> Diagnosis | None:
    """The analysis of a trace that failed alike, as far as this trace bears it out.

    None when there is none, or none of its findings stands in this trace.
    """
    try:
        kept = json.loads(entry.read_text(encoding="utf-8"))
        known = decode(Diagnosis, kept["diagnosis"])
        places = _read(kept["places"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    here = {place: run_id for run_id, place in _addresses(trace).items()}
    there = {run_id: here[place] for run_id, place in places.items() if place in here}
    findings: list[Finding] = []
    rejected: list[str] = []
    for finding in known.findings:
        carried = _carried(finding, there, trace)
        if carried is None:
            rejected.append(f"{finding.title}: not borne out by this trace")
        else:
            findings.append(replace(carried, finding_id=f"F{len(findings) + 1}"))
    if not findings:
        return None
    source = known.reused_from or known.trace_id
    return Diagnosis(
        trace_id=trace.trace_id,
        engine=known.engine,
        findings=tuple(findings),
        unanswerable=(
            f"analysis of trace {source} reused: same failure; the model did not read this one",
        ),
        rejected=tuple(rejected),
        model=known.model,
        cost_usd=0.0,
        reused_from=source,
    )


def _carried(finding: Finding, there: Mapping[str, str], trace: Trace) -> Finding | None:
    """A finding about another trace, as far as it holds for this one."""
    cause, symptom = there.get(finding.cause_run_id), there.get(finding.symptom_run_id)
    if cause is None or symptom is None:
        return None
    held = [one for quote in finding.evidence if (one := _held(quote, there, trace))]
    if not held:
        return None
    is_whole = len(held) == len(finding.evidence)
    is_possible = not is_whole or finding.likelihood is Likelihood.POSSIBLE
    return replace(
        finding,
        likelihood=Likelihood.POSSIBLE if is_possible else Likelihood.LIKELY,
        confidence=round(finding.confidence * len(held) / len(finding.evidence), 3),
        cause_run_id=cause,
        symptom_run_id=symptom,
        evidence=tuple(held),
        source=None,
        related=(),
    )


def _held(quote: Evidence, there: Mapping[str, str], trace: Trace) -> Evidence | None:
    run_id = there.get(quote.run_id)
    run = trace.run(run_id) if run_id else None
    where = occurs(run, quote.quote) if run else None
    return Evidence(run.run_id, quote.quote, where) if run and where is not None else None


def _runs(finding: Finding) -> tuple[str, ...]:
    return (finding.cause_run_id, finding.symptom_run_id, *(e.run_id for e in finding.evidence))


def _addresses(trace: Trace) -> dict[str, Address]:
    """Where each run stands in the tree, by run id; runs below `MAX_DEPTH` are left out."""
    children: dict[str | None, list[Run]] = defaultdict(list)
    for run in trace.runs:
        children[run.parent_id].append(run)
    found: dict[str, Address] = {}
    waiting: list[tuple[Run, Address]] = [(trace.root, ())] if trace.root else []
    while waiting:
        run, place = waiting.pop()
        if run.run_id in found or len(place) > MAX_DEPTH:
            continue
        found[run.run_id] = place
        count: dict[tuple[str, str], int] = defaultdict(int)
        for child in children[run.run_id]:
            name, kind = child.name or "", str(child.kind or "")
            waiting.append((child, (*place, (name, kind, count[name, kind]))))
            count[name, kind] += 1
    return found


def _read(places: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, Address]:
    return {
        run_id: tuple((str(name), str(kind), int(number)) for name, kind, number in place)
        for run_id, place in places.items()
    }
