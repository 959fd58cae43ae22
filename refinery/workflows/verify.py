"""Executes the proof of a change again, from its receipt, without a key and without a network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.agents.judge import recall
from refinery.codebase.repository import Repository
from refinery.codebase.tree import EXECUTABLE
from refinery.detectors import observe
from refinery.errors import InputError, RefusedError
from refinery.model.codec import encode
from refinery.model.patch import FileChange
from refinery.model.trace import Json
from refinery.model.verdict import Arm, Trial
from refinery.replay import checks
from refinery.replay.cases import Case, TrialRequest, as_tried
from refinery.replay.configure import configure
from refinery.replay.live_answers import Recalled
from refinery.replay.trial import run_trial
from refinery.safety.ledger import Ledger
from refinery.workflows import receipt as receipts
from refinery.workflows.receipt import ProvenCase, Receipt
from refinery.workflows.wiring import Workspace

TRAILER, RECEIPT = "Refinery-Change", "Refinery-Receipt"

_NAMED = re.compile(rf"^{RECEIPT}: [^\n]*\n", re.MULTILINE)
"""The line of a commit message that names its receipt."""
_POINTER = re.compile(r"(?:tree|parent) (?:[0-9a-f]{40}|[0-9a-f]{64})")
"""A line of a commit as git writes it; git itself would also read capital digits."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was checked."""

    name: str
    """`receipt`, `commit`, `traces`, `ledger` or `proof`."""
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a verification."""

    change_id: str
    commit: str
    steps: tuple[Step, ...]
    trial: Trial | None = None
    """The trial as executed now; None when it did not come to that."""

    @property
    def holds(self) -> bool:
        """Whether every step holds, and all were taken."""
        return self.trial is not None and all(step.holds for step in self.steps)


def verify(
    workspace: Workspace,
    repository: Repository,
    change_id: str,
    receipt: Path | None = None,
    *,
    unsandboxed: bool = False,
) -> Verified:
    """Check a change against its receipt and execute its trial again.

    Args:
        workspace: settings that say how the agent is run.
        repository: any clone that holds the commit.
        change_id: id of the change, as in the commit's trailer.
        receipt: the file; None: where `refinery fix` keeps it.
        unsandboxed: run without a sandbox when none holds here.

    Raises:
        NotFoundError: no such commit, or no receipt.
        InputError: the agent cannot be run here.
        RefusedError: no sandbox holds here.
    """
    commit, named = _commit_of(repository, change_id)
    content = receipts.load(receipt or receipts.path_of(workspace.home, change_id))
    found = receipts.digest(content)
    steps = [Step("receipt", found == named, f"{found[:23]}…, the commit names {named[:23]}…")]
    if found != named:
        return Verified(change_id, commit, tuple(steps))
    held = receipts.unpack(content, "the receipt")
    steps += [*_of_commit(repository, held, commit), _traces(held), *_of_ledger(workspace)]
    if not all(step.holds for step in steps):
        return Verified(change_id, commit, tuple(steps))
    trial = _again(workspace, repository, held, unsandboxed=unsandboxed)
    steps.append(_proof(held.trial, trial))
    return Verified(change_id, commit, tuple(steps), trial)


def _commit_of(repository: Repository, change_id: str) -> tuple[str, str]:
    """The commit of a change and the receipt it names; both from git alone.

    Raises:
        InputError: no commit names the change, or it names no receipt.
    """
    trailers = f"%(trailers:key={TRAILER},valueonly)%x1f%(trailers:key={RECEIPT},valueonly)"
    wanted = (
        "--fixed-strings",
        f"--grep={TRAILER}: {change_id}",
        f"--format=%H%x1f{trailers}%x00",
    )
    for item in repository.git.text("log", "--all", *wanted).split("\0"):
        parts = [part.strip() for part in item.split("\x1f")]
        if len(parts) == 3 and parts[1] == change_id:
            if not parts[2]:
                raise InputError(
                    f"commit {parts[0][:12]} names no receipt",
                    hint="changes made before receipts were kept cannot be verified",
                )
            return parts[0], parts[2]
    raise InputError(
        f"no commit here carries the trailer {TRAILER}: {change_id}",
        hint="fetch the branch it is on; `refinery history` lists changes",
    )


def _of_commit(repository: Repository, held: Receipt, commit: str) -> Iterator[Step]:
    parent = repository.git.text("rev-parse", f"{commit}^")
    yield Step("commit", parent == held.patch.base_commit, f"made on {parent[:12]}")
    wrong = [
        change.path
        for change in held.patch.changes
        if repository.read(change.path, commit) != change.after
        or repository.read(change.path, parent) != change.before
        or _is_executable(repository, commit, change) != _is_executable(repository, parent, change)
    ]
    listing = ("-r", "--no-renames", "--ignore-submodules=none", "--name-only", "-z")
    paths = repository.git.text("diff-tree", *listing, parent, commit).split("\0")
    others = {path for path in paths if path} - {change.path for change in held.patch.changes}
    bad = sorted({*wrong, *others})
    yield Step("commit", not bad, f"differs in {', '.join(bad)}" if bad else "exactly the patch")
    if held.commit_text:
        is_same = _said(repository, commit) == held.commit_text
        told = "as approved" if is_same else "not as approved"
        yield Step("commit", is_same, f"author, dates and message {told}")


def _is_executable(repository: Repository, commit: str, change: FileChange) -> bool:
    entry = repository.tree(commit).get(change.path)
    return entry is not None and entry.mode == EXECUTABLE


def _said(repository: Repository, commit: str) -> str:
    """What a commit object says beside its tree, its parent and the receipt it names."""
    head, _, message = (
        repository.git.run("cat-file", "commit", commit)
        .decode("utf-8", "surrogateescape")
        .partition("\n\n")
    )
    # Lines end in a newline and nothing else: `splitlines` would take a flipped bit for another.
    kept = [line for line in head.split("\n") if not _POINTER.fullmatch(line)]
    return "\n".join(kept) + "\n\n" + _NAMED.sub("", message, count=1)


def _traces(held: Receipt) -> Step:
    cases = (*held.failing, *held.controls)
    wrong = [
        case.trace.trace_id
        for case in cases
        if held.trace_hashes.get(case.trace.trace_id) != receipts.trace_hash(case.trace)
    ]
    told = f"{len(cases)} traces" if not wrong else f"altered: {', '.join(wrong)}"
    return Step("traces", not wrong, told)


def _of_ledger(workspace: Workspace) -> Iterator[Step]:
    """The ledger where there is one; a clone has none."""
    ledger = Ledger(workspace.home / "ledger.jsonl")
    if not ledger.path.exists():
        return
    try:
        ledger.verify()
    except RefusedError as error:
        yield Step("ledger", False, str(error))
    else:
        yield Step("ledger", True, "every entry follows from the one before")


def _again(
    workspace: Workspace, repository: Repository, held: Receipt, *, unsandboxed: bool
) -> Trial:
    """The trial, with live answers from the receipt."""
    configured = configure(
        workspace.settings, repository.root, allow_unsandboxed=unsandboxed, live_requests=0
    )
    asked = Recalled(held.exchanges) if held.exchanges else None
    chosen = held.trial.hypothesis_id
    return run_trial(
        TrialRequest(
            hypothesis_id=chosen,
            patch=held.patch,
            **as_tried(
                held.trial,
                [_case(case) for case in held.failing],
                [_case(case) for case in held.controls],
            ),
            agent=replace(configured.agent, upstream=asked),
            base_commit=held.patch.base_commit,
            repeats=held.repeats,
            observe=observe,
            judge=recall(held.trial),
            touched=held.touched,
        )
    )


def _case(case: ProvenCase) -> Case:
    return Case(case.trace, tuple(checks.parse(text) for text in case.checks), case.categories)


def _proof(recorded: Trial, again: Trial) -> Step:
    """Whether the trial ends as recorded, arm by arm."""
    before, now = (_counts(trial.arms) for trial in (recorded, again))
    told = ", ".join(f"{name} {passed} of {total}" for name, (passed, total) in now.items())
    if recorded.verdict is not again.verdict:
        reason = f"{again.reason} " if again.reason else ""
        detail = f"recorded {recorded.verdict.value}, now {again.verdict.value}: {reason}({told})"
        return Step("proof", False, detail)
    if before != now:
        was = ", ".join(f"{name} {p} of {t}" for name, (p, t) in before.items())
        return Step("proof", False, f"recorded {was}; now {told}")
    return Step("proof", True, f"{again.verdict.value}: {told}")


def _counts(arms: tuple[Arm, ...]) -> dict[str, tuple[int, int]]:
    return {f"{arm.name}, {arm.group}": (arm.passed, arm.total) for arm in arms}


def to_document(found: Verified) -> dict[str, Json]:
    """The verification as the JSON of `refinery verify --json`."""
    return {
        "change": found.change_id,
        "commit": found.commit,
        "holds": found.holds,
        "steps": [encode(step) for step in found.steps],
        "verdict": found.trial.verdict.value if found.trial else None,
        "sandbox": found.trial.sandbox if found.trial else None,
    }
