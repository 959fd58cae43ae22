"""Feature hashing of words and their parts: deterministic, no model, nothing to download.

Each word, each part of a snake_case or camelCase word, and each run of three characters adds +1
or -1 at a hashed position (Weinberger and others, "Feature Hashing for Large Scale Multitask
Learning", ICML 2009, section 2). It finds shared words and word parts, not synonyms.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from refinery.errors import InputError

DIMENSIONS = 512
"""Default length of a vector; chosen by us: longer ones rank our guides no better."""
_SHORT = 3
"""Lower-case words up to this length say little: the, and, for, not. `429` and `RAG` do."""
_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")


class HashEmbedder:
    """Embeds texts by feature hashing (`ports.Embedder`)."""

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions
        self.name = f"hash-{dimensions}"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text, in order.

        Returns:
            (texts, dimensions) float32, unit length; all zeros for a text without words.
        """
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for feature, count in Counter(features(text)).items():
                digest = int.from_bytes(
                    blake2b(feature.encode(), digest_size=8).digest(), "little"
                )
                weight = (1 + math.log(count)) * (0.4 if feature[0] == "#" else 1.0)
                vectors[row, digest % self.dimensions] += weight if digest >> 63 else -weight
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: list[list[float]] = (vectors / np.maximum(lengths, 1e-12)).tolist()
        return unit


def features(text: str) -> list[str]:
    """Words, their parts, and three-character runs of the parts (these begin with `#`)."""
    found: list[str] = []
    for word in _WORD.findall(text):
        parts = [part.lower() for part in _PART.findall(word)]
        lowered = word.lower()
        if len(word) <= _SHORT and word == lowered and word.isalpha():
            continue
        found.append(lowered)
        found += [part for part in parts if part != lowered]
        for part in parts:
            found += [f"#{part[i : i + 3]}" for i in range(len(part) - 2)]
    return found


def create(option: str = "") -> HashEmbedder:
    """An embedder; the option is the number of dimensions.

    Raises:
        InputError: the option is not a number from 16 to 4096.
    """
    if not option:
        return HashEmbedder()
    if not option.isdecimal() or not 16 <= int(option) <= 4096:
        raise InputError(
            f"embedder option {option!r} is not a number of dimensions from 16 to 4096",
            hint="use `hash` or, for example, `hash:256`",
        )
    return HashEmbedder(int(option))
