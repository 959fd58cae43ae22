"""Fixes agents with a seeded fault, offline: how often is it located, repaired, and proven?

    python -m benchmarks.fixture_fixes [--only NAME …] [--jobs 2] [--json] [--keep DIR]
                                       [--rows FILE] [--without-trial]

Each folder of `benchmarks/agents` is copied to a repository of its own and recorded against its
scripted model; failing and passing inputs are labelled with their checks. Then `fix` runs without
a model: detectors, locate, playbook, guard, trial in the sandbox. Held-out inputs are seen by
nothing before the end: they are run against the patched repository, and so is everything else.

A fix is *accepted* when its verdict is `fixed`. An accepted fix is *wrong* when, with the patch, a
failing or held-out input still fails its checks or a passing one fails them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.agents._model import Model, serve
from refinery import detectors
from refinery.agents import playbook
from refinery.agents.missed import with_missed
from refinery.codebase.locate import attach
from refinery.intervals import wilson
from refinery.model.failure import Finding, SourceLocation
from refinery.model.trace import Json, Label, Trace
from refinery.model.verdict import ReplayResult, Verdict
from refinery.replay.checks import evaluate, parse
from refinery.workflows import record, traces
from refinery.workflows.fix import Decision, FixRequest, fix
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.wiring import Workspace, open_workspace

AGENTS = Path(__file__).parent / "agents"
TIME_LIMIT_S = 900
"""Longest time one fixture may take, seconds."""
MOST_SAMPLES = 4
"""Times a failing input is run until it fails: a warm model is right now and then."""
WIDEST = 40
"""Lines a place may span and still count as a line found; chosen by us."""


@dataclass(frozen=True, slots=True)
class Given:
    """One input of a fixture."""

    group: str
    """`failing`, `passing` or `held_out`."""
    input: Json
    checks: tuple[str, ...]
    expect: str | None = None


@dataclass(frozen=True, slots=True)
class Fixture:
    """An agent with a seeded fault."""

    name: str
    fault: str
    shape: str
    prompts: str
    file: str
    line: int
    inputs: tuple[Given, ...]
    also: tuple[tuple[str, int], ...] = ()
    """Other places of the same fault: a fix made there is proven as well."""

    def of(self, group: str) -> list[Given]:
        """The inputs of a group, in order."""
        return [given for given in self.inputs if given.group == group]


@dataclass(slots=True)
class Row:
    """What came of one fixture."""

    name: str
    fault: str
    shape: str
    prompts: str
    problem: str = ""
    category: str = ""
    """Of the best finding."""
    file_first: bool = False
    """Whether the best place is in the file of the fault."""
    line_first: bool = False
    file_any: bool = False
    """Whether any place of the three best findings is."""
    line_any: bool = False
    place: str = ""
    hypotheses: int = 0
    strategies: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    proven: bool = False
    chosen: str = ""
    guard: str = ""
    held_out: str = ""
    """k/n of the held-out inputs that hold with the accepted patch."""
    wrong: bool = False
    diff: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def fixtures() -> list[Fixture]:
    """All fixtures, by name."""
    return [read(path.parent) for path in sorted(AGENTS.glob("*/fixture.json"))]


def read(folder: Path) -> Fixture:
    """The fixture in a folder."""
    told = json.loads((folder / "fixture.json").read_text(encoding="utf-8"))
    inputs = tuple(
        Given(one["group"], one["input"], tuple(one["checks"]), one.get("expect"))
        for one in told["inputs"]
    )
    return Fixture(
        folder.name,
        told["fault"],
        told["shape"],
        told["prompts"],
        told["file"],
        told["line"],
        inputs,
        tuple((file, line) for file, line in told.get("also", ())),
    )


def run(fixture: Fixture, folder: Path, *, without_trial: bool = False) -> Row:
    """Record, fix and judge one fixture in an empty folder.

    Args:
        fixture: which.
        folder: where its repositories are made.
        without_trial: stop at the hypotheses; nothing is proven then.
    """
    row = Row(fixture.name, fixture.fault, fixture.shape, fixture.prompts)
    started = time.monotonic()
    repository = _repository(fixture, folder / "repository")
    model = Model.read(AGENTS / fixture.name / "model.json")
    with serve(model) as address, _environment(address):
        workspace = _offline(repository)
        failing = _record(workspace, repository, fixture, row)
        if failing is None:
            return row
        trace = workspace.store.get_trace(failing)
        assert trace is not None
        if without_trial:
            _propose(row, fixture, trace, repository)
            return row
        request = FixRequest(trace=trace, repository=repository)
        outcome = fix(
            workspace, request, lambda _: Decision("later", "benchmark"), row.notes.append
        )
        _read_outcome(row, fixture, outcome)
        if row.proven:
            _hold_out(row, fixture, outcome, folder / "patched")
    row.seconds = round(time.monotonic() - started, 1)
    return row


def _repository(fixture: Fixture, target: Path) -> Path:
    shutil.copytree(AGENTS / fixture.name / "repo", target)
    _git(target, "init", "--quiet", "--initial-branch=main", "--template=")
    _git(target, "config", "user.name", "Benchmark")
    _git(target, "config", "user.email", "benchmark@localhost")
    _git(target, "add", "--all")
    _git(target, "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", "Agent")
    return target.resolve()


def _git(folder: Path, *arguments: str) -> None:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


@contextmanager
def _environment(address: str) -> Iterator[None]:
    saved = dict(os.environ)
    for name in [n for n in os.environ if n.startswith(("LANGSMITH_", "LANGCHAIN_", "REFINERY_"))]:
        del os.environ[name]
    os.environ.update(
        OPENAI_BASE_URL=f"{address}/v1",
        OPENAI_API_KEY="not-needed",
        ANTHROPIC_BASE_URL=address,
        ANTHROPIC_API_KEY="not-needed",
        no_proxy="127.0.0.1,localhost",
        PYTHONDONTWRITEBYTECODE="1",
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def _offline(repository: Path) -> Workspace:
    workspace = open_workspace(repository)
    settings = workspace.settings
    values = settings.values.model_copy(update={"model": None})
    return replace(workspace, settings=replace(settings, values=values))


def _held(given: Given, recorded: record.RecordedInput) -> bool:
    """Whether all checks of an input hold for what came back."""
    error = recorded.error["message"] if recorded.error else None
    result = ReplayResult(recorded.trace_id or "", recorded.status, recorded.output, error)
    return all(evaluate(parse(check), result).held for check in given.checks)


def _record(workspace: Workspace, repository: Path, fixture: Fixture, row: Row) -> str | None:
    """Record and label failing and passing inputs; the first failing trace's id."""
    first: str | None = None
    marks = {"passing": "pass", "failing": "fail"}
    given = [one for one in fixture.inputs if one.group in marks]
    recorded = record.record_inputs(workspace, [one.input for one in given], repository)
    for one, came in zip(given, recorded, strict=True):
        mark, tries = marks[one.group], 1
        while _held(one, came) is (mark == "fail") and tries < MOST_SAMPLES:
            came = record.record_inputs(workspace, [one.input], repository)[0]
            tries += 1
        if _held(one, came) is (mark == "fail"):
            row.problem = f"a {one.group} input does not behave so: {came.output or came.error}"
            return None
        assert came.trace_id is not None
        traces.label(workspace, came.trace_id, Label(mark, one.expect, one.checks))
        if mark == "fail":
            first = first or came.trace_id
    return first


