"""A labelled set of conversations and questions: what fusing must at least reach."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search_quality as quality
from refinery.search import fusion, hashed
from refinery.search.index import Index
from refinery.stores.sqlite import SqliteStore


@pytest.fixture(scope="module")
def figures(
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Mapping[str, Sequence[float]]]:
    """nDCG@10 with the default embedder, by kind of question and arm."""
    folder = tmp_path_factory.mktemp("quality")
    with (
        SqliteStore(folder / "traces.db") as store,
        Index(folder / "index", quality.embedder_of("hash")) as index,
    ):
        quality.fill(store)
        index.fill(store)
        found = [quality.ranks(store, index, one.query) for one in quality.questions()]
        return quality.measure(found, fusion.weights_for(index.embedder.name))


@pytest.mark.slow
def test_words_that_stand_there_are_found_first(
    figures: Mapping[str, Mapping[str, Sequence[float]]],
) -> None:
    assert np.mean(figures["words"]["text"]) > 0.95
    assert np.mean(figures["words"]["fused"]) > 0.95


@pytest.mark.slow
def test_fusing_is_no_worse_than_words_alone(
    figures: Mapping[str, Mapping[str, Sequence[float]]],
) -> None:
    assert np.mean(figures["all"]["fused"]) >= np.mean(figures["all"]["text"])
    assert np.mean(figures["script"]["fused"]) > np.mean(figures["script"]["text"])


def test_every_label_names_a_conversation() -> None:
    names = {row["id"] for row in quality.lines("conversations")}

    assert len(names) == len(quality.lines("conversations"))
    assert all(set(one.relevant) <= names for one in quality.questions())


def test_the_gain_of_a_perfect_ranking_is_one() -> None:
    relevant = {"a": 2, "b": 1}

    assert quality.ndcg(["a", "b", "c"], relevant) == 1
    assert quality.ndcg(["b", "a"], relevant) < 1
    assert quality.ndcg(["c"], relevant) == 0


def test_ranks_are_fused_by_weight_and_ties_are_settled_by_name() -> None:
    arms = {"text": ["a", "b"], "meaning": ["b", "a"]}

    assert [name for name, _ in fusion.fuse(arms, {"text": 3, "meaning": 1})] == ["a", "b"]
    assert [name for name, _ in fusion.fuse(arms, {"text": 1, "meaning": 3})] == ["b", "a"]
    assert [name for name, _ in fusion.fuse(arms, {})] == ["a", "b"]
    assert fusion.fuse({}, {}) == []


def test_hashed_vectors_are_compared_by_what_is_really_shared() -> None:
    same, part, other = hashed.similarities("late refund", ["late refund", "refunds", "xyzzy"])

    assert same == pytest.approx(1)
    assert 0 < part < same
    assert other == 0
    assert hashed.similarities("", ["late refund"]) == [0]


def test_the_labelled_set_is_in_the_repository() -> None:
    assert sorted(path.name for path in Path(quality.FOLDER).iterdir()) == [
        "conversations.jsonl",
        "queries.jsonl",
    ]
