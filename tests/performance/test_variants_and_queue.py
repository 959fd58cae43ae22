"""Variants side by side, limits, and the optimisation queue."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.errors import InputError, NotFoundError
from refinery.model.trace import CodeReference, Run
from refinery.performance.audit import audit
from refinery.performance.frames import Frame
from refinery.performance.intervals import Finding
from refinery.performance.queue import FILE, Item, Queue, item_id
from refinery.performance.sql import open_reader
from refinery.performance.thresholds import (
    Measured,
    Threshold,
    breach,
    read,
    strictest,
)
from refinery.ports import Store
from refinery.stores.sqlite import open_store
from refinery.workflows import perf_variants
from refinery.workflows.perf_audit import parse_limit
from tests.kits.traces import run

OLD, SAME, FAST = ("a" * 64, "ab" * 32, "b" * 64)
SOURCES = {
    OLD: "def f():\n    slow()\n",
    SAME: "def f():\n    slow()  # same\n",
    FAST: "def f():\n    quick()\n",
}


def calls(variant: str, took_ms: int, at_ms: int) -> Iterator[Run]:
    for number in range(12):
        noted = {"refinery": {"source": {"variant": variant, "text": SOURCES[variant]}}}
        yield run(
            f"{variant[:3]}{number}",
            "tool",
            name="search",
            layer="tool",
            at_ms=at_ms + number,
            took_ms=took_ms + number % 4,
            code=CodeReference(variant=variant, file="shop.py", line=4),
            inputs={"number": number},
            metrics={"cpu_ms": 1.0, "rss_delta_bytes": 2.0**20},
            metadata=noted if number == 0 else None,
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(str(tmp_path_factory.mktemp("variants") / "traces.db"))
    opened.write_runs([*calls(OLD, 50, 0), *calls(SAME, 50, 1000), *calls(FAST, 10, 2000)])
    yield opened
    opened.close()


def test_a_faster_variant_is_shown_with_its_change(store: Store) -> None:
    found = perf_variants.compare(store, OLD, FAST)

    one = found.comparison
    assert one.finding is Finding.FASTER
    assert one.duration.value == pytest.approx(11.5 / 51.5)
    assert (one.duration.high or 1) < 0.5
    assert "-    slow()" in found.diff
    assert "+    quick()" in found.diff
    assert found.missing == ()


def test_a_component_is_compared_with_its_version_before(store: Store) -> None:
    found = perf_variants.compare(store, "search").comparison

    assert (found.first.variant, found.second.variant) == (SAME, FAST)


def test_variants_that_do_not_differ_are_not_called_different(store: Store) -> None:
    assert perf_variants.compare(store, OLD, SAME).comparison.finding is Finding.NONE
    assert perf_variants.compare(store, FAST, OLD).comparison.finding is Finding.SLOWER


def test_a_hash_that_is_unknown_or_not_unique_is_said(store: Store) -> None:
    with pytest.raises(NotFoundError):
        perf_variants.compare(store, "ffff", FAST)
    with pytest.raises(NotFoundError):
        perf_variants.compare(store, "a", FAST)
    with pytest.raises(NotFoundError, match="no version of 'serch'") as caught:
        perf_variants.compare(store, "serch")
    assert caught.value.hint == "did you mean 'search'?"


def test_a_block_inside_a_function_does_not_count_as_the_function(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    for variant, took_ms in ((OLD, 50), (FAST, 10)):
        for one in calls(variant, took_ms, 0 if variant == OLD else 1000):
            assert one.code is not None
            function = replace(one, code=replace(one.code, qualname="Shop.search"))
            block = replace(function, run_id=f"{one.run_id}/b", name="part", metadata=None)
            end_ns = (one.start_ns or 0) + 1_000_000
            store.write_runs(
                [
                    function,
                    *(replace(block, run_id=f"{block.run_id}{n}", end_ns=end_ns) for n in "ab"),
                ]
            )

    whole = perf_variants.compare(store, OLD, FAST).comparison
    named = perf_variants.compare(store, "part").comparison
    store.close()

    assert (whole.first.name, whole.first.count, whole.finding) == ("search", 12, Finding.FASTER)
    assert whole.duration.value == pytest.approx(11.5 / 51.5)
    assert (named.first.name, named.finding) == ("part", Finding.NONE)


def test_one_version_alone_is_not_compared(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    store.write_runs(calls(OLD, 50, 0))

    with pytest.raises(NotFoundError, match="two are needed"):
        perf_variants.compare(store, "search")
    store.close()


def test_an_audit_holds_the_version_that_ran_last_against_its_limits(store: Store) -> None:
    with open_reader(store.analytics()) as reader:  # type: ignore[attr-defined]  # SQLite has it
        strict = audit(reader, Frame(), [Threshold("tool", "max_duration_ms", 5)])
        earlier = audit(reader, Frame(until_ns=run("x", at_ms=900).start_ns), strict_limits())
        lenient = audit(reader, Frame(), strict_limits())

    (violation,) = strict.violations
    assert (violation.component.variant, violation.component.runs) == (FAST, 12)
    assert violation.breaches[0].is_shown
    assert "it waits" in violation.recommendation
    assert earlier.violations[0].component.variant == OLD
    assert earlier.violations[0].breaches[0].measured.observed == pytest.approx(53.0)
    assert lenient.violations == ()


def test_a_limit_that_too_few_runs_tell_of_is_neither_kept_nor_broken(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    store.write_runs(replace(one, end_ns=None) for one in calls(OLD, 50, 0))
    given = [*strict_limits(), Threshold("node", "max_tokens", 5)]

    with open_reader(store.analytics()) as reader:  # type: ignore[attr-defined]  # SQLite has it
        found = audit(reader, Frame(), given)
    store.close()

    assert found.violations == ()
    assert [one.name for one in found.unknown] == ["search"]
    assert found.kept == {("tool", "search"): frozenset()}
    assert found.unmatched == (given[1],)


def test_long_inputs_that_the_copy_cuts_are_not_taken_for_repeated(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    told = {}
    for name, length in (("short", 10), ("long", 9_000)):
        store.write_runs(
            run(
                f"{name}{number}",
                "tool",
                None,
                name=name,
                layer="tool",
                trace_id=f"{name}0",
                took_ms=50,
                inputs={"text": "x" * length, "number": number if name == "long" else 0},
            )
            for number in range(8)
        )
    with open_reader(store.analytics()) as reader:  # type: ignore[attr-defined]  # SQLite has it
        for one in audit(reader, Frame(), [Threshold("tool", "max_duration_ms", 5)]).violations:
            told[one.component.name] = one.recommendation
    store.close()

    assert "repeat inputs" in told["short"]
    assert "repeat inputs" not in told["long"]


def strict_limits() -> list[Threshold]:
    return [Threshold("tool/search", "max_duration_ms", 20)]


@pytest.mark.parametrize(
    ("beyond", "total", "is_broken", "is_shown"),
    [(0, 50, False, False), (5, 50, False, False), (6, 50, True, False), (20, 50, True, True),
     (4, 4, False, False), (5, 5, True, True)],
)  # fmt: skip
def test_a_breach_is_shown_only_when_its_interval_lies_beyond(
    beyond: int, total: int, is_broken: bool, is_shown: bool
) -> None:
    found = breach(Threshold("tool", "max_duration_ms", 10), Measured(beyond, total, 11.0))

    assert (found is not None) == is_broken
    assert (found.is_shown if found else False) == is_shown


@pytest.mark.parametrize(
    ("failed", "is_broken", "is_shown"),
    [(0, False, False), (5, False, False), (7, True, False), (30, True, True)],
)
def test_a_success_rate_is_held_against_its_least(
    failed: int, is_broken: bool, is_shown: bool
) -> None:
    rate = (50 - failed) / 50
    found = breach(Threshold("*", "min_success_rate", 0.9), Measured(failed, 50, rate))

    assert (found is not None) == is_broken
    assert (found.is_shown if found else False) == is_shown


def test_the_most_precise_limit_holds() -> None:
    limits = read(
        {
            "tool": {"max_duration_ms": 100},
            "tool/search": {"max_duration_ms": 10},
            "*/sea*": {"max_duration_ms": 50, "min_success_rate": 0.5},
        }
    )

    found = {one.limit: one.value for one in strictest(limits, "tool", "search")}
    assert found == {"max_duration_ms": 10, "min_success_rate": 0.5}
    assert strictest(limits, "node", "other") == []


@pytest.mark.parametrize(
    "limits",
    [
        {"tool": {"max_speed": 1.0}},
        {"tool": {"max_duration_ms": float("nan")}},
        {"tool": {"max_duration_ms": float("inf")}},
        {"tool": {"max_duration_ms": -1.0}},
        {"tool": {"min_success_rate": 1.5}},
    ],
)
def test_a_limit_that_cannot_be_one_is_refused(limits: dict[str, dict[str, float]]) -> None:
    with pytest.raises(InputError):
        read(limits)


@pytest.mark.parametrize("text", ["", "tool", "tool x", "tool max_duration_ms=abc", "tool =5"])
def test_a_limit_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_limit(text)


def item(name: str, priority: float) -> Item:
    return Item(
        item_id("tool", name), "tool", name, OLD, "max_duration_ms", 10, 50.0, 12, True,
        priority, "look there", "trace", "run",
    )  # fmt: skip


def test_the_queue_is_in_order_and_keeps_each_component_once(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put(item("slow", 1))
    queue.put(item("slower", 5))
    queue.put(item("slow", 9))

    assert [one.name for one in queue.items()] == ["slow", "slower"]
    assert queue.find("next").name == "slow"
    taken = queue.move(queue.find("next"), "taken", "")
    assert queue.find("next").name == "slower"
    assert queue.put(item("slow", 2)).state == "taken"
    queue.move(replace(taken, priority=2), "dropped", "not worth it")
    assert [one.name for one in queue.items()] == ["slower"]
    assert len(queue.items(is_open=False)) == 2


def test_an_item_that_left_comes_back_as_waiting(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.move(queue.put(item("slow", 1)), "done", "")

    assert queue.put(item("slow", 1)).state == "waiting"


def test_an_empty_queue_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Queue(tmp_path).find("next")
    with pytest.raises(NotFoundError):
        Queue(tmp_path).find("")


@given(lines=st.lists(st.binary(max_size=200) | st.sampled_from([b'{"item_id": 1}', b"[]"])))
def test_a_damaged_queue_file_keeps_what_can_be_read(lines: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        queue = Queue(Path(folder))
        queue.put(item("slow", 1))
        with (Path(folder) / FILE).open("ab") as file:
            file.write(b"\n" + b"\n".join(lines) + b"\n")

        assert [one.name for one in queue.items()] == ["slow"]
