"""Links that open one attachment for a while, without the API key.

LangSmith's clients load attachments from presigned addresses and send no key along. A link is
signed with a secret of this process (HMAC, RFC 2104), so it ends with the collector at the latest.
"""

import hashlib
import hmac
import os
from functools import cache
from urllib.parse import parse_qs, urlencode

from refinery import clock

LIFETIME_S = 3600
"""How long a link opens its attachment; chosen by us, a session of looking at traces."""
_ATTACHMENT = ("/runs/", "/attachments/")


def query(path: str) -> str:
    """What to put behind the `?` of an attachment's address; `path` is not percent-encoded."""
    expires = clock.now_ns() // 10**9 + LIFETIME_S
    return urlencode({"expires": expires, "signature": _signature(path, expires)})


def is_open(method: str, path: str, asked: bytes) -> bool:
    """Whether a request's query opens this attachment now."""
    start, middle = _ATTACHMENT
    if method not in ("GET", "HEAD") or not path.startswith(start) or middle not in path:
        return False
    told = parse_qs(asked[:1000].decode("latin-1"))
    expires, signature = told.get("expires", [""])[-1], told.get("signature", [""])[-1]
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
        return False
    is_signed = hmac.compare_digest(
        signature.encode("utf-8", "replace"), _signature(path, int(expires)).encode()
    )
    return is_signed and int(expires) * 10**9 > clock.now_ns()


def _signature(path: str, expires: int) -> str:
    told = f"{expires}\n{path}".encode("utf-8", "replace")
    return hmac.new(_secret(), told, hashlib.sha256).hexdigest()


@cache
def _secret() -> bytes:
    return os.urandom(32)
