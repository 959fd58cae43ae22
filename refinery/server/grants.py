"""Tokens that open one user's traces, as they are kept: who they are for, and their hashes.

One file of the state folder, readable by its owner alone and replaced as a whole. A token is 256
random bits, so one round of SHA-256 hides it as well as a slow hash would (NIST SP 800-63B,
section 5.1.1.2 asks for slow ones where secrets can be guessed).
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from refinery import clock
from refinery.errors import InputError, NotFoundError

FILE = "tokens.json"
PREFIX = "refinery_"
"""What our tokens begin with, so that people and scanners know one when they see it."""
MAX_TOKENS = 1_000
"""Tokens of one state folder: each request is compared with all of them."""
MAX_TEXT = 500
"""Characters of a user, a project or a note."""
DAY_MS = 86_400_000
_VERSION = 1
_WAIT_S = 5.0
_MAX_BYTES = 4 * 2**20
_log = logging.getLogger("refinery.server")


@dataclass(frozen=True, slots=True)
class Grant:
    """A token without the token: what it opens, and how it is recognised."""

    token_id: str
    user: str
    """Whose traces it opens."""
    project: str | None
    """The only project of theirs that it opens; None: all."""
    note: str
    created_ms: int
    expires_ms: int | None
    """Milliseconds UTC; None: it holds until it is revoked."""
    sha256: str
    """Of the token's text, in hexadecimal digits."""

    def is_expired(self) -> bool:
        """Whether it opens nothing any more."""
        return self.expires_ms is not None and self.expires_ms <= _now_ms()


class DamagedGrantsError(InputError):
    """The file of tokens cannot be read."""


class Grants:
    """The tokens of a state folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def all(self) -> list[Grant]:
        """Every token, the oldest first.

        Raises:
            DamagedGrantsError: the file cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._damaged(error.strerror or "") from error
        try:
            return _read(content)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._damaged("it holds something else") from error

    def add(
        self, user: str, project: str | None = None, note: str = "", days: float | None = None
    ) -> tuple[Grant, str]:
        """Make a token.

        Args:
            user: whose traces it opens.
            project: the only project of theirs that it opens; None: all.
            note: what it is for, for people.
            days: how long it holds; None: until it is revoked.

        Returns:
            What is kept, and the token itself, which is kept nowhere.

        Raises:
            InputError: a text is empty, too long or none that can be stored; there are too many
                tokens; the file cannot be read or written.
        """
        for name, text in (("user", user), ("project", project), ("note", note or "-")):
            _check(name, text)
        if days is not None and not 0 < days <= 36_500:
            raise InputError(f"a token cannot hold for {days} days", hint="give 1 to 36500")
        token = PREFIX + secrets.token_urlsafe(32)
        now = _now_ms()
        grant = Grant(
            token_id=clock.short_id("token"),
            user=user,
            project=project,
            note=note,
            created_ms=now,
            expires_ms=None if days is None else now + round(days * DAY_MS),
            sha256=_digest(token),
        )
        with self._locked():
            kept = self.all()
            if len(kept) >= MAX_TOKENS:
                raise InputError(
                    f"there are {MAX_TOKENS} tokens already", hint="revoke some of them first"
                )
            self._write([*kept, grant])
        return grant, token

    def revoke(self, token_id: str) -> Grant:
        """Take a token out; servers that run refuse it from their next request on.

        Raises:
            NotFoundError: there is none of that id.
            InputError: the file cannot be read or written.
        """
        with self._locked():
            kept = self.all()
            found = next((one for one in kept if one.token_id == token_id), None)
            if found is None:
                raise NotFoundError(
                    f"there is no token {token_id[:100]!r}",
                    hint="`refinery tokens list` names them",
                )
            self._write([one for one in kept if one is not found])
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.path.with_suffix(".lock"), mode=0o600)
        try:
            lock.acquire(timeout=_WAIT_S, poll_interval=0.02)
        except Timeout as error:
            raise InputError(f"another process writes {self.path}", hint="try again") from error
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            lock.release()

    def _write(self, grants: Sequence[Grant]) -> None:
        fresh = self.path.with_suffix(".new")
        document = {"version": _VERSION, "tokens": [asdict(one) for one in grants]}
        try:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _damaged(self, why: str) -> DamagedGrantsError:
        return DamagedGrantsError(
            f"{self.path} cannot be read: {why}",
            hint="restore it, or delete it and make new tokens; until then it opens nothing",
        )

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path} cannot be written: {error.strerror}", hint="correct its rights"
        )


class Watched:
    """The tokens as a server sees them: read again when the file was replaced."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        """Make it.

        Args:
            folder: the state folder; asked for when the first token is looked for.
        """
        self._folder = folder
        self._grants: Grants | None = None
        self._seen: tuple[int, ...] | None = None
        self._kept: list[Grant] = []
        self._is_damaged = False

    def find(self, token: str) -> Grant | None:
        """The grant of a token; None when there is none, or it has expired or was revoked."""
        digest = _digest(token)
        found = None
        for one in self._now():  # all are compared, each in constant time
            if hmac.compare_digest(one.sha256, digest):
                found = one
        return None if found is None or found.is_expired() else found

    def by_id(self, token_id: str) -> Grant | None:
        """The grant of that id, as `find` answers."""
        found = next((one for one in self._now() if one.token_id == token_id), None)
        return None if found is None or found.is_expired() else found

    @property
    def is_in_use(self) -> bool:
        """Whether any token is kept, or may be: the file cannot be read."""
        return bool(self._now()) or self._is_damaged

    def _now(self) -> list[Grant]:
        self._grants = self._grants or Grants(self._folder())
        try:
            about = self._grants.path.stat()
            seen: tuple[int, ...] = (about.st_ino, about.st_mtime_ns, about.st_size, about.st_dev)
        except FileNotFoundError:
            seen = ()
        except OSError:
            seen = (-1,)
        if seen != self._seen:
            self._kept, self._is_damaged = _read_of(self._grants)
            self._seen = seen
        return self._kept


def _read_of(grants: Grants) -> tuple[list[Grant], bool]:
    """What is kept, and whether it cannot be read."""
    try:
        return grants.all(), False
    except DamagedGrantsError as error:
        _log.error("no token of a user opens anything: %s", error)
        return [], True


def _read(content: bytes) -> list[Grant]:
    if len(content) > _MAX_BYTES:
        raise ValueError("too large")
    document = json.loads(content)
    if document["version"] != _VERSION:
        raise ValueError("another version")
    return [_grant(one) for one in document["tokens"]]


def _grant(one: dict[str, Any]) -> Grant:
    grant = Grant(**{field.name: one[field.name] for field in fields(Grant)})
    for text in (grant.token_id, grant.user, grant.note, grant.sha256):
        if type(text) is not str:
            raise TypeError("no text")
    is_number = grant.expires_ms is None or type(grant.expires_ms) is int
    is_text = grant.project is None or type(grant.project) is str
    if not (is_number and is_text and grant.user and len(grant.sha256) == 64):
        raise ValueError("no token")
    grant.sha256.encode("ascii")
    return grant


def _check(name: str, text: str | None) -> None:
    if text is None:
        return
    if not text.strip() or len(text) > MAX_TEXT:
        raise InputError(f"a {name} has 1 to {MAX_TEXT} characters", hint=f"give another {name}")
    if "\x00" in text or any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise InputError(f"this {name} is none that can be stored", hint=f"give another {name}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _now_ms() -> int:
    return clock.now_ns() // 10**6
