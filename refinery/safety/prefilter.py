"""A quick look that tells which encoded JSON can hold nothing `redact` would replace.

It may suspect what is harmless, but what it clears, `redact` leaves as it is (tested against
generated texts). It looks at encoded JSON as `orjson` or `json` with `ensure_ascii=False` write
it, compact, through RE2 when that is importable (about 2 µs a kilobyte), else by the literals
all forms have (about 25).
"""

import functools
import re
from collections.abc import Callable
from typing import Any

Suspects = Callable[[bytes], object]
"""Whether encoded JSON may hold a secret."""

# Python's `(?i:)` also takes these letters for i, k and s; `str.lower` only the second.
_I, _K, _S = r"(?:i|\xc4[\xb0\xb1])", r"(?:k|\xe2\x84\xaa)", r"(?:s|\xc5\xbf)"

# `\b` before a token: in encoded JSON a control character before it ends in a letter or digit.
_START = r"(?:^|[^A-Za-z0-9_]|\\[bfnrt]|\\u[0-9a-fA-F]{4})"

_TOKENS = (
    r"sk-[A-Za-z0-9_-]{16}|ls(?:v2)?_(?:pt|sk|_)_?[A-Za-z0-9_]{16}|[rs]k_(?:live|test)_"
    r"|A(?:KI|SI|BI|CC)A[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20}"
    r"|gh[pousr]_[A-Za-z0-9]{30}|github_pat_|gl[a-z]{2,4}-[A-Za-z0-9_-]{20}|xox[abeoprs]-|xapp-"
    r"|hf_[A-Za-z0-9]{30}|npm_[A-Za-z0-9]{36}|pypi-AgE|SG\.[A-Za-z0-9_-]{16}"
    r"|(?:SK|AC)[0-9a-f]{32}|gsk_[A-Za-z0-9]{40}|xai-[A-Za-z0-9]{40}|pplx-[A-Za-z0-9]{40}"
    r"|r8_[A-Za-z0-9]{30}|[0-9]{8,10}:AA[A-Za-z0-9_-]{33}|do[opr]_v1_|dapi[0-9a-f]{32}"
    r"|shp(?:at|ca|pa|ss)_|eyJ[A-Za-z0-9_-]{10}"
)
_ASSIGNED = (
    "|".join(
        word.replace("i", _I).replace("k", _K).replace("s", _S)
        for word in ("passwd", "password", "api_?key", "secret", "access_token", "refresh_token")
    )
    + "|client_secret"
)
_ANYWHERE = (
    r"-----BEGIN |://[^\s/:@\"']*:[^\s/:@\"']+@|hooks\.slack\.com/services/|AccountKey=[A-Za-z0-9+/]"
    rf"|(?i:(?:bearer |ba{_S}{_I}c )[A-Za-z0-9._~+/-]{{16}})|(?i:(?:{_ASSIGNED})=)"
)
_NAMES = (
    "password|passwd|passphrase|pwd|secret|secret[_-]?key|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    "|private[_-]?key|authorization|(?:auth|access|refresh|id|session|bearer)[_-]?token|cookie"
    "|credentials?|connection[_-]?string"
).replace("k", _K)
_VALUE = r'(?:\\n)?":(?:"[^"]|[1-9\[{-]|0[.eE])'
"""After a key that names a secret: anything but null, true, false, zero and an empty text."""
_EMAIL = r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]+\."

_CASED = (
    *(
        "sk-",
        "ls_",
        "lsv2_",
        "rk_",
        "sk_",
        "AKIA",
        "ASIA",
        "ABIA",
        "ACCA",
        "AIza",
        "ya29.",
        "ghp_",
    ),
    *(
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "glptt-",
        "gldt-",
        "glrt-",
        "glcbt-",
    ),
    *("glft-", "glsoat-", "xox", "xapp-", "hf_", "npm_", "pypi-AgE", "SG.", "SK", "AC", "gsk_"),
    *(
        "xai-",
        "pplx-",
        "r8_",
        ":AA",
        "_v1_",
        "dapi",
        "shpat_",
        "shpca_",
        "shppa_",
        "shpss_",
        "eyJ",
    ),
    *("-----BEGIN ", "://", "hooks.slack", "AccountKey="),
)
"""One of these stands in every token, as it is."""
_UNCASED = (
    *(
        "bearer ",
        "basic ",
        "passw",
        "passphrase",
        'pwd":',
        "secret",
        'key":',
        "apikey=",
        "api_key=",
    ),
    *('key_id":', 'key-id":', 'keyid":', 'token":', "_token=", "authorization", "cookie"),
    *("credential", 'string":', '\\n":'),
)
"""One of these stands, in small letters, in every named or assigned secret."""
_ODD = (b"\xc4\xb0", b"\xc4\xb1", b"\xc5\xbf", b"\xe2\x84\xaa")
"""Letters outside ASCII that count as i, s and k."""


@functools.cache
def suspects(emails: bool = False, keys: tuple[str, ...] = ()) -> Suspects:
    """The quick look for what `redact(emails=…, keys=…)` replaces.

    Call it once before threads or forks begin: it may import RE2.

    Args:
        emails: whether addresses are looked for as well.
        keys: further names of keys whose values are secrets, in small letters with `_`.
    """
    pattern = _pattern(emails, keys)
    return _by_re2(pattern) or _by_literals(pattern, emails, keys)


def _pattern(emails: bool, keys: tuple[str, ...]) -> str:
    names = "|".join([_NAMES, *(_key_pattern(key) for key in keys)])
    parts = [f"{_START}(?:{_TOKENS})", _ANYWHERE, f"(?i:(?:{names}){_VALUE})"]
    return "|".join([*parts, *([_EMAIL] if emails else [])])


@functools.cache
def suspects_anywhere() -> Suspects:
    """The quick look at bytes of any encoding: protobuf, or JSON with blanks and escapes.

    It finds the forms whatever stands before them (in protobuf that is a length, which may look
    like a letter), and clears nothing that hides its letters in escapes. Without RE2 it suspects
    everything.
    """
    names = rf'(?i:{_NAMES})(?:\\*"[ \t\r\n]*:|\x12)'
    escaped = r"\\u00[2-7]|\\/"
    return _by_re2("|".join([_TOKENS, _ANYWHERE, names, escaped])) or (lambda raw: True)


def _key_pattern(key: str) -> str:
    """A key name as it may be spelt: words joined by `_`, `-` or capital letters."""
    words = [re.escape(word) for word in re.split(r"[_-]+", key)]
    return "[_-]*".join(word.replace("k", _K).replace("K", _K) for word in words)


def _by_re2(pattern: str) -> Suspects | None:
    try:
        import re2
    except ImportError:
        return None
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.log_errors = False
    search: Any = re2.compile(pattern.encode("ascii"), options).search
    return lambda raw: search(raw) is not None


def _by_literals(pattern: str, emails: bool, keys: tuple[str, ...]) -> Suspects:
    """The same with the standard library: its regular expressions see only what a literal hit."""
    search = re.compile(pattern.encode("ascii")).search
    cased = tuple(text.encode("ascii") for text in (*_CASED, *("@" for _ in range(emails))))
    last = (re.split(r"[_-]+", key)[-1].lower() for key in keys)
    uncased = tuple(text.encode("ascii") for text in (*_UNCASED, *last))

    def look(raw: bytes) -> bool:
        low = raw.lower()
        is_odd = not raw.isascii() and any(letter in raw for letter in _ODD)
        if not is_odd and not any(t in raw for t in cased) and not any(t in low for t in uncased):
            return False
        return search(raw) is not None

    return look
