"""A proof executed again from its receipt, in the repository and in a clone of it."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError
from refinery.workflows import receipt as receipts
from refinery.workflows.fix import fix
from refinery.workflows.verify import Verified, verify
from refinery.workflows.wiring import open_workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git
from tests.workflows.shop import Shop
from tests.workflows.test_fix import approve, quiet

pytestmark = pytest.mark.slow
FLIPS = 100


def in_clone(
    shop: Shop, change_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A clone without any state, and the receipt beside it."""
    clone, kept = folder / "clone", folder / "kept.receipt"
    git(shop.root, "clone", "-q", str(shop.root), str(clone))
    git(clone, "config", "user.name", "Tester")
    git(clone, "config", "user.email", "tester@example.com")
    kept.write_bytes(receipts.path_of(shop.root / ".refinery", change_id).read_bytes())
    monkeypatch.chdir(clone)
    monkeypatch.setenv("REFINERY_HOME", str(folder / "state"))
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return clone, kept


def run(clone: Path, change_id: str, kept: Path) -> Verified:
    return verify(open_workspace(clone), Repository.open(clone), change_id, kept)


def test_a_proof_holds_in_a_clone_without_model_or_state(
    shop: Shop, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = fix(shop.workspace, shop.request(), approve, quiet)
    assert outcome.change is not None
    assert outcome.chosen is not None and outcome.chosen.trial is not None
    change_id = outcome.change.change_id
    clone, kept = in_clone(shop, change_id, tmp_path, monkeypatch)
    asked = len(server.requests)

    found = run(clone, change_id, kept)

    assert found.holds, found.steps
    assert found.trial is not None
    assert found.trial.verdict is outcome.chosen.trial.verdict
    assert len(server.requests) == asked
    whole = kept.read_bytes()
    held = receipts.unpack(whole, "here")
    assert held.exchanges
    assert held.approver == "tester"
    assert len(held.considered) == len(outcome.attempts)
    chance = random.Random(3)
    for _ in range(FLIPS):
        at = chance.randrange(len(whole))
        kept.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
        )
        assert not run(clone, change_id, kept).holds
    kept.write_bytes(whole)
    with_capital_digits(clone)
    assert [step.detail for step in run(clone, change_id, kept).steps if not step.holds] == [
        "author, dates and message not as approved"
    ]
    git(clone, "reset", "-q", "--soft", "ORIG_HEAD")
    forge_and_check(clone, change_id, kept, held)
    with pytest.raises(NotFoundError, match="no receipt"):
        run(clone, change_id, tmp_path / "gone")
    with pytest.raises(InputError, match="no commit here"):
        run(clone, "fix-00000000", kept)


def with_capital_digits(clone: Path) -> None:
    """The branch at the same commit with its tree in capital digits, which git reads alike."""
    text = git(clone, "cat-file", "commit", "HEAD")
    tree = text.partition("\n")[0].removeprefix("tree ")
    altered = text.replace(tree, tree.upper(), 1).encode()
    words = ("hash-object", "-t", "commit", "-w", "--literally", "--stdin")
    made = git(clone, *words, stdin=altered).strip()
    git(clone, "update-ref", "ORIG_HEAD", "HEAD")
    git(clone, "update-ref", "refs/heads/main", made)
    git(clone, "update-ref", "-d", "refs/remotes/origin/main")
    git(clone, "symbolic-ref", "--delete", "refs/remotes/origin/HEAD")


def forge_and_check(clone: Path, change_id: str, kept: Path, held: receipts.Receipt) -> None:
    """A receipt the commit names that does not fit the commit, its traces or its outcome."""
    trace = held.failing[0].trace
    other = replace(trace, runs=(replace(trace.runs[0], name="else"), *trace.runs[1:]))
    failing = (replace(held.failing[0], trace=other),)
    edited = tuple(replace(c, after=(c.after or b"") + b"#") for c in held.patch.changes)
    arms = tuple(replace(arm, passed=arm.total) for arm in held.trial.arms)
    forged = {
        "traces": replace(held, failing=failing),
        "commit": replace(held, patch=replace(held.patch, changes=edited)),
        "proof": replace(held, trial=replace(held.trial, arms=arms)),
    }
    message = git(clone, "log", "-1", "--format=%B")
    for step, value in forged.items():
        content = receipts.pack(replace(value, commit_text=""))  # amending changes it
        kept.write_bytes(content)
        named = receipts.digest(kept.read_bytes())
        lines = [
            f"Refinery-Receipt: {named}" if line.startswith("Refinery-Receipt:") else line
            for line in message.splitlines()
        ]
        git(clone, "commit", "-q", "--amend", "-m", "\n".join(lines))
        found = run(clone, change_id, kept)
        assert not found.holds
        assert [item.name for item in found.steps if not item.holds] == [step]
