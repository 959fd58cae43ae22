"""How well the guides are found: recall@5 and nDCG@10 by words, by vectors, and fused.

    python -m benchmarks.retrieval_quality [--embedder hash] [--embedder PLUGIN:OPTION …] [--json]

The questions are our own, written beside the guides, so absolute figures flatter; what they show
is how the arms compare. `typos` drops a letter of every long word, as hurried people do.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from refinery import plugins
from refinery.knowledge.library import Library

QUERIES = Path(__file__).parent / "retrieval" / "queries.yaml"
DEPTH = 10
RESAMPLES = 2_000

Ranking = Callable[[str], Sequence[str]]


def labelled() -> list[tuple[str, tuple[str, ...]]]:
    """Questions and the citations of the passages that answer them."""
    rows = YAML(typ="safe").load(QUERIES.read_text(encoding="utf-8"))
    return [(str(query), tuple(wanted)) for query, wanted in rows]


def misspelt(query: str) -> str:
    """The query with a letter missing in every word of more than five letters."""
    chance = random.Random(query)
    words = []
    for word in query.split():
        place = chance.randrange(1, len(word) - 1) if len(word) > 5 else None
        words.append(word if place is None else word[:place] + word[place + 1 :])
    return " ".join(words)


def figures(rank: Ranking, spoil: Callable[[str], str]) -> dict[str, Any]:
    """Recall@5 and nDCG@10 (binary relevance), each with a 95 % bootstrap interval."""
    recalls, gains = [], []
    for query, wanted in labelled():
        found = list(rank(spoil(query)))[:DEPTH]
        recalls.append(len(set(found[:5]) & set(wanted)) / min(5, len(wanted)))
        gain = sum(1 / np.log2(n + 2) for n, name in enumerate(found) if name in wanted)
        gains.append(gain / sum(1 / np.log2(n + 2) for n in range(min(DEPTH, len(wanted)))))
    return {"recall@5": _interval(recalls), "nDCG@10": _interval(gains)}


def _interval(values: Sequence[float]) -> dict[str, float]:
    drawn = np.random.default_rng(1).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return {
        "mean": round(float(np.mean(values)), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
    }


def measure(embedders: Sequence[str]) -> dict[str, Any]:
    """Figures by arm and spelling."""
    found: dict[str, Any] = {}
    arms: list[tuple[str, str | None, tuple[float, float]]] = [("lexical", None, (1.0, 0.0))]
    for name in embedders:
        plugin = name.partition(":")[0]
        arms += [
            (f"vector {plugin}", name, (0.0, 1.0)),
            (f"fused {plugin} 1:1", name, (1.0, 1.0)),
            (f"fused {plugin} 3:1", name, (3.0, 1.0)),
        ]
    for label, name, weights in arms:
        plugin, _, option = (name or "").partition(":")
        embedder = plugins.load("embedders", plugin).create(option) if plugin else None
        with tempfile.TemporaryDirectory() as folder, Library(Path(folder), embedder) as held:
            held.weights = weights
            rank = _ranking(held)
            found[label] = {"as written": figures(rank, str), "typos": figures(rank, misspelt)}
    return found


def _ranking(held: Library) -> Ranking:
    def rank(query: str) -> Sequence[str]:
        return [passage.citation for passage in held.search(query, DEPTH) if passage.score > 0]

    return rank


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.embedder or ["hash"])
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{len(labelled())} questions; mean [95 % bootstrap interval]")
    for arm, spellings in found.items():
        for spelling, values in spellings.items():
            cells = [
                f"{key} {v['mean']:.3f} [{v['low']:.3f}, {v['high']:.3f}]"
                for key, v in values.items()
            ]
            print(f"{arm:<20} {spelling:<11} {'   '.join(cells)}")


if __name__ == "__main__":
    main()
