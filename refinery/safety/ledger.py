"""The ledger: what was approved, committed and rolled back, each entry hashed over the last.

One JSON object a line: `sequence`, `created_ns`, `kind`, `body`, `previous`, `digest`, in this
order, no spaces, ASCII. `digest` is the SHA-256 of the line without its `digest` member;
`previous` is the digest of the line before, 64 zeros for the first. Nobody is kept from writing a
whole new ledger; a byte changed or a line lost inside it is found.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from refinery import clock
from refinery.errors import RefusedError
from refinery.model.trace import Json

FIRST = "0" * 64
_LOCK_TIMEOUT_S = 10.0
_FIELDS = ("sequence", "created_ns", "kind", "body", "previous", "digest")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger."""

    sequence: int
    """From 1, without gaps."""
    created_ns: int
    """Nanoseconds since the Unix epoch, UTC."""
    kind: str
    body: dict[str, Json]
    previous: str
    """Digest of the entry before; `FIRST` for the first."""
    digest: str
    """SHA-256 hex of all other members."""


class Ledger:
    """An append-only file; safe for several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, kind: str, body: dict[str, Json]) -> Entry:
        """Add one entry and wait until it is on the disk.

        Raises:
            RefusedError: the ledger is damaged, is locked for more than 10 s, or the body is
                nothing JSON can hold.
        """
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(f"{self.path}.lock", timeout=_LOCK_TIMEOUT_S)
        try:
            with lock:
                return self._append_locked(kind, body)
        except Timeout as error:
            raise RefusedError(
                f"{self.path} is in use by another process", hint="try again when it has ended"
            ) from error

    def entries(self) -> list[Entry]:
        """All entries, oldest first, checked.

        Raises:
            RefusedError: the ledger is damaged.
        """
        return _parsed(self.path)

    def verify(self) -> None:
        """Check every byte of every entry.

        Raises:
            RefusedError: an entry was changed, lost or added, or the last one is incomplete;
                the message names the first line that is wrong.
        """
        self.entries()

    def repair(self) -> bool:
        """Cut off an incomplete last line, as a process leaves that was killed while writing.

        Nothing else is ever mended. Returns whether there was such a line.

        Raises:
            RefusedError: the complete lines before it are damaged.
        """
        from filelock import FileLock, Timeout

        if not self.path.is_file():
            return False
        try:
            with FileLock(f"{self.path}.lock", timeout=_LOCK_TIMEOUT_S):
                content = self.path.read_bytes()
                whole = content.rfind(b"\n") + 1
                if whole == len(content):
                    return False
                _check_lines(content[:whole], self.path)
                with self.path.open("r+b") as file:
                    file.truncate(whole)
                    os.fsync(file.fileno())
                return True
        except Timeout as error:
            raise RefusedError(f"{self.path} is in use by another process") from error

    def _append_locked(self, kind: str, body: dict[str, Json]) -> Entry:
        known = _parsed(self.path)
        previous = known[-1].digest if known else FIRST
        entry = _sealed(len(known) + 1, clock.now_ns(), kind, body, previous)
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        return entry


def _sealed(
    sequence: int, created_ns: int, kind: str, body: dict[str, Json], previous: str
) -> Entry:
    members = dict(zip(_FIELDS, (sequence, created_ns, kind, body, previous), strict=False))
    return Entry(sequence, created_ns, kind, body, previous, _digest(members))


def _dump(members: dict[str, Json]) -> bytes:
    try:
        return json.dumps(members, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError(f"the ledger cannot hold this entry: {error}") from error


def _digest(members: dict[str, Json]) -> str:
    return hashlib.sha256(_dump(members)).hexdigest()


def _line(entry: Entry) -> bytes:
    return _dump({name: getattr(entry, name) for name in _FIELDS}) + b"\n"


def _parsed(path: Path) -> list[Entry]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error}") from error
    if content and not content.endswith(b"\n"):
        number = content.count(b"\n") + 1
        raise RefusedError(
            f"{path}: line {number} is incomplete, its writer was interrupted",
            hint="`refinery doctor` says more; cutting off this one line mends the ledger",
        )
    return _check_lines(content, path)


def _check_lines(content: bytes, path: Path) -> list[Entry]:
    entries: list[Entry] = []
    previous = FIRST
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        entry = _entry(line)
        if entry is None or entry.sequence != number or entry.previous != previous:
            raise RefusedError(
                f"{path}: line {number} was changed, lost or added after it was written",
                hint="compare with a backup; entries before this line are intact",
            )
        entries.append(entry)
        previous = entry.digest
    return entries


def _entry(line: bytes) -> Entry | None:
    """The entry of a line; None unless it is byte for byte what we would have written."""
    try:
        members = json.loads(line)
        entry = Entry(**members)
        unsealed = {name: members[name] for name in _FIELDS[:-1]}
        if entry.digest == _digest(unsealed) and _line(entry) == line + b"\n":
            return entry
    except (ValueError, TypeError, KeyError, RecursionError, RefusedError):
        return None
    return None
