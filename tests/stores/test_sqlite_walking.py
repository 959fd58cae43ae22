"""Searches for common words: the same traces, in the same order, as by looking at each."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from refinery.ports import RunBatch, Store, TraceFilter
from refinery.stores._shared.walking import COLLECTED, STRIDES
from refinery.stores.sqlite import open_store
from tests.kits.traces import run

TRACES = COLLECTED + 500
FIRST_RARE = sum(STRIDES[:3])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Every trace says `please`; every tenth of the older half says `refund`, a few `parcel`."""
    opened = open_store(str(tmp_path_factory.mktemp("store") / "traces.db"))
    opened.write_batches(
        [
            RunBatch(
                [run(f"t{n}", at_ms=n, inputs=_text(n), failed="no" if n % 7 == 0 else None)],
                project=f"p{n % 3}",
            )
            for n in range(TRACES)
        ]
    )
    yield opened
    opened.close()


def _text(number: int) -> str:
    words = ["please"]
    words += ["soon"] * (number < TRACES - FIRST_RARE or number % 2)
    words += ["refund"] * (number < TRACES / 2 and number % 10 == 0)
    words += ["parcel"] * (number in (3, 4_000))
    return " ".join(words)


@pytest.mark.parametrize(
    "wanted",
    [
        TraceFilter(text="please"),
        TraceFilter(text="please", limit=1_000),
        TraceFilter(text="soon please", limit=30),
        TraceFilter(text="soon", status="failed", project="p1"),
        TraceFilter(text="please refund"),
        TraceFilter(text="parcel"),
        TraceFilter(text="please nowhere"),
        TraceFilter(text="please", name="t12"),
        TraceFilter(text="please", project="none"),
    ],
    ids=str,
)
def test_common_and_rare_words_are_found_alike(store: Store, wanted: TraceFilter) -> None:
    words = (wanted.text or "").split()
    every = store.list_traces(replace(wanted, text=None, limit=TRACES))
    numbers = [int(summary.trace_id.removeprefix("t")) for summary in every]
    right = [f"t{n}" for n in numbers if set(words) <= set(_text(n).split())]

    found: list[str] = []
    step = wanted
    for _ in range(4):
        page = store.list_traces(step)
        found += [summary.trace_id for summary in page]
        if page:
            step = replace(step, after=(page[-1].start_ns, page[-1].trace_id))

    assert found == right[: 4 * wanted.limit]
