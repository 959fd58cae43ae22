"""Where this process runs: repository, commit, uncommitted changes, interpreter, entry point.

Read once a process, by a thread of its own, as soon as recording is really on; the writer waits
for it, the host never does. git runs with everything off that could start another program.
"""

import atexit
import functools
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refinery import home
from refinery.model.trace import EntryPoint, Json

GIT_S = 5.0
"""Longest time one git call may take; afterwards the answer counts as unknown."""
GRACE_S = 0.35
"""Longest time an exit waits for git; with `sink.EXIT_S` it makes less than a second."""
MAX_DIFF_BYTES = 1_000_000
"""Largest diff of uncommitted changes that is kept."""

_HARDENED = (
    "git",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.pager=cat",
    "-c",
    "submodule.recurse=false",
)


@dataclass(frozen=True, slots=True)
class Origin:
    """The state of the code when the process began to record."""

    root: str | None
    """Absolute path of the repository's root, else of the project's folder; None: neither."""
    folder: str | None
    """The project's folder relative to `root`, `.` when it is the same."""
    commit: str | None
    dirty_diff: str | None
    dirty: bool | None
    """Whether tracked files differed from `commit`; None when unknown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a root run was started with."""

    kind: str
    """`callable` or `command`, as in `EntryPoint.kind`."""
    target: str
    argument: Json = None


class OriginReader:
    """Reads the origin once, in the background."""

    def __init__(self, project_root: Path | None = None) -> None:
        self._start = project_root or Path.cwd()
        self._answered = threading.Event()
        self._is_read = False
        self._origin = Origin(None, None, None, None, None)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start reading; calls after the first do nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._read, name="refinery-origin", daemon=True
                )
                self._thread.start()

    def get(self) -> Origin:
        """The origin, waiting for git at most `3 * GIT_S`, or until `hurry` is called."""
        if not self._is_read:
            self.begin()
            self._answered.wait(3 * GIT_S)
        return self._origin

    def hurry(self, grace_s: float = 0.0) -> None:
        """Have `get` answer with what is known: the process ends, and its runs matter more."""
        if self._thread is not None:
            self._answered.wait(grace_s)
        self._answered.set()

    def after_fork(self) -> None:
        """A child has no reading thread: what its parent had not read yet is read again."""
        self._lock = threading.Lock()
        if not self._is_read:
            self._answered = threading.Event()
            self._thread = None

    def _read(self) -> None:
        try:
            for origin in read_origin(self._start):
                self._origin = origin
        except Exception:  # noqa: BLE001, S110  # an unknown origin is an answer, see `Origin`
            pass
        finally:
            self._is_read = True
            self._answered.set()


_readers: dict[Path, OriginReader] = {}


def shared_reader(project_root: Path | None = None) -> OriginReader:
    """The one reader of this process for a folder (default: the working directory)."""
    start = project_root or Path.cwd()
    if not _readers:
        # Runs before the sink's own, which was registered earlier.
        atexit.register(_hurry)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    return _readers.setdefault(start, OriginReader(start))


def _hurry() -> None:
    until = time.monotonic() + GRACE_S
    for reader in _readers.values():
        reader.hurry(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    for reader in _readers.values():
        reader.after_fork()


def read_origin(start: Path) -> Iterator[Origin]:
    """Ask git about the repository around a folder; each answer knows more than the one before."""
    start = Path(os.path.realpath(start))
    project = home.project_root(start)
    if project is None:
        return
    yield Origin(str(project), ".", None, None, None)
    top = _git(project, "rev-parse", "--show-toplevel")
    if top is None:
        return
    root = os.path.realpath(top.strip())
    folder = os.path.relpath(project, root)
    commit = (_git(Path(root), "rev-parse", "--verify", "HEAD") or "").strip() or None
    yield Origin(root, folder, commit, None, None)
    if commit is None:
        return
    diff = _git(
        Path(root), "diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD"
    )
    kept = diff if diff and len(diff) <= MAX_DIFF_BYTES else None
    yield Origin(root, folder, commit, kept, None if diff is None else bool(diff))


def entry_point(entry: Entry, origin: Origin) -> EntryPoint:
    """The entry point of a root run."""
    return EntryPoint(
        kind=entry.kind,
        target=entry.target,
        argument=entry.argument,
        repository=origin.root,
        commit=origin.commit,
        dirty_diff=origin.dirty_diff,
        python=sys.executable or None,
    )


@functools.cache
def command_line() -> Entry:
    """The command this process was started with, as one shell-quoted string."""
    words = list(getattr(sys, "orig_argv", None) or [sys.executable, *sys.argv])
    return Entry("command", shlex.join(words))


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of git; None when it failed, is missing, or took too long."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    try:
        finished = subprocess.run(
            [*_HARDENED, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # Bytes that are no UTF-8 cannot be kept in JSON; `replace` keeps the rest readable.
    return finished.stdout.decode("utf-8", "replace") if finished.returncode == 0 else None
