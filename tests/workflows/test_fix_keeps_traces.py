"""A fix that may be resumed keeps its traces, wherever it was killed, until it is ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.errors import InputError, NotFoundError, RefusedError
from refinery.workflows import clean, fix, referring
from refinery.workflows.fix import Decision
from tests.cli.calling import call
from tests.workflows.shop import Shop

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
_KILLED = """
import os, signal, sys
from pathlib import Path
from refinery.workflows import traces
from refinery.workflows.fix import FixRequest, fix
from refinery.workflows.wiring import open_workspace

def say(text):
    if text.startswith("session "):
        print(text.split()[1].rstrip(";"), flush=True)
    if text.startswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

workspace = open_workspace(Path(sys.argv[2]))
request = FixRequest(trace=traces.resolve(workspace, sys.argv[1]), repository=Path(sys.argv[2]))
fix(workspace, request, lambda outcome: None, say)
"""


def killed(shop: Shop, when: str) -> str:
    """The session of a fix that was killed when it said something that begins so."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, shop.failing, str(shop.root), when],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        cwd=shop.root,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    return done.stdout.decode().strip()


@pytest.mark.parametrize(("when", "stage"), [("detectors:", "detect"), ("replaying", "prove")])
def test_a_fix_killed_before_its_proof_keeps_its_traces_until_it_is_abandoned(
    shop: Shop, when: str, stage: str
) -> None:
    session = killed(shop, when)
    home, store = shop.workspace.home, shop.workspace.store

    why = referring.referring(home)
    assert why[shop.failing] == f"session {session}, which stopped before: {stage}"
    assert shop.passing in why
    with pytest.raises(RefusedError, match="stopped before") as refused:
        referring.delete(store, home, shop.failing)
    assert "--abandon" in refused.value.hint
    assert clean.clean(shop.workspace, 2**62, dry_run=True).deleted == ()

    ended = call("fix", "--resume", session, "--abandon", "--json")

    assert ended.code == 0
    assert ended.json["change"] is None
    assert referring.referring(home) == {}
    with pytest.raises(InputError, match="has ended"):
        fix.abandon(shop.workspace, session, "tester", lambda _: None, shop.root)
    again = fix.resume(
        shop.workspace, session, _never, lambda _: None, repository=shop.root
    ) if stage == "prove" else None  # fmt: skip
    assert again is None or again.change is None
    assert referring.delete(store, home, shop.failing) == 1


def _never(outcome: object) -> Decision:
    raise AssertionError(f"nobody is asked of what was abandoned: {outcome}")


def test_only_a_session_that_is_there_can_be_abandoned(shop: Shop) -> None:
    with pytest.raises(NotFoundError):
        fix.abandon(shop.workspace, "session-0", "tester", lambda _: None, shop.root)
