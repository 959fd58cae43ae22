"""Similarity without the accidents of hashing, for the embedder `hash`.

In a vector of 512 places unrelated words meet by chance, and a question of one word meets a
stranger in every hundredth conversation. The few candidates the vectors give are compared again
by the features themselves: the same words, parts and weights, each in a place of its own.
"""

import math
from collections import Counter
from collections.abc import Sequence

from refinery.embedders.hash import features

PREFIX = "hash-"
"""How the names of these embedders begin."""
LEAST = 0.05
"""Cosine below which nothing is shared but a few letters in a long text (chosen by us)."""


def similarities(text: str, others: Sequence[str]) -> list[float]:
    """Cosine of a text's features with those of each of the others, 0 to 1."""
    own = _weights(text)
    return [_cosine(own, _weights(other)) for other in others]


def _weights(text: str) -> dict[str, float]:
    """Weight of each feature, as the embedder gives them."""
    return {
        feature: (1 + math.log(count)) * (0.4 if feature[0] == "#" else 1.0)
        for feature, count in Counter(features(text)).items()
    }


def _cosine(left: dict[str, float], right: dict[str, float]) -> float:
    shared = sum(weight * right[feature] for feature, weight in left.items() if feature in right)
    length = math.hypot(*left.values()) * math.hypot(*right.values())
    return shared / length if length else 0.0