def _propose(row: Row, fixture: Fixture, trace: Trace, repository: Path) -> None:
    """Diagnose, locate and propose as the pipeline does."""
    checks = [check for given in fixture.of("failing")[:1] for check in given.checks]
    found = with_missed(detectors.diagnose(trace), trace, checks)
    findings = attach(found.findings, trace, repository)
    _read_places(row, fixture, findings)
    proposed = playbook.propose(findings, trace, repository)
    row.hypotheses = len(proposed)
    row.strategies = sorted({h.strategy for h in proposed})
    for one in proposed:
        row.verdicts.append(f"{one.hypothesis_id} {one.confidence} {one.title}: {one.edits}"[:600])
    for finding in findings:
        places = [f"{p.file}:{p.line_start}-{p.line_end} {p.kind}" for p in _places(finding)]
        row.notes.append(f"{finding.category} {finding.facts} {places}"[:600])


def _read_places(row: Row, fixture: Fixture, findings: Sequence[Finding]) -> None:
    row.category = findings[0].category if findings else "none"
    best = findings[0].source if findings else None
    row.place = f"{best.file}:{best.line_start}-{best.line_end}" if best else ""
    row.file_first = best is not None and _is_file(best, fixture)
    row.line_first = best is not None and _is_line(best, fixture)
    places = [place for finding in findings[:3] for place in _places(finding)]
    row.file_any = any(_is_file(place, fixture) for place in places)
    row.line_any = any(_is_line(place, fixture) for place in places)


