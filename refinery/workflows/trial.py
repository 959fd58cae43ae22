"""Tries any patch against recorded traces: a diff file, or a change Refinery made."""

import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.agents import proof
from refinery.codebase.fills import fills
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.detectors import observe
from refinery.errors import InputError, NotFoundError
from refinery.llm.purse import Purse
from refinery.model.codec import encode
from refinery.model.patch import FileChange, Patch
from refinery.model.trace import Json, Trace
from refinery.model.verdict import GuardReport, Trial, Verdict
from refinery.ports import GuardInput
from refinery.replay import checks, configure
from refinery.replay.cases import MAX_RUNS, Case, TrialRequest
from refinery.replay.spending import Metered
from refinery.replay.tape import with_entry
from refinery.replay.trial import run_trial
from refinery.safety import policy
from refinery.workflows import changes, controls, repositories, traces
from refinery.workflows.wiring import Workspace

MAX_DIFF_BYTES = 4 << 20
"""Longest diff that is tried; chosen by us."""
_PATHS = re.compile(r"^(?:---|\+\+\+|rename (?:from|to)) (?:[ab]/)?([^\t\n]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which patch to try, and on what."""

    patch: str
    """Path of a unified diff, or id of a change."""
    traces: tuple[Trace, ...]
    """What to replay; those labelled as passing are controls."""
    repository: Path | None = None
    checks: tuple[str, ...] = ()
    """What the failing traces are held against; none: their labels' checks."""
    repeats: int | None = None
    max_runs: int | None = None
    budget_usd: float | None = None
    unsandboxed: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a trial."""

    patch: Patch
    guard: GuardReport
    """What the guard would say; it stops nothing here, since nothing is written."""
    trial: Trial

    @property
    def is_fixed(self) -> bool:
        """Whether the patch is proven to fix the failing traces."""
        return self.trial.verdict is Verdict.FIXED


def attempt(workspace: Workspace, asked: Asked, say: Callable[[str], None]) -> Tried:
    """Replay recorded traces with and without a patch; the repository is not changed.

    Args:
        workspace: store and settings.
        asked: which patch, on what.
        say: is told how far the trial is, a line at a time.

    Raises:
        InputError: the diff does not apply to HEAD, or no failing trace is named.
        NotFoundError: there is no such file and no such change.
        RefusedError: no sandbox holds here.
    """
    if not asked.traces:
        raise InputError("no trace is named", hint="refinery trial my.diff --on latest-failed")
    repository = Repository.open(repositories.choose(asked.repository, asked.traces[0]))
    patch = load(workspace, repository, asked.patch)
    request = _request(workspace, repository, asked, patch)
    if not request.failing:
        raise InputError(
            "every trace named is labelled as passing", hint="name a failing one with --on"
        )
    return Tried(
        patch, _review(workspace, repository, patch), run_trial(replace(request, say=say))
    )


def load(workspace: Workspace, repository: Repository, text: str) -> Patch:
    """The patch of a diff file, on HEAD, or of a change, on the commit before it.

    Raises:
        InputError: the file is no diff that applies to HEAD.
        NotFoundError: there is no such file and no such change.
    """
    path = Path(text)
    if path.is_file():
        if path.stat().st_size > MAX_DIFF_BYTES:
            raise InputError(f"{text} is longer than {MAX_DIFF_BYTES:,} bytes")
        diff = path.read_bytes().decode("utf-8", "surrogateescape")
        return of_diff(repository, diff, text)
    found = next((c for c in changes.history(workspace.home) if c.change_id == text), None)
    if found is None:
        raise NotFoundError(
            f"{text!r} is neither a file nor a change", hint="see `refinery history`"
        )
    base = repository.resolve(f"{found.commit}^")
    made = (
        FileChange(p, repository.read(p, base), repository.read(p, found.commit))
        for p in found.paths
    )
    return build((), tuple(made), base)


def of_diff(repository: Repository, diff: str, name: str) -> Patch:
    """The patch a diff comes to on HEAD; it is applied to a copy of the files, by git.

    Raises:
        InputError: it does not apply, or changes nothing; the message begins with `name`.
    """
    base = repository.head_commit()
    with tempfile.TemporaryDirectory(prefix="refinery-diff-") as folder:
        root = Path(folder).resolve() / "code"
        try:
            repository.export(base, root, diff)
        except InputError as error:
            said = str(error).partition(": ")[2] or str(error)
            raise InputError(
                f"{name} does not apply to HEAD ({base[:12]}): {said}",
                hint="make it with `git diff`, on the commit that is checked out",
            ) from error
        paths = sorted({path for path in _PATHS.findall(diff) if path != "/dev/null"})
        made = [FileChange(p, repository.read(p, base), _content(root, p)) for p in paths]
    changed = tuple(change for change in made if change.before != change.after)
    if not changed:
        raise InputError(f"{name} changes nothing", hint="give a unified diff of text files")
    return build((), changed, base)


def _content(root: Path, path: str) -> bytes | None:
    place = root / path
    is_inside = place.resolve().is_relative_to(root)
    return place.read_bytes() if is_inside and place.is_file() else None


def _request(
    workspace: Workspace, repository: Repository, asked: Asked, patch: Patch
) -> TrialRequest:
    values, seed = workspace.settings.values, secrets.randbits(48)
    configured = configure.configure(
        workspace.settings, repository.root, allow_unsandboxed=asked.unsandboxed
    )
    agent = configured.agent
    if agent.upstream is not None:
        most = values.budget_usd if asked.budget_usd is None else asked.budget_usd
        agent = replace(agent, upstream=Metered(agent.upstream, Purse(most)))
    failing, passing = _cases(workspace, asked)
    max_runs = asked.max_runs or MAX_RUNS
    chosen, held = proof.split(failing)
    passing += _more_controls(workspace, repository, [*failing, *passing], patch, (max_runs, seed))
    half = len(passing) // 2 if held else 0
    return TrialRequest(
        hypothesis_id="patch",
        patch=patch,
        failing=chosen,
        held_out=held,
        controls=tuple(passing[half:]),
        held_controls=tuple(passing[:half]),
        agent=agent,
        base_commit=patch.base_commit,
        repeats=asked.repeats or values.replay.repeats,
        observe=observe,
        max_runs=max_runs,
        seed=seed,
    )


def _cases(workspace: Workspace, asked: Asked) -> tuple[list[Case], list[Case]]:
    """Failing and passing traces among those named, with the checks of their labels."""
    failing: list[Case] = []
    passing: list[Case] = []
    given = tuple(checks.parse(text) for text in asked.checks)
    for trace in {trace.trace_id: trace for trace in asked.traces}.values():
        label = traces.label_of(workspace.store, trace.trace_id)
        own = tuple(checks.parse(text) for text in (label.checks if label else ()))
        ready = with_entry(trace, workspace.settings.values.agent.entrypoint)
        if label is not None and label.outcome == "pass":
            passing.append(Case(ready, own))
        else:
            failing.append(Case(ready, given or own, _categories(trace)))
    return failing, passing


def _categories(trace: Trace) -> tuple[str, ...]:
    return tuple(dict.fromkeys(signal.detector for signal in observe(trace)))


def _more_controls(
    workspace: Workspace,
    repository: Repository,
    named: Sequence[Case],
    patch: Patch,
    limits: tuple[int, int],
) -> list[Case]:
    """Passing traces of the store that the patch can change, and a few others."""
    known = {case.trace.trace_id for case in named}
    found = [c for c in controls.choose(workspace, named[0].trace) if c.trace_id not in known]
    entry = workspace.settings.values.agent.entrypoint
    loaded = [(one, workspace.store.get_trace(one.trace_id)) for one in found]
    pool = {one.trace_id: (with_entry(t, entry), one.checks) for one, t in loaded if t}
    choice = proof.Choice(
        root=repository.root,
        changes=patch.changes,
        most=workspace.settings.values.replay.max_controls,
        max_runs=limits[0],
        seed=limits[1],
    )
    chosen, _ = proof.choose_controls(choice, [trace for trace, _ in pool.values()])
    return [Case(pool[i][0], tuple(checks.parse(text) for text in pool[i][1])) for i in chosen]


def _review(workspace: Workspace, repository: Repository, patch: Patch) -> GuardReport:
    limits = workspace.settings.values.guard.model_dump()
    given = GuardInput(
        changes=patch.changes,
        repository=repository.root,
        limits=limits,
        fills=fills(repository, patch),
    )
    return policy.review(patch, given)


def to_document(tried: Tried) -> dict[str, Json]:
    """The trial as the JSON of `refinery trial --json`."""
    return {
        "fixed": tried.is_fixed,
        "verdict": tried.trial.verdict.value,
        "reason": tried.trial.reason,
        "patch": {
            "base_commit": tried.patch.base_commit,
            "digest": tried.patch.digest,
            "paths": [change.path for change in tried.patch.changes],
            "diff": tried.patch.diff,
        },
        "guard": encode(tried.guard),
        "trial": encode(tried.trial),
    }
