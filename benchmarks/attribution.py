"""How well failed runs of real agents are explained, and how often passing ones are accused.

    python -m benchmarks.attribution [DATA_DIR] [--whowhen DIR] [--agentrx DIR] [--tau-retail DIR]
        [--tau-airline FILE] [--agentdyn DIR] [--model PROVIDER:NAME] [--json]

Four questions, one engine and one setting for all of them:

- who, and which step, caused a run that is known to have failed (Who&When, AgentRx);
- how many failing and passing runs get a finding that is `likely` or stronger (tau-bench);
- whether an instruction planted in a tool's data is found, also the call that obeys it (AgentDyn);
- what each detector and each feature adds (left out when a model answers).

Beside every figure stand its 95 % Wilson interval and what simple rules reach on the same runs.
Rules and figures say nothing about other data: thresholds and weights were chosen on these sets,
`benchmarks/fit_attribution.py` prints the figures out of fold.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attribution_data import (
    Attacked,
    Judged,
    Labelled,
    agentdyn,
    agentrx,
    judged,
    whowhen,
)
from refinery import plugins
from refinery.detectors import diagnose, observe
from refinery.detectors._shared.actions import is_change
from refinery.detectors._shared.attribution import Suspect, suspects, weights
from refinery.detectors._shared.steps import Speaker, Step, steps_of
from refinery.detectors._shared.view import says_error
from refinery.intervals import wilson
from refinery.model.failure import Diagnosis, Likelihood, Signal
from refinery.model.trace import Trace
from refinery.model.walk import occurs

FAILED_CODE = ("exitcode: 1", "traceback", "execution failed")
"""What the rule `first error` takes for an error, beside results that begin like one."""
Json = Any
Diagnose = Callable[[Trace, bool], Diagnosis]


@dataclass(frozen=True, slots=True)
class Share:
    """k of n with its interval, in per cent."""

    hits: float
    of: int

    def document(self) -> dict[str, Json]:
        """As JSON."""
        interval = wilson(round(self.hits), self.of)
        return {
            "hits": round(self.hits, 2),
            "of": self.of,
            "percent": round(100 * self.hits / self.of, 1) if self.of else None,
            "interval": [round(100 * edge, 1) for edge in interval] if interval else None,
        }


def attribution(runs: Sequence[Labelled], engine: Diagnose | None) -> dict[str, Json]:
    """Agent and step accuracy of the engine and of the rules on one set of failed runs."""
    table: dict[str, list[tuple[float, float]]] = {}
    any_fault, expected = 0, 0.0
    for run in runs:
        steps = steps_of(run.trace)
        if engine is None:
            ranked = suspects(run.trace, observe(run.trace))
            best = ranked[0] if ranked else None
            expected += best.probability if best else 0.0
            guess = best.step if best else None
        else:
            guess = _named(engine(run.trace, True), steps.blamable)
        any_fault += guess is not None and run.place(guess) in run.errors
        table.setdefault("engine", []).append(_right(run, guess))
        for name, rule in RULES.items():
            table.setdefault(name, []).append(_right(run, rule(steps.all, steps.hub)))
        table.setdefault("uniform random", []).append(_uniform(run, steps.blamable))
    of = len(runs)
    rows: dict[str, Json] = {
        name: {
            "agent": Share(sum(a for a, _ in hits), of).document(),
            "step": Share(sum(s for _, s in hits), of).document(),
        }
        for name, hits in table.items()
    }
    rows["engine"]["some labelled fault"] = Share(any_fault, of).document()
    if engine is None:
        rows["engine"]["expected step"] = Share(expected, of).document()
    return rows


def _named(found: Diagnosis, steps: Sequence[Step]) -> Step | None:
    """The step the best finding names as its cause."""
    for finding in found.findings:
        speaker = finding.facts.get("speaker", Speaker.AGENT.value)
        for step in steps:
            if step.run.run_id == finding.cause_run_id and step.speaker.value == speaker:
                return step
    return None


def _right(run: Labelled, guess: Step | None) -> tuple[float, float]:
    if guess is None:
        return 0.0, 0.0
    return float(guess.agent == run.agent), float(run.place(guess) == run.step)


def _uniform(run: Labelled, steps: Sequence[Step]) -> tuple[float, float]:
    """What drawing an agent and a step at random is right in, on average."""
    agents = {step.agent for step in steps}
    hit = any(run.place(step) == run.step for step in steps)
    return float(run.agent in agents) / max(1, len(agents)), float(hit) / max(1, len(steps))


def _first_error(steps: Sequence[Step], _: str | None) -> Step | None:
    """The agent step before the first failing result, else the first step."""
    agents = [step for step in steps if step.speaker is Speaker.AGENT]
    for step in steps:
        text = step.text[:3_000].lower()
        is_bad = says_error(text) or any(mark in text for mark in FAILED_CODE)
        if step.speaker is Speaker.TOOL and is_bad:
            earlier = [a for a in agents if a.index < step.index]
            return earlier[-1] if earlier else None
    return agents[0] if agents else None


def _last_work(steps: Sequence[Step], hub: str | None) -> Step | None:
    work = [s for s in steps if s.speaker is Speaker.AGENT and s.agent != hub]
    return work[-1] if work else None


def _first_work(steps: Sequence[Step], hub: str | None) -> Step | None:
    work = [s for s in steps if s.speaker is Speaker.AGENT and s.agent != hub]
    return next((step for step in work if step.index > 0), None)


def _first_change(steps: Sequence[Step], _: str | None) -> Step | None:
    return next((s for s in steps if any(is_change(c.name) for c in s.calls)), None)


RULES: dict[str, Callable[[Sequence[Step], str | None], Step | None]] = {
    "first error, else first agent": _first_error,
    "last worker step": _last_work,
    "first worker step": _first_work,
    "first write call": _first_change,
}
"""Simple rules every engine should beat."""


def alarms(runs: Sequence[Judged], engine: Diagnose) -> dict[str, Json]:
    """Failing and passing runs with a finding that is likely or stronger, and what spoke up."""
    table: dict[str, Json] = {}
    invented = 0
    for outcome, passed in (("failing", False), ("passing", True)):
        found = [engine(run.trace, False) for run in runs if run.passed is passed]
        traces = [run.trace for run in runs if run.passed is passed]
        invented += sum(_invented(t, d) for t, d in zip(traces, found, strict=True))
        strong = sum(
            any(f.likelihood is not Likelihood.POSSIBLE for f in d.findings) for d in found
        )
        by_detector: dict[str, int] = {}
        for one in found:
            for key in {f"{f.category} {f.likelihood.value}" for f in one.findings}:
                by_detector[key] = by_detector.get(key, 0) + 1
        table[outcome] = {
            "likely or stronger": Share(strong, len(found)).document(),
            "any finding": Share(sum(bool(d.findings) for d in found), len(found)).document(),
            "by detector": dict(sorted(by_detector.items())),
        }
    return {**table, "invented quotes": invented}


def _invented(trace: Trace, found: Diagnosis) -> int:
    runs = {run.run_id: run for run in trace.runs}
    items = [item for finding in found.findings for item in finding.evidence]
    return sum(i.run_id not in runs or occurs(runs[i.run_id], i.quote) is None for i in items)


def injections(runs: Sequence[Attacked], engine: Diagnose) -> dict[str, Json]:
    """Planted instructions found, obeyed ones found, and false alarms on clean runs."""
    counts = {"planted and seen": [0, 0], "obeyed": [0, 0], "obeyed, likely": [0, 0]}
    counts |= {"clean, false alarm": [0, 0], "clean, false alarm likely": [0, 0]}
    for run in runs:
        hits = [f for f in engine(run.trace, False).findings if f.category == INJECTION]
        strong = [f for f in hits if f.likelihood is not Likelihood.POSSIBLE]
        pairs: list[tuple[str, Sequence[Any]]] = []
        if run.is_seen:
            pairs.append(("planted and seen", hits))
            if run.is_obeyed:
                pairs += [("obeyed", hits), ("obeyed, likely", strong)]
        elif not run.payloads:
            pairs += [("clean, false alarm", hits), ("clean, false alarm likely", strong)]
        for name, seen in pairs:
            counts[name][0] += bool(seen)
            counts[name][1] += 1
    return {name: Share(hits, of).document() for name, (hits, of) in counts.items()}


INJECTION = "injected_instruction"


def ablation(groups: dict[str, list[Labelled]], tau: dict[str, list[Judged]]) -> dict[str, Json]:
    """What is lost without each feature, and without each detector."""
    return {
        "without feature": _without_features(groups),
        "without detector": _without(groups, tau),
    }


def _without_features(groups: dict[str, list[Labelled]]) -> dict[str, Json]:
    seen = {g: [(run, observe(run.trace)) for run in runs] for g, runs in groups.items()}
    table: dict[str, Json] = {}
    for name in ("", *weights()):
        kept = {k: w for k, w in weights().items() if k != name}
        table[name or "nothing left out"] = {g: _hits(pairs, kept) for g, pairs in seen.items()}
    return table


def _hits(pairs: Sequence[tuple[Labelled, Sequence[Signal]]], kept: dict[str, float]) -> Json:
    hits = [(run, suspects(run.trace, signals, kept)) for run, signals in pairs]
    return {
        "agent": round(100 * sum(_right(r, _top(s))[0] for r, s in hits) / max(1, len(hits)), 1),
        "step": round(100 * sum(_right(r, _top(s))[1] for r, s in hits) / max(1, len(hits)), 1),
    }


def _top(ranked: Sequence[Suspect]) -> Step | None:
    return ranked[0].step if ranked else None


def _without(groups: dict[str, list[Labelled]], tau: dict[str, list[Judged]]) -> dict[str, Json]:
    known = dict(weights())
    seen = {g: [(run, observe(run.trace)) for run in runs] for g, runs in groups.items()}
    judged_runs = {
        name: [(run.passed, _strong(diagnose(run.trace))) for run in runs]
        for name, runs in tau.items()
    }
    table: dict[str, Json] = {}
    for name in ("", *plugins.names("detectors")):
        row: dict[str, Json] = {}
        for group, pairs in seen.items():
            rest = [(run, [s for s in signals if s.detector != name]) for run, signals in pairs]
            row[group] = _hits(rest, known)
        for group, strong in judged_runs.items():
            row[group] = {
                ("passing" if passed else "failing"): sum(
                    bool(found - {name}) for was, found in strong if was is passed
                )
                for passed in (True, False)
            }
        table[name or "nothing left out"] = row
    base = table["nothing left out"]
    return {name: row for name, row in table.items() if row != base or row is base}


def _strong(found: Diagnosis) -> set[str]:
    return {f.category for f in found.findings if f.likelihood is not Likelihood.POSSIBLE}


def offline(trace: Trace, failed: bool) -> Diagnosis:
    """The detectors alone."""
    return diagnose(trace, failed=failed)


def with_model(name: str) -> Diagnose:
    """The analyst with a model, `provider:name`; its key comes from the environment."""
    from refinery.agents.analyst import AnalystTask, analyse
    from refinery.workflows.wiring import connect_model, open_workspace

    workspace = open_workspace()
    model = connect_model(workspace, name)
    if model is None:
        raise SystemExit(f"no model named {name!r}")

    def ask(trace: Trace, failed: bool) -> Diagnosis:
        words = "The run failed: its outcome was judged wrong." if failed else None
        signals = tuple(observe(trace))
        return analyse(AnalystTask(trace=trace, signals=signals, model=model, expectation=words))

    return ask


def measure(given: argparse.Namespace) -> dict[str, Json]:
    """Every table the data at hand allows; absent sets are named under `skipped`."""
    engine = with_model(given.model) if given.model else offline
    started = time.perf_counter()
    report: dict[str, Json] = {"engine": given.model or "detectors", "skipped": []}
    groups: dict[str, list[Labelled]] = {}
    if given.whowhen.is_dir():
        for run in whowhen(given.whowhen):
            groups.setdefault(run.group, []).append(run)
    if labelled := agentrx(given.agentrx):
        groups["agentrx_tau"] = labelled
    table = {g: attribution(runs, engine if given.model else None) for g, runs in groups.items()}
    report["attribution"] = table
    tau = _tau(given)
    report["alarms"] = {name: alarms(runs, engine) for name, runs in tau.items()}
    attacked = list(agentdyn(given.agentdyn)) if given.agentdyn.is_dir() else []
    report["injection"] = injections(attacked, engine) if attacked else {}
    if not given.model:
        report["ablation"] = ablation(groups, tau)
    report["skipped"] = [
        name
        for name, found in (
            ("whowhen", given.whowhen.is_dir()), ("agentrx", bool(labelled)),
            ("tau-retail", "tau_retail" in tau), ("tau-airline", "tau_airline" in tau),
            ("agentdyn", bool(attacked)),
        )
        if not found
    ]  # fmt: skip
    report["seconds"] = round(time.perf_counter() - started, 1)
    return report


def _tau(given: argparse.Namespace) -> dict[str, list[Judged]]:
    retail = given.tau_retail / "tau_dataset_full.json.gz"
    paths = {"tau_retail": retail, "tau_airline": given.tau_airline}
    return {name: list(judged(path)) for name, path in paths.items() if path.is_file()}


def show(report: dict[str, Json]) -> None:
    """Print the report for people."""
    for group, rows in report["attribution"].items():
        _show_group(group, rows)
    for name, table in report["alarms"].items():
        print(f"\n{name}: invented quotes {table['invented quotes']}")
        for outcome in ("failing", "passing"):
            row = table[outcome]
            print(f"  {outcome} runs, likely or stronger {_cell(row['likely or stronger'])}")
            for detector, runs in row["by detector"].items():
                print(f"      {detector:40}{runs:5}")
    if report["injection"]:
        print("\nagentdyn, instructions in the data of tools:")
    for name, share in report["injection"].items():
        print(f"  {name:32}{_cell(share)} of {share['of']}")
    for title, table in report.get("ablation", {}).items():
        print(f"\n{title} (agent/step right, passing/failing runs accused):")
        for name, row in table.items():
            print(f"  {name:26}" + "  ".join(f"{g} {_short(cell)}" for g, cell in row.items()))
    if report["skipped"]:
        print(f"\nskipped, not at hand: {', '.join(report['skipped'])}")
    print(f"\n{report['seconds']} s, engine: {report['engine']}")


def _show_group(group: str, rows: dict[str, Json]) -> None:
    of = rows["engine"]["agent"]["of"]
    print(f"\n{group}: {of} failed runs{'agent':>24}{'step':>26}")
    for name, row in rows.items():
        print(f"  {name:32}{_cell(row['agent'])}{_cell(row['step'])}")
    extra = rows["engine"]
    print(f"  {'engine: one of the labelled faults':58}{_cell(extra['some labelled fault'])}")
    if "expected step" in extra:
        print(f"  {'engine: right steps it expects itself':58}{_cell(extra['expected step'])}")


def _cell(share: dict[str, Json]) -> str:
    if not share["of"]:
        return f"{'no runs':>26}"
    low, high = share["interval"]
    return f"{share['percent']:8.1f} % ({low:4.1f} to {high:4.1f})"


def _short(cell: dict[str, float]) -> str:
    return "/".join(f"{value:g}" for value in cell.values())


def main(arguments: Sequence[str]) -> int:
    """Print the tables; 0 also when data is absent, 1 when a quote was invented."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    for name in ("whowhen", "agentrx", "tau-retail", "tau-airline", "agentdyn"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--model", help="provider:name; default: the detectors alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    retail = given.tau_retail or given.data / "agentrx_tau"
    given.whowhen = given.whowhen or given.data / "whowhen_dev"
    given.agentrx = given.agentrx or retail
    given.tau_retail = retail
    given.tau_airline = given.tau_airline or given.data / "tau_airline" / "gpt-4o-airline.json.gz"
    given.agentdyn = given.agentdyn or given.data / "agentdyn"
    report = measure(given)
    if given.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return int(any(table["invented quotes"] for table in report["alarms"].values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
