"""The agent to replay: its code at a commit, how it is run, and whom its models may ask."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import refinery
from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.model.patch import FileChange
from refinery.replay.live_answers import Asked
from refinery.safety.sandbox import Confinement, Finished, run

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM")
"""Variables of this process an agent gets without being asked for."""
_QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}
_STDERR_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Agent:
    """How a repository's agent is run in a replay."""

    repository: Path
    python: Path | None = None
    """Interpreter with the agent's libraries; None: the one that runs Refinery."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables it gets beside the usual ones; never keys of model endpoints."""
    upstream: Asked | None = None
    """Whom the gateway asks for requests that were not recorded; None: nobody."""
    live: tuple[str, ...] = ()
    """Tools and retrievers that run instead of being served from the tape."""
    timeout_s: float = 60.0
    """Wall seconds one replayed run may take."""
    tier: str = "full"
    """Sandbox tier, as `safety.sandbox.strongest` answered."""


@dataclass(frozen=True, slots=True)
class Code:
    """One state of the repository's files."""

    commit: str
    dirty_diff: str | None = None
    """Uncommitted changes on top of the commit."""
    changes: tuple[FileChange, ...] = ()
    """Files of a patch, written last."""


@dataclass(frozen=True, slots=True)
class Place:
    """A temporary folder with a state of the code, ready for a sandbox."""

    work: Path
    """Read and write inside the sandbox."""
    code: Path
    """The repository's files, inside `work`."""
    library: Path
    """Holds the package `refinery` and nothing else, for the agent's interpreter."""
    socket: Path
    """Where the gateway's Unix socket is made."""


@contextmanager
def prepared(agent: Agent, code: Code) -> Iterator[Place]:
    """Export a state of the code into a temporary folder, deleted at the end.

    Raises:
        InputError: the repository or the commit cannot be read, or a patched path is no file.
    """
    base = Path(tempfile.mkdtemp(prefix="refinery-replay-"))
    try:
        base.chmod(0o755)  # the sandboxed user must reach what is below
        place = Place(base / "work", base / "work/code", base / "library", base / "gateway.sock")
        for folder in (place.work, place.library):
            folder.mkdir()
        for name in ("results", "spool", "home", "tmp"):
            (place.work / name).mkdir()
        package = Path(refinery.__file__).resolve().parent
        (place.library / "refinery").symlink_to(package)
        Repository.open(agent.repository).export(code.commit, place.code, code.dirty_diff)
        for change in code.changes:
            _write(place.code, change)
        yield place
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _write(root: Path, change: FileChange) -> None:
    target = root / change.path
    if not target.parent.resolve().is_relative_to(root.resolve()) or target.is_symlink():
        raise InputError(f"{change.path} leaves the repository", hint="patch plain files only")
    if change.after is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(change.after)


def execute(
    agent: Agent, place: Place, module: str, *, port: int | None, timeout_s: float
) -> Finished:
    """Run one of our own programs (`python -m MODULE job.json`) confined to a place.

    Raises:
        RefusedError: the sandbox did not start.
    """
    python = agent.python or Path(sys.executable)
    confinement = Confinement(
        workdir=place.work,
        readable=(place.library, Path(refinery.__file__).resolve().parent),
        env=_environment(agent, place),
        gateway_port=port,
        gateway_socket=place.socket if port else None,
        timeout_s=timeout_s,
    )
    return run([str(python), "-m", module, str(place.work / "job.json")], confinement, agent.tier)


def _environment(agent: Agent, place: Place) -> dict[str, str]:
    own = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = [str(place.library), *filter(None, [agent.env.get("PYTHONPATH")])]
    return {
        **own,
        **_QUIET,
        **agent.env,
        "PYTHONPATH": os.pathsep.join(path),
        "HOME": str(place.work / "home"),
        "TMPDIR": str(place.work / "tmp"),
    }


def complaint(finished: Finished) -> str:
    """Why a program of ours wrote no result, in words: the end of its error output."""
    said = finished.stderr[-_STDERR_SHOWN:].decode("utf-8", "replace").strip()
    if finished.timed_out:
        how = f"it was stopped after {finished.duration_s:.0f} s"
    elif finished.out_of_memory:
        how = "it used too much memory"
    elif finished.out_of_disk:
        how = "its files took too much room"
    else:
        how = f"exit code {finished.exit_code}"
    return f"{how}{': ' + said if said else ''}"