def _read_outcome(row: Row, fixture: Fixture, outcome: FixOutcome) -> None:
    _read_places(row, fixture, outcome.diagnosis.findings)
    row.hypotheses = len(outcome.hypotheses)
    row.strategies = sorted({h.strategy for h in outcome.hypotheses})
    for attempt in outcome.attempts:
        said = attempt.trial.verdict.value if attempt.trial else attempt.problem or "not tried"
        why = attempt.trial.reason if attempt.trial else ""
        title = attempt.hypothesis.title
        row.verdicts.append(f"{attempt.hypothesis.hypothesis_id} {title}: {said} ({why})"[:400])
    chosen = outcome.chosen
    if chosen is None or chosen.trial is None or chosen.trial.verdict is not Verdict.FIXED:
        return
    row.proven = True
    row.chosen = chosen.hypothesis.title
    row.guard = chosen.guard.outcome.value if chosen.guard else ""
    row.diff = chosen.patch.diff if chosen.patch else ""


def _places(finding: Finding) -> list[SourceLocation]:
    return [place for place in (finding.source, *finding.related) if place is not None]


def _is_line(place: SourceLocation, fixture: Fixture) -> bool:
    is_narrow = place.line_end - place.line_start < WIDEST
    return is_narrow and any(
        place.file == file and place.line_start <= line <= place.line_end
        for file, line in _places_of(fixture)
    )


def _is_file(place: SourceLocation, fixture: Fixture) -> bool:
    return any(place.file == file for file, _ in _places_of(fixture))


def _places_of(fixture: Fixture) -> list[tuple[str, int]]:
    return [(fixture.file, fixture.line), *fixture.also]


def _hold_out(row: Row, fixture: Fixture, outcome: FixOutcome, folder: Path) -> None:
    """Run every input against the patched repository."""
    assert outcome.chosen is not None
    assert outcome.chosen.patch is not None
    repository = _repository(fixture, folder)
    for change in outcome.chosen.patch.changes:
        place = repository / change.path
        if change.after is None:
            place.unlink()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(change.after)
    workspace = _offline(repository)
    recorded = record.record_inputs(workspace, [g.input for g in fixture.inputs], repository)
    held = [_held(g, came) for g, came in zip(fixture.inputs, recorded, strict=True)]
    new = [h for g, h in zip(fixture.inputs, held, strict=True) if g.group == "held_out"]
    row.held_out = f"{sum(new)}/{len(new)}"
    row.wrong = not all(held)
    for given, came, is_held in zip(fixture.inputs, recorded, held, strict=True):
        if not is_held:
            row.notes.append(f"with the patch, {given.input} gives {came.output or came.error}")


