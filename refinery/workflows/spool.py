"""Takes what recorders have left in the spool into the store.

Files of processes that still run are read too: how far each file has been read is remembered
beside it, and a file goes away once its writer is gone and everything in it is stored. Reading
twice is harmless (`Store.write_runs` is idempotent), so a killed drain loses nothing.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from refinery.model.codec import decode_run
from refinery.model.trace import Run
from refinery.ports import RunBatch, Store
from refinery.recorders.spool_file import Reader, spool_files

try:
    import fcntl
except ImportError:  # pragma: no cover  # not POSIX: files are told apart by process id alone
    fcntl = None  # type: ignore[assignment]  # absence of the module is the marker

BATCH = 1000
"""Views written to the store by one transaction."""
LOCK_S = 5.0
"""Longest wait for another process that drains the same spool; it does our work meanwhile."""
OWNER = "owner.lock"
"""File locked by the command whose recording a folder holds."""
STALE_S = 3600.0
"""Age at which a `.part` file, left by a writer killed while it was opened, is removed."""


@dataclass(slots=True)
class Drained:
    """What one drain found."""

    runs: int = 0
    """Runs that were new to the store."""
    views: int = 0
    """Lines read; a run has one at its start and one at its end."""
    garbage: int = 0
    """Lines that were no run."""
    trace_ids: dict[str, None] = field(default_factory=dict)
    """Traces touched, in order of first sight; the values mean nothing."""
    run_ids: set[str] = field(default_factory=set)
    """Runs touched, new or not."""


@dataclass(frozen=True, slots=True)
class _Line:
    run: Run
    source: str
    project: str | None


def drain(spool: Path, store: Store) -> int:
    """Move what is in a spool folder into the store; returns how many runs were new.

    Raises:
        StoreError: the store cannot be written; nothing is lost, the next drain tries again.
    """
    return drain_report(spool, store).runs


def drain_report(spool: Path, store: Store, *, whole: bool = False) -> Drained:
    """Like `drain`, telling what was found.

    Args:
        spool: the folder; folders inside it are read as well.
        store: where the runs go.
        whole: read from the start what has been drained already, to tell all there was.

    Raises:
        StoreError: the store cannot be written; nothing is lost, the next drain tries again.
    """
    drained = Drained()
    if spool.is_symlink() or not spool.is_dir():
        return drained
    with _only_one(spool) as is_ours:
        if is_ours:
            for folder in _folders(spool):
                for path in spool_files(folder):
                    with contextlib.suppress(OSError):  # removed or unreadable: the next's turn
                        _drain_file(path, store, drained, start=0 if whole else _offset(path))
            _tidy(spool)
    return drained


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keep what is drained from a spool folder until the `with` block ends.

    Others may still drain it meanwhile, so a long recording can be looked at while it runs.
    """
    if fcntl is None:
        yield
        return
    lock = folder / OWNER
    with lock.open("ab") as held:
        fcntl.flock(held.fileno(), fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _is_owned(folder: Path) -> bool:
    if fcntl is None:
        return False
    try:
        with (folder / OWNER).open("rb") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _drain_file(path: Path, store: Store, drained: Drained, *, start: int) -> None:
    with path.open("rb") as file:
        # Asked before reading: whatever is written by then, this reading will see.
        is_finished = _is_finished(path, file)
        file.seek(start)
        batch: list[_Line] = []
        for document in Reader(file, path.name, is_finished).views():
            drained.views += 1
            parsed = _parse(document)
            if parsed is None:
                drained.garbage += 1
                continue
            batch.append(parsed)
            if len(batch) >= BATCH:
                _store(batch, store, drained)
        _store(batch, store, drained)
        end = file.tell()
    if is_finished and not _is_owned(path.parent):
        path.unlink(missing_ok=True)
        _offset_file(path).unlink(missing_ok=True)
    else:
        _remember(path, end)


def _parse(document: dict[str, Any] | None) -> _Line | None:
    """A view as the spool holds it; None when it is none."""
    try:
        if document is None:
            return None
        project = document.get("project")
        return _Line(
            decode_run(document["run"]),
            str(document.get("source") or "unknown"),
            str(project) if project is not None else None,
        )
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


def _store(batch: list[_Line], store: Store, drained: Drained) -> None:
    """Write a batch, grouped by source and project, and empty it."""
    groups: dict[tuple[str, str | None], list[Run]] = {}
    for line in batch:
        groups.setdefault((line.source, line.project), []).append(line.run)
        drained.trace_ids.setdefault(line.run.trace_id)
        drained.run_ids.add(line.run.run_id)
    if groups:
        drained.runs += store.write_batches(
            [RunBatch(runs, source, project) for (source, project), runs in groups.items()]
        )
    batch.clear()


def _folders(spool: Path) -> list[Path]:
    """The spool and the folders inside it, those of links excepted."""
    found = [spool, *(path for path in spool.rglob("*") if path.is_dir())]
    return [folder for folder in found if not folder.is_symlink()]


def _is_finished(path: Path, file: IO[bytes]) -> bool:
    """Whether the writer of a file is gone: it holds a lock on the file while it lives."""
    if fcntl is None:
        return not _is_alive(path)
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return not _is_alive(path)
    return True


def _is_alive(path: Path) -> bool:
    """Whether a process of the id in the file's name exists."""
    text = path.name.partition("-")[0]
    if not text.isdigit():
        return False
    try:
        os.kill(int(text), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _offset_file(path: Path) -> Path:
    return path.with_name(path.name.partition(".")[0] + ".offset")


def _offset(path: Path) -> int:
    try:
        return int(_offset_file(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _remember(path: Path, offset: int) -> None:
    fresh = _offset_file(path).with_suffix(".offset-new")
    fresh.write_text(str(offset), encoding="ascii")
    fresh.replace(_offset_file(path))


@contextlib.contextmanager
def _only_one(spool: Path) -> Iterator[bool]:
    """Hold the spool's lock; False when another process kept it for too long."""
    if fcntl is None:
        yield True
        return
    try:
        lock = (spool / "drain.lock").open("ab")
    except OSError:  # a read-only folder can still be read, and reading twice is harmless
        yield True
        return
    with lock:
        until = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    yield False
                    return
                time.sleep(0.02)
            else:
                yield True
                return


def _tidy(spool: Path) -> None:
    """Remove empty folders of ended commands and files of writers killed while opening them."""
    for path in spool.rglob("*.part"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:
                path.unlink()
    for folder in spool.iterdir():
        if folder.is_dir():
            with contextlib.suppress(OSError):
                folder.rmdir()
