"""Counts tokens: with the provider's own tokenizer when it is on this machine, else estimated.

Nothing is downloaded: OpenAI's tokenizer is used only when tiktoken has its vocabulary cached.
The estimate is a third of the UTF-8 bytes, and at least the number of words and signs; English
has about four bytes a token, so the estimate is above what a model counts for most texts. Digits
count once more: of ids and hashes two characters may be a token.
"""

import hashlib
import os
import re
import string
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

BYTES_PER_TOKEN = 3
"""Bytes that count as a token in the estimate (chosen by us, on the safe side)."""
DIGITS_PER_TOKEN = 3
"""Digits that count as one more: tokenizers take at most three together, and every change from
letters to digits in an id begins a token."""

_ENCODING = "o200k_base"
_VOCABULARY = f"https://openaipublic.blob.core.windows.net/encodings/{_ENCODING}.tiktoken"
_PIECE = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Counter:
    """A way to count."""

    name: str
    """The tokenizer's, or `estimate`."""
    is_estimated: bool
    count: Callable[[str], int]


def counter(provider: str | None) -> Counter:
    """The best way to count what a provider's models read.

    Args:
        provider: e.g. `openai`; None: unknown.
    """
    encoding = _cached_encoding() if provider == "openai" else None
    if encoding is None:
        return Counter("estimate", True, estimate)
    return Counter(_ENCODING, False, lambda text: len(encoding.encode_ordinary(text)))


def estimate(text: str) -> int:
    """Tokens of a text, estimated from above for most of them."""
    size = len(text.encode("utf-8", "replace"))
    plain = max(-(-size // BYTES_PER_TOKEN), sum(1 for _ in _PIECE.finditer(text)))
    return plain + -(-sum(map(text.count, string.digits)) // DIGITS_PER_TOKEN)


@cache
def _cached_encoding() -> Any:
    """OpenAI's tokenizer; None when using it would need a download."""
    folder = (
        os.environ.get("TIKTOKEN_CACHE_DIR")
        or os.environ.get("DATA_GYM_CACHE_DIR")
        or str(Path(tempfile.gettempdir(), "data-gym-cache"))
    )
    name = hashlib.sha1(_VOCABULARY.encode(), usedforsecurity=False).hexdigest()
    if not Path(folder, name).is_file():
        return None
    try:
        import tiktoken

        return tiktoken.get_encoding(_ENCODING)
    except (ImportError, OSError, ValueError, KeyError):  # a damaged vocabulary is as good as none
        return None
