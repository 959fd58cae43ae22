"""How well conversations are found: nDCG@10 by words, by meaning and fused, on labelled questions.

    python -m benchmarks.search_quality [--embedder hash] [--embedder PLUGIN:OPTION …] [--weights]

The conversations and questions of `search_queries` are our own, written by hand beside each other,
so absolute figures flatter; what they show is how the arms compare. Grades: 2 answers the
question, 1 is near it. Kinds of questions: `words` (the words stand there), `meaning` (other words
for it), `misspelt`, `script` (other languages and scripts), `symbols` (quotes, wildcards, SQL).
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refinery import plugins
from refinery.model.trace import Run, RunKind, RunStatus
from refinery.ports import Embedder
from refinery.search import fusion, text
from refinery.search.index import Index
from refinery.search.query import Query
from refinery.search.searching import DEPTH
from refinery.stores.sqlite import SqliteStore

FOLDER = Path(__file__).parent / "search_queries"
CUT = 10
START_NS = 1_780_000_000_000_000_000
RESAMPLES = 2_000
ARMS = ("text", "meaning", "fused")


@dataclass(frozen=True)
class Question:
    """One labelled question."""

    kind: str
    query: str
    relevant: Mapping[str, int]
    """Grade of each conversation that fits."""


def lines(name: str) -> list[dict[str, Any]]:
    """The rows of one file of the labelled set."""
    rows = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(row) for row in rows]


def questions() -> list[Question]:
    """All labelled questions."""
    return [Question(**row) for row in lines("queries")]


def fill(store: SqliteStore) -> None:
    """Write the labelled conversations as traces: an agent run with a model call below."""
    runs = []
    for number, row in enumerate(lines("conversations")):
        start = START_NS + number * 60_000_000_000
        common: dict[str, Any] = {
            "trace_id": row["id"],
            "start_ns": start,
            "end_ns": start + 10**9,
            "status": RunStatus.OK,
        }
        asked = {"messages": [{"role": "user", "content": row["asked"]}]}
        answered = {"messages": [{"role": "assistant", "content": row["answered"]}]}
        runs.append(
            Run(row["id"], name="agent", kind=RunKind.AGENT, inputs=asked, outputs=answered,
                **common)
        )  # fmt: skip
        runs.append(
            Run(f"{row['id']}/1", name="model", kind=RunKind.LLM, parent_id=row["id"],
                inputs=asked, outputs=answered, **common)
        )  # fmt: skip
    store.write_runs(runs, source="benchmark")


def ndcg(found: Sequence[str], relevant: Mapping[str, int]) -> float:
    """Normalised discounted cumulative gain of the first ten, gain 2^grade - 1.

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002), in the
    form of Burges and others (2005).
    """

    def gain(grades: Sequence[int]) -> float:
        return float(sum((2**g - 1) / np.log2(n + 2) for n, g in enumerate(grades[:CUT])))

    best = gain(sorted(relevant.values(), reverse=True))
    return gain([relevant.get(one, 0) for one in found]) / best


def ranks(store: SqliteStore, index: Index, query: str) -> dict[str, list[str]]:
    """Trace ids by words and by meaning, best first."""
    asked = Query(text=query).checked()
    point = index.point(query)
    near = index.nearest(point, asked, DEPTH) if point else []
    return {
        "text": [hit.trace.trace_id for hit in text.ranked(store, asked, DEPTH)],
        "meaning": [trace for trace, _ in near],
    }


def measure(
    found: Sequence[Mapping[str, Sequence[str]]], weights: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """nDCG@10 of every question by kind and arm.

    Args:
        found: what the arms ranked for each question.
        weights: of the arms when they are fused.
    """
    figures: dict[str, dict[str, list[float]]] = {}
    for one, arms in zip(questions(), found, strict=True):
        fused = [name for name, _ in fusion.fuse(arms, weights)]
        for arm, ranking in {**arms, "fused": fused}.items():
            for kind in (one.kind, "all"):
                gains = figures.setdefault(kind, {}).setdefault(arm, [])
                gains.append(ndcg(ranking, one.relevant))
    return figures


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval."""
    drawn = np.random.default_rng(1).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(np.mean(values)), float(low), float(high)


def embedder_of(spec: str) -> Embedder:
    """The embedder a setting names."""
    name, _, option = spec.partition(":")
    made: Embedder = plugins.load("embedders", name).create(option)
    return made


def show(title: str, found: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print nDCG@10 by kind and arm."""
    print(f"\n{title}: nDCG@{CUT}, mean (95 % bootstrap interval)")
    print(f"{'kind':10s} {'n':>3s}  " + "  ".join(f"{arm:>18s}" for arm in ARMS))
    for kind, arms in found.items():
        cells = []
        for arm in ARMS:
            mean, low, high = interval(arms[arm])
            cells.append(f"{mean:.3f} ({low:.2f}-{high:.2f})")
        print(f"{kind:10s} {len(arms['text']):3d}  " + "  ".join(f"{c:>18s}" for c in cells))


def main() -> None:
    """Measure every embedder asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", action="append", default=[])
    parser.add_argument("--weights", action="store_true", help="also try other weights")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "traces.db")
        fill(store)
        for number, spec in enumerate(given.embedder or ["hash"]):
            with Index(Path(folder) / str(number), embedder_of(spec)) as index:
                index.fill(store)
                found = [ranks(store, index, one.query) for one in questions()]
                name = index.embedder.name
                show(name, measure(found, fusion.weights_for(name)))
                for share in (0.1, 0.2, 0.5, 1, 2, 3, 5) if given.weights else ():
                    weights = {"text": float(share), "meaning": 1.0}
                    mean, low, high = interval(measure(found, weights)["all"]["fused"])
                    print(f"  text weighs {share} : 1   fused {mean:.3f} ({low:.2f}-{high:.2f})")
        store.close()


if __name__ == "__main__":
    main()