def _apart(name: str, keep: Path | None, without_trial: bool) -> Row:
    """One fixture in a process of its own: base URLs live in the environment."""
    fixture = read(AGENTS / name)
    command = [sys.executable, "-m", "benchmarks.fixture_fixes", "--one", name]
    command += ["--keep", str(keep)] if keep else []
    command += ["--without-trial"] if without_trial else []
    try:
        limit_s = 150 if without_trial else TIME_LIMIT_S
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
        return Row(**json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        said = done.stderr[-2_000:] if not isinstance(error, subprocess.TimeoutExpired) else "late"
        return Row(name, fixture.fault, fixture.shape, fixture.prompts, problem=said)


def _kept(name: str, chosen: argparse.Namespace) -> Row:
    """One fixture's row: from the file of finished ones, else run and added to it."""
    done = (
        chosen.rows.read_text("utf-8").splitlines() if chosen.rows and chosen.rows.exists() else []
    )
    for row in (Row(**json.loads(line)) for line in done):
        if row.name == name:
            return row
    row = _apart(name, chosen.keep, chosen.without_trial)
    said = "wrong" if row.wrong else "proven" if row.proven else row.problem[:80] or "not proven"
    print(f"{name}: {said}, {row.seconds:.0f} s", file=sys.stderr, flush=True)
    if chosen.rows:
        with chosen.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
    return row


def _one(name: str, keep: Path | None, without_trial: bool) -> Row:
    fixture = read(AGENTS / name)
    if keep is not None:
        shutil.rmtree(keep / name, ignore_errors=True)
        return run(fixture, keep / name, without_trial=without_trial)
    with tempfile.TemporaryDirectory(prefix="fixture-") as folder:
        return run(fixture, Path(folder), without_trial=without_trial)


def _figure(title: str, count: int, total: int, target: str) -> dict[str, Json]:
    low, high = wilson(count, total) or (0.0, 1.0)
    share = count / total if total else 0.0
    return {
        "what": title,
        "count": count,
        "of": total,
        "share": round(share, 3),
        "interval": [round(low, 3), round(high, 3)],
        "target": target,
    }


def summary(rows: Sequence[Row]) -> list[dict[str, Json]]:
    """The figures over all fixtures, with 95 % Wilson intervals."""
    total, proven = len(rows), [row for row in rows if row.proven]
    return [
        _figure(
            "file of the fault, best place", sum(r.file_first for r in rows), total, ">= 90 %"
        ),
        _figure(
            "line of the fault, best place", sum(r.line_first for r in rows), total, ">= 80 %"
        ),
        _figure("file, any place of 3 findings", sum(r.file_any for r in rows), total, ""),
        _figure("line, any place of 3 findings", sum(r.line_any for r in rows), total, ""),
        _figure("fix proven by trial", len(proven), total, ">= 60 %"),
        _figure("wrong fix accepted", sum(r.wrong for r in proven), len(proven), "0"),
        _figure("three hypotheses or more", sum(r.hypotheses >= 3 for r in rows), total, ""),
    ]


def _print_table(rows: Sequence[Row]) -> None:
    print(f"{'fixture':22}{'fault':34}{'finding':24}{'file':5}{'line':5}{'fix':9}{'held out':9}s")
    for row in rows:
        said = "WRONG" if row.wrong else "proven" if row.proven else "-"
        marks = "".join(f"{'yes' if hit else '-':5}" for hit in (row.file_first, row.line_first))
        print(
            f"{row.name[:21]:22}{row.fault[:33]:34}{(row.problem or row.category)[:23]:24}{marks}"
            f"{said:9}{row.held_out:9}{row.seconds:.0f}"
        )
    print()
    for figure in summary(rows):
        low, high = figure["interval"]
        print(
            f"{figure['what']:32}{figure['count']:3} of {figure['of']:3} "
            f"{100 * figure['share']:5.1f} % [{100 * low:.0f}, {100 * high:.0f}] "
            f"{figure['target']}"
        )


def main() -> None:
    """Run the fixtures and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="print each hypothesis too")
    parser.add_argument("--keep", type=Path, help="leave the repositories in this folder")
    parser.add_argument("--rows", type=Path, help="keep finished rows here, and go on from them")
    parser.add_argument("--without-trial", action="store_true", help="stop at the hypotheses")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(asdict(_one(chosen.one, chosen.keep, chosen.without_trial))))
        return
    names = [f.name for f in fixtures() if not chosen.only or f.name in chosen.only]
    with ThreadPoolExecutor(chosen.jobs) as pool:
        rows = list(pool.map(lambda name: _kept(name, chosen), names))
    if chosen.json:
        print(json.dumps({"figures": summary(rows), "fixtures": [asdict(r) for r in rows]}))
        return
    for row in rows if chosen.verbose else ():
        print(f"== {row.name}: {row.category} {row.place} {row.problem}")
        print("\n".join(f"   {line}" for line in (*row.verdicts, *row.notes)))
        print(row.diff)
    _print_table(rows)


if __name__ == "__main__":
    main()
