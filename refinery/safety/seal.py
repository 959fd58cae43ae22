"""Marks what this user's Refinery wrote, so that files brought along by others are told apart.

A seal is an HMAC-SHA256 (RFC 2104) over the canonical JSON of a value, with a key of 32 random
bytes in the user's data folder, outside every repository, mode 0600. It proves origin, not truth:
whoever can read the key is the user.
"""

import hashlib
import hmac
import json
import os
from pathlib import Path

from refinery import home
from refinery.errors import InputError
from refinery.model.trace import Json

KEY_BYTES = 32


def seal(value: Json) -> str:
    """Seal of a JSON value, as hex.

    Raises:
        InputError: the key cannot be read or made.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hmac.new(_key(), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def is_sealed(value: Json, mark: Json) -> bool:
    """Whether the mark is the seal of exactly this value.

    Raises:
        InputError: the key cannot be read or made.
    """
    return isinstance(mark, str) and hmac.compare_digest(seal(value).encode(), mark.encode())


def _key() -> bytes:
    path = home.user_home() / "seal.key"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the key of sealed sessions cannot be used: {error}", hint=f"look at {path}"
        ) from error
    if len(key) != KEY_BYTES:
        raise InputError(f"{path} is damaged", hint="remove it; open sessions start again")
    return key


def _make(path: Path) -> None:
    """Write a new key whole or not at all; of two processes the first wins."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, os.urandom(KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
