"""Ranks of words and of meaning joined into one, with the reasons kept."""

import math
from collections.abc import Mapping, Sequence

SMOOTHING = 60
"""Constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
NOISE = 3
"""Chosen by us: with all-MiniLM-L6-v2 more than 4 hides answers of our labelled set, and less than
2 shows strangers (`benchmarks/search_quality.py`)."""
TEXT, MEANING = "text", "meaning"
HASHED_WEIGHTS = {TEXT: 3.0, MEANING: 1.0}
"""What a rank counts with the hash embedder: its vectors know word parts, not meanings. By
`benchmarks/search_quality.py`; figures in docs/search.md."""
TRAINED_WEIGHTS = {TEXT: 1.0, MEANING: 1.0}
"""The same with an embedder that was trained. On our small labelled set meaning alone is better by
three hundredths; less than this would put an order number that only the words find behind every
vague likeness, which so small a set cannot show."""


def weights_for(embedder: str) -> Mapping[str, float]:
    """Weights of the arms by name of the embedder."""
    return HASHED_WEIGHTS if embedder.startswith("hash-") else TRAINED_WEIGHTS


def fuse(
    rankings: Mapping[str, Sequence[str]], weights: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Items by their summed reciprocal ranks, best first; ties by name.

    Args:
        rankings: items of each arm, best first.
        weights: of each arm.

    Returns:
        Items and scores; a score means nothing beside those of another question.
    """
    scores: dict[str, float] = {}
    for arm, ranking in rankings.items():
        for place, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weights.get(arm, 1.0) / (SMOOTHING + place)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def least_similarity(dimensions: int) -> float:
    """The similarity below which an interaction is no answer: unrelated texts reach it by chance.

    `NOISE` standard deviations of the cosine of two random directions, 1/sqrt(dimensions) each.
    """
    return NOISE / math.sqrt(dimensions)
