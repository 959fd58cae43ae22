"""A quick look at raw bytes that tells whether `redact` could find anything in them.

`redact` looks at every string of a parsed document; this looks once over the bytes it was parsed
from, a hundred times as fast, and may say yes for nothing but never no when there is a secret.
"""

import re
from functools import cache
from typing import Any

from refinery.safety._forms import TOKENS

_NAMES = (
    r"pass(?:word|wd|phrase)|pwd|secret|(?:api|access|private|secret)[._-]?key"
    r"|access[._-]?key[._-]?id|authorization|(?:auth|access|refresh|id|session|bearer)[._-]?token"
    r"|cookie|credentials?|connection[._-]?string"
)
"""What `redact` calls the name of a secret, in any case, with any separator."""

_OTHERS = (
    rf'(?i:{_NAMES})(?:"[ \t\r\n]{{0,100}}:|=|\x12)',  # a JSON key, an assignment, a protobuf key
    r"(?i:bearer|basic) [A-Za-z0-9._~+/-]{16}",
    r"://[^\s/:@\"']*:[^\s/:@\"']+@",
    r"-----BEGIN",
    r"hooks\.slack",
    r"AccountKey=",
    r"\\u00[2-7]|\\/",  # JSON escapes of plain characters could hide any of these
)

_SHORTEST = 8
"""Repeats looked for at most: the longer the pattern, the slower the look."""


def may_hold_secret(raw: bytes) -> bool:
    """Whether a JSON or protobuf document may hold something `redact` would replace.

    Values nested deeper than `model.walk.MAX_DEPTH`, which `redact` replaces too, are not seen.
    """
    return _pattern().search(raw) is not None


@cache
def _pattern() -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    forms = [_shortened(form) for form in TOKENS.values()]
    return re2.compile("|".join((*forms, *_OTHERS)).encode(), options)


def _shortened(form: str) -> str:
    """A pattern that matches wherever the form does, with fewer repeats and no boundaries."""
    unbound = form.replace(r"\b", "")
    return re.sub(r"\{(\d+)(?:,\d+)?\}", lambda m: f"{{{min(int(m[1]), _SHORTEST)}}}", unbound)
