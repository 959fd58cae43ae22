"""How often the detectors speak up on failing runs, and how often they cry wolf on passing ones.

    python benchmarks/diagnosis_on_labelled_runs.py DATA_DIR

DATA_DIR holds `tau_airline/` (200 runs with a reward) and `agentrx_tau/` (100 runs with a reward,
29 failures with a labelled root cause). Nothing is imported into a store and no model is asked.
"""

import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinery.adapters.messages import read_labelled
from refinery.detectors import diagnose
from refinery.model.failure import Diagnosis, Likelihood
from refinery.model.trace import RunKind, Trace
from refinery.model.walk import occurs

SETS = {
    "tau_airline": "tau_airline/gpt-4o-airline.json.gz",
    "agentrx_tau": "agentrx_tau/tau_dataset_full.json.gz",
}
FAILED = "agentrx_tau/tau_dataset_failed.json.gz"
TRUTH = "agentrx_tau/tau_ground_truth.json"
BASELINES = "baselines without a model: first write call 20.7 %, uniform random 6.3 %"


@dataclass
class Count:
    """What was seen on the runs of one outcome."""

    runs: int = 0
    likely: int = 0
    possible: int = 0
    by_detector: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Runs with a finding, by detector and likelihood."""


def main(arguments: Sequence[str]) -> int:
    """Print the tables; 0 also when the data is absent, 1 when something crashed."""
    folder = Path(arguments[0]) if arguments else Path()
    if not arguments or not (folder / SETS["tau_airline"]).is_file():
        print("skipped: name the folder that holds tau_airline/ and agentrx_tau/")
        return 0
    crashes = 0
    for name, path in SETS.items():
        if (folder / path).is_file():
            crashes += measure(name, folder / path)
        else:
            print(f"\n{name}: skipped, {folder / path} is absent")
    crashes += root_causes(folder / FAILED, folder / TRUTH)
    return 1 if crashes else 0


def measure(name: str, path: Path) -> int:
    """Print one set's table; returns the number of crashes and invented quotes."""
    counts = {"pass": Count(), "fail": Count()}
    crashes = invented = 0
    started = time.perf_counter()
    for trace, feedback in read_labelled(path):
        outcome = next((f.value["outcome"] for f in feedback if f.key == "label"), None)
        try:
            found = diagnose(trace)
        except Exception as error:  # noqa: BLE001  # a crash is what is counted here
            crashes += 1
            print(f"  crash on {trace.trace_id}: {error!r}")
            continue
        invented += sum(not stands(trace, e.run_id, e.quote) for e in evidence_of(found))
        if outcome in counts:
            tally(counts[outcome], found)
    took = time.perf_counter() - started
    runs = sum(count.runs for count in counts.values())
    print(f"\n{name}: {runs} runs in {took:.1f} s, {crashes} crashes, {invented} invented quotes")
    for outcome, count in counts.items():
        print(
            f"  {outcome}ing runs: {count.runs}, "
            f"with a finding >= likely: {share(count.likely, count)}, "
            f"with any finding: {share(count.possible, count)}"
        )
    detectors = sorted({key for count in counts.values() for key in count.by_detector})
    for key in detectors:
        failing, passing = (counts[o].by_detector[key] for o in ("fail", "pass"))
        print(f"    {key[0]:28}{key[1]:10} failing {failing:4}   passing {passing:4}")
    return crashes + invented


def tally(count: Count, found: Diagnosis) -> None:
    """Count one run."""
    count.runs += 1
    count.possible += bool(found.findings)
    count.likely += any(f.likelihood is not Likelihood.POSSIBLE for f in found.findings)
    count.by_detector.update({(f.category, f.likelihood.value) for f in found.findings})


def share(number: int, count: Count) -> str:
    """`k (p %)`."""
    return f"{number} ({100 * number / max(count.runs, 1):.1f} %)"


def evidence_of(found: Diagnosis) -> Iterable[Any]:
    """All evidence of a diagnosis."""
    return (item for finding in found.findings for item in finding.evidence)


def stands(trace: Trace, run_id: str, quote: str) -> bool:
    """Whether a quote stands verbatim in its run."""
    run = trace.run(run_id)
    return run is not None and occurs(run, quote) is not None


def root_causes(failed: Path, truth: Path) -> int:
    """Print how often the cause run of the best findings is the labelled root-cause step."""
    if not failed.is_file() or not truth.is_file():
        print("\nagentrx_tau root causes: skipped, labels absent")
        return 0
    labels = {item["trajectory_id"]: item for item in json.loads(truth.read_text("utf-8"))}
    records = json.loads(gzip.decompress(failed.read_bytes()))
    first = exact = within = silent = near = likely = 0
    for record, (trace, _) in zip(records, read_labelled(failed), strict=True):
        label = labels[record["task_id"]]
        steps = {f["failure_id"]: f["step_number"] for f in label["failures"]}
        root = steps[label["root_cause"]["failure_id"]]
        found = diagnose(trace).findings
        named = [step_of(trace, record["traj"], f.cause_run_id) for f in found]
        silent += not named
        first += bool(named) and named[0] == root
        exact += root in named
        within += bool(named) and named[0] in steps.values()
        near += bool(named) and named[0] is not None and abs(named[0] - root) <= 1
        likely += any(f.likelihood is not Likelihood.POSSIBLE for f in found)
    total = len(records)
    print(f"\nagentrx_tau root causes, {total} labelled failures ({BASELINES}):")
    print(f"  no finding at all: {silent}; with a finding >= likely: {likely}")
    for what, number in (
        ("best finding's cause is the root-cause step", first),
        ("best finding's cause is within one step of it", near),
        ("best finding's cause is one of the labelled failures", within),
        ("some finding's cause is the root-cause step", exact),
    ):
        print(f"  {what}: {number} of {total} ({100 * number / total:.1f} %)")
    return 0


def step_of(trace: Trace, messages: Sequence[Any], run_id: str) -> int | None:
    """Place of a run in the conversation, from 1 over all messages; None for the root."""
    places = {"assistant": RunKind.LLM, "tool": RunKind.TOOL}
    for role, kind in places.items():
        runs = [run.run_id for run in trace.runs if run.kind is kind]
        steps = [n for n, message in enumerate(messages, start=1) if message["role"] == role]
        if run_id in runs:
            return steps[runs.index(run_id)]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
