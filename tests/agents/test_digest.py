import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.agents.digest import BYTES_PER_TOKEN, Handles, describe_run, summarise
from refinery.model.trace import Trace
from tests.agents.samples import OLD, stale_price
from tests.kits.traces import llm, run, trace

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=400),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_small_trace_is_shown_whole_in_tree_order() -> None:
    case = stale_price()

    digest = summarise(case, Handles(case), (), tokens=4_000)

    assert digest.is_whole
    assert [line.split()[0] for line in digest.text.splitlines() if line[0] == "R"] == [
        "R1",
        "R2",
        "R3",
    ]
    assert 'R2 retriever "search_docs" parent=R1 status=ok' in digest.text
    assert f"outputs.documents[0].page_content: {OLD}" in digest.text


def test_shares_sum_to_one_and_follow_the_size_of_runs() -> None:
    case = stale_price()

    readings = summarise(case, Handles(case), (), tokens=4_000).readings

    assert [r.run_id for r in readings] == ["t", "t/1", "t/2"]
    assert sum(r.share for r in readings) == pytest.approx(1)
    assert max(readings, key=lambda r: r.share).run_id == "t/1"


def test_what_signals_point_to_is_read_first() -> None:
    noise = [
        run(f"t/{n}", "chain", "t", at_ms=n, inputs={"text": "x" * 3_000}) for n in range(1, 60)
    ]
    case = trace(run("t", "chain"), *noise)

    digest = summarise(case, Handles(case), ("t/37",), tokens=2_000)

    extents = {r.run_id: r.extent for r in digest.readings}
    assert extents["t/37"] in ("whole", "part")
    assert {"skipped", "summary"} & set(extents.values())


def test_failed_runs_are_read_before_others() -> None:
    noise = [run(f"t/{n}", "tool", "t", at_ms=n, outputs="y" * 2_000) for n in range(1, 40)]
    broken = run("t/99", "tool", "t", at_ms=99, failed="disk full")
    case = trace(run("t", "chain"), *noise, broken)

    digest = summarise(case, Handles(case), (), tokens=1_500)

    assert "error.message: disk full" in digest.text


def test_a_long_value_is_shown_once_and_then_referred_to() -> None:
    history = "the same long history " * 20
    case = trace(
        run("t", "chain"), llm("t/1", "t", history, "a"), llm("t/2", "t", history, "b", at_ms=9)
    )

    digest = summarise(case, Handles(case), (), tokens=4_000)

    assert digest.text.count(history.strip()) == 1
    assert "[same text as R" in digest.text


def test_a_huge_value_is_cut_in_the_middle() -> None:
    text = "begin " + "m" * 200_000 + " end"
    case = trace(run("t", "tool", outputs=text))

    digest = summarise(case, Handles(case), (), tokens=2_000)

    assert digest.readings[0].extent == "part"
    assert "characters left out" in digest.text
    assert "begin" in digest.text
    assert digest.text.endswith(" end")


def test_secrets_are_not_shown() -> None:
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
    case = trace(run("t", "tool", inputs={"api_key": key, "note": f"use {key}"}))

    assert key not in describe_run(case.runs[0], Handles(case))


def test_handles_lead_back_to_runs_however_they_are_written() -> None:
    handles = Handles(stale_price())

    assert handles.name("t/1") == "R2"
    assert handles.name("elsewhere") == "-"
    assert [
        getattr(handles.run(text), "run_id", None) for text in ("R2", " r2 ", "[R2]", "R9", "")
    ] == [
        "t/1",
        "t/1",
        "t/1",
        None,
        None,
    ]


def test_a_trace_without_runs_has_an_empty_digest() -> None:
    empty = Trace("t", ())

    digest = summarise(empty, Handles(empty), ("t",), tokens=1_000)

    assert digest.text == ""
    assert digest.readings == ()


def test_a_deeply_nested_value_does_no_harm() -> None:
    value: object = "bottom"
    for _ in range(5_000):
        value = [value]
    case = trace(run("t", "tool", outputs=value))

    assert summarise(case, Handles(case), (), tokens=500).readings[0].share == 1


@given(st.lists(json_values, min_size=1, max_size=12), st.integers(50, 3_000))
def test_any_trace_fits_its_budget_and_has_a_full_receipt(
    values: list[object], tokens: int
) -> None:
    runs = [run(f"t/{n}", "tool", "t", at_ms=n, outputs=value) for n, value in enumerate(values)]
    case = trace(run("t", "chain"), *runs)

    digest = summarise(case, Handles(case), (), tokens)

    assert len(digest.text.encode()) <= tokens * BYTES_PER_TOKEN + 120
    assert [r.run_id for r in digest.readings] == [r.run_id for r in case.runs]
    assert sum(r.share for r in digest.readings) == pytest.approx(1)
    assert {r.extent for r in digest.readings} <= {"whole", "part", "summary", "skipped"}
