"""Reports over a store: figures, error patterns, regressions, critical paths, summaries."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.intervals import wilson
from refinery.model.trace import Run, RunKind, RunStatus, Usage
from refinery.performance.audit import audit
from refinery.performance.critical_path import Span, critical_path
from refinery.performance.error_patterns import error_patterns, normalised
from refinery.performance.figures import figures
from refinery.performance.frames import GROUPS, Frame
from refinery.performance.intervals import Finding, adjusted, ratio_of_medians
from refinery.performance.regressions import regressions
from refinery.performance.sql import Reader, open_reader
from refinery.performance.thresholds import Threshold
from refinery.ports import Store
from refinery.stores.hybrid import HybridStore
from refinery.stores.sqlite import open_store
from refinery.workflows import perf
from tests.kits.traces import START_NS, llm, run

HOUR_MS = 3_600_000


def _calls() -> Iterator[Run]:
    """Two sessions: in the second `search` takes three times as long and often fails."""
    for number in range(40):
        is_late = number >= 20
        root = f"t{number}"
        session = "after" if is_late else "before"
        at_ms = number * 1000 + (HOUR_MS if is_late else 0)
        yield run(root, "agent", name="agent", at_ms=at_ms, took_ms=100, session_id=session)
        failed = f"no shelf {number} in '/srv/data/{number}'" if is_late and number % 2 else None
        yield run(
            f"{root}/1",
            "tool",
            root,
            name="search",
            layer="tool",
            at_ms=at_ms + 1,
            took_ms=(30 + number % 5) if is_late else (10 + number % 5),
            failed=failed,
            session_id=session,
        )
        yield run(
            f"{root}/2",
            "tool",
            root,
            name="book",
            at_ms=at_ms + 50,
            took_ms=20 + number % 3,
            session_id=session,
        )
        yield llm(
            f"{root}/3", root, "q", "a", name="model", at_ms=at_ms + 75, took_ms=20,
            session_id=session, cost_usd=Decimal("0.01"), model_requested="m-1",
        )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(str(tmp_path_factory.mktemp("report") / "traces.db"))
    opened.write_runs(_calls(), project="shop")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def reader(store: Store) -> Iterator[Reader]:
    with open_reader(store.analytics()) as opened:  # type: ignore[attr-defined]  # SQLite has it
        yield opened


def test_figures_by_name_are_those_of_the_runs(reader: Reader) -> None:
    found = {one.key: one for one in figures(reader, Frame(), "name")}

    search = found["search"]
    assert (search.count, search.errors) == (40, 10)
    assert search.success_rate == 0.75
    assert search.success_interval == pytest.approx(wilson(30, 40))
    assert (search.p50_ms, search.max_ms) == (22.0, 34.0)
    assert found["model"].tokens == 600
    assert found["model"].cost_usd == pytest.approx(0.4)
    assert found["agent"].tokens is None
    assert next(iter(found)) == "agent"


@pytest.mark.parametrize("group", GROUPS)
def test_runs_can_be_grouped_by_everything_that_is_promised(reader: Reader, group: str) -> None:
    found = figures(reader, Frame(), group)

    assert sum(one.count for one in found) == 160


def test_hours_and_sessions_are_told_apart(reader: Reader) -> None:
    assert {one.key for one in figures(reader, Frame(), "hour")} == {
        "2026-05-28T20:00Z",
        "2026-05-28T21:00Z",
    }
    assert {one.key for one in figures(reader, Frame(), "session")} == {"before", "after"}


def test_runs_are_of_the_session_and_user_that_their_trace_names(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    for number in range(12):
        is_late = number >= 6
        root = run(
            f"t{number}",
            name="agent",
            session_id="after" if is_late else "before",
            user_id="ada",
            took_ms=100,
        )
        took_ms = 50 + number if is_late else 10 + number
        below = run(f"t{number}/1", "tool", f"t{number}", name="search", took_ms=took_ms)
        store.write_runs([root, below])

    after, before = Frame(session="after"), Frame(session="before")
    found = perf.report(store, after, against=before)
    by_session = perf.report(store, Frame(), "session")
    by_user = perf.report(store, Frame(), "user")
    store.close()

    assert {one.key: one.count for one in found.figures} == {"agent": 6, "search": 6}
    assert {one.key: one.finding for one in found.regressions}["search"] is Finding.SLOWER
    assert {one.key: one.count for one in by_session.figures} == {"after": 12, "before": 12}
    assert {one.key: one.count for one in by_user.figures} == {"ada": 24}


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_runs_that_do_not_say_how_they_ended_are_counted(tmp_path: Path, group: str) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    store.write_runs(Run(f"r{n}", f"r{n}", name="agent", start_ns=START_NS) for n in range(6))
    store.write_runs([Run("odd", "odd", start_ns=10**30, end_ns=-(10**30))])

    found = perf.report(store, Frame(), group, against=Frame())
    with open_reader(store.analytics()) as reader:  # type: ignore[attr-defined]  # SQLite has it
        audited = audit(reader, Frame(), [Threshold("*", "min_success_rate", 1)])
    store.close()

    assert sum(one.count for one in found.figures) == 7
    assert {(one.errors, one.success_rate) for one in found.figures} == {(0, None)}
    assert {one.success_p for one in found.regressions} == {None}
    assert audited.violations == ()


@pytest.mark.parametrize("kind", ["sqlite", "hybrid"])
def test_times_made_up_to_keep_an_order_are_no_durations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "traces"
    store: Store = open_store(f"{path}.db") if kind == "sqlite" else HybridStore(path)
    store.write_runs([run("t", name="agent"), run("t/1", "tool", "t")], source="messages")

    found = perf.report(store, Frame())
    store.close()

    assert {(one.key, one.count, one.p50_ms) for one in found.figures} == {
        ("agent", 1, None),
        ("t/1", 1, None),
    }
    assert found.paths.paths == ()


def test_an_error_raised_on_is_counted_where_it_came_up(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    store.write_runs(
        [
            run("t", name="agent", failed="no shelf 7"),
            run("t/1", "chain", "t", name="plan", failed="no shelf 7"),
            run("t/1/1", "tool", "t/1", name="search", failed="no shelf 7"),
            run("t/1/2", "tool", "t/1", name="book", failed="no seat"),
        ]
    )

    with open_reader(store.analytics()) as reader:  # type: ignore[attr-defined]  # SQLite has it
        found = error_patterns(reader, Frame())
        of_plan = error_patterns(reader, Frame(name="plan"))
    store.close()

    assert [(one.pattern, one.count, one.names) for one in found] == [
        ("no seat", 1, ("book",)),
        ("no shelf <n>", 1, ("search",)),
    ]
    assert [(one.count, one.names) for one in of_plan] == [(1, ("plan",))]


def test_a_frame_that_ends_before_it_begins_is_refused(store: Store) -> None:
    for frame in (Frame(since_ns=2, until_ns=1), Frame(since_ns=2, until_ns=2)):
        with pytest.raises(InputError, match="ends before it begins"):
            perf.report(store, frame)
        with pytest.raises(InputError, match="ends before it begins"):
            perf.report(store, Frame(), against=frame)


def test_an_unknown_group_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="grouped by"):
        perf.report(store, Frame(), "name; DROP TABLE runs")


def test_a_frame_leaves_out_what_is_not_in_it(reader: Reader) -> None:
    later = Frame(since_ns=START_NS + HOUR_MS * 10**6, name="search")
    none = Frame(session="' OR true --")

    assert [one.count for one in figures(reader, later, "name")] == [20]
    assert figures(reader, none, "name") == []
    assert figures(reader, Frame(since_ns=10**40), "name") == []


def test_errors_that_differ_in_numbers_and_paths_are_one_pattern(reader: Reader) -> None:
    (found,) = error_patterns(reader, Frame())

    assert (found.type, found.count, found.traces) == ("ValueError", 10, 10)
    assert found.pattern == "no shelf <n> in '<text>'"
    assert found.names == ("search",)
    assert found.example == "no shelf 39 in '/srv/data/39'"
    assert (found.example_trace, found.example_run) == ("t39", "t39/1")
    assert found.first_ns is not None
    assert found.first_ns < (found.last_ns or 0)


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("timeout after 30.5 s", "timeout after <n> s"),
        ("run 0198b1a2-1111-7abc-8def-0123456789ab is gone", "run <id> is gone"),
        ("GET https://api.example.org/v1/x?y=1 failed: 503", "GET <url> failed: <n>"),
        ("no such file: /home/ada/data/x.csv", "no such file: <path>"),
        ("at 2026-11-21T10:00:00Z", "at <time>"),
        ("mail to ada@example.org bounced", "mail to <email> bounced"),
        ("object at 0x7f3a9c", "object at <address>"),
        ("first line\nsecond 1", "first line"),
        ("", ""),
        ("検索 failed 3 times", "検索 failed <n> times"),
    ],
)
def test_what_varies_is_replaced_by_what_it_is(message: str, pattern: str) -> None:
    assert normalised(message) == pattern


def test_a_hostile_message_takes_no_time() -> None:
    assert len(normalised("a" * 1_000_000 + "'" * 10_000)) <= 300
    assert len(normalised(("/" + "a" * 10) * 100_000)) <= 300


def test_what_became_slower_and_less_reliable_is_shown(reader: Reader) -> None:
    found = {
        one.key: one
        for one in regressions(reader, Frame(session="before"), Frame(session="after"), "name")
    }

    search = found["search"]
    assert search.finding is Finding.SLOWER
    assert search.duration.value == pytest.approx(32 / 12)
    assert (search.duration.low or 0) > 1.5
    assert (search.duration_p or 1) < 0.001
    assert search.is_less_reliable
    assert not search.is_more_reliable
    assert found["book"].finding is Finding.NONE
    assert not found["book"].is_less_reliable
    assert next(iter(found)) == "search"


def test_the_other_way_round_it_is_faster(reader: Reader) -> None:
    found = regressions(reader, Frame(session="after"), Frame(session="before"), "name")

    search = next(one for one in found if one.key == "search")
    assert search.finding is Finding.FASTER
    assert search.is_more_reliable


def test_too_few_runs_show_nothing() -> None:
    assert ratio_of_medians([1, 2], [100, 200]).finding is Finding.TOO_FEW
    assert ratio_of_medians([0.0] * 9, [1.0] * 9).finding is Finding.NONE
    assert ratio_of_medians([1.0] * 9, [1.01] * 9).finding is Finding.NONE


def test_chance_rarely_shows_a_difference() -> None:
    import random

    chance = random.Random(1)
    found = [
        ratio_of_medians(
            [chance.gauss(100, 20) for _ in range(20)], [chance.gauss(100, 20) for _ in range(20)]
        ).finding
        for _ in range(60)
    ]

    assert found.count(Finding.NONE) >= 52


def test_p_values_are_corrected_by_holm() -> None:
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([]) == []


def test_a_report_has_all_parts(store: Store) -> None:
    found = perf.report(store, Frame(session="after"), against=Frame(session="before"))

    assert found.figures[0].key == "agent"
    assert found.errors[0].count == 10
    assert found.regressions[0].key == "search"
    (cost,) = found.costs
    assert (cost.path, cost.calls, cost.tokens) == (("agent", "model"), 20, 300)
    assert cost.cost_usd == pytest.approx(0.2)
    names = {path.path: path for path in found.paths.paths}
    assert found.paths.traces == 20
    assert ("agent", "search") in names
    assert sum(path.share for path in found.paths.paths) == pytest.approx(1)


def spans(*given: tuple[str, str | None, int, int]) -> list[Span]:
    return [Span(one, above, one, start * 10**6, end * 10**6) for one, above, start, end in given]


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    found = critical_path(
        spans(
            ("root", None, 0, 100),
            ("a", "root", 10, 40),
            ("b", "root", 20, 90),
            ("c", "b", 30, 80),
        )
    )

    times = {segment.path[-1]: segment.own_ms for segment in found}
    assert times == {"root": 30.0, "b": 20.0, "c": 50.0}
    assert sum(times.values()) == 100


def test_children_one_after_the_other_are_all_on_the_path() -> None:
    found = critical_path(
        spans(("root", None, 0, 100), ("a", "root", 0, 40), ("b", "root", 40, 100))
    )

    assert {segment.path[-1]: segment.own_ms for segment in found} == {
        "root": 0.0,
        "a": 40.0,
        "b": 60.0,
    }


def test_parents_in_a_circle_are_cut_in_the_costliest_paths(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    circle = [run("t/2", parent="t/3"), run("t/3", parent="t/2")]
    store.write_runs([llm("t/1", "t/2", "q", "a"), *circle])

    found = perf.report(store, Frame())

    assert [one.path for one in found.costs] == [("t/3", "t/2", "t/1")]
    store.close()


@pytest.mark.parametrize(
    "given",
    [
        [],
        spans(("a", "b", 0, 10), ("b", "a", 0, 10)),
        spans(("a", "a", 0, 10)),
        spans(("root", None, 0, 10), ("late", "root", 5, 30), ("early", "root", -20, 5)),
    ],
)
def test_odd_trees_neither_loop_nor_take_more_than_there_is(given: list[Span]) -> None:
    found = critical_path(given)

    assert sum(segment.own_ms for segment in found) <= 10


def test_tokens_of_runs_that_repeat_their_childrens_are_not_counted(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    store.write_runs(
        [
            Run("n", "n", name="outer", kind=RunKind.LLM, usage=Usage(total=99), start_ns=START_NS,
                end_ns=START_NS + 1, status=RunStatus.OK, session_id="nested"),
            llm("n/1", "n", "q", "a", name="inner", session_id="nested"),
        ]
    )  # fmt: skip

    found = perf.report(store, Frame(session="nested"), "name")

    assert {one.key: one.tokens for one in found.figures} == {"outer": None, "inner": 15}
    store.close()
