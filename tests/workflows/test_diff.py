from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.model.trace import Run, RunError, RunStatus, Trace
from refinery.replay.align import align
from refinery.workflows.diff import diff
from tests.kits.traces import llm, run, trace


def tool(run_id: str, query: str, answer: str = "ok", name: str = "search") -> Run:
    return replace(
        run(run_id, "tool", "r", inputs={"q": query}, outputs={"output": answer}), name=name
    )


def of(*runs: Run) -> Trace:
    return trace(run("r", inputs={"input": "How much?"}, outputs={"output": "12"}), *runs)


def states(left: Trace, right: Trace) -> list[tuple[str, str | None]]:
    return [(row.state, row.pair.run.name) for row in diff(left, right).rows]


def test_a_trace_is_the_same_as_itself() -> None:
    one = of(tool("a", "x"), llm("b", "r", "How much?", "12"))

    assert diff(one, one).is_same


def test_ids_and_times_do_not_count() -> None:
    one = of(
        tool("0199c3f4-1111-7000-8000-000000000001", "id 6f1c2d9e-8f00-4c7b-9a3e-5d2b1c0a9f88")
    )
    other = of(
        tool("0199c3f4-2222-7000-8000-000000000002", "id 77777777-8f00-4c7b-9a3e-5d2b1c0a9f88")
    )
    later = replace(
        other, runs=tuple(replace(r, start_ns=(r.start_ns or 0) + 5) for r in other.runs)
    )

    assert diff(one, later).is_same


def test_an_inserted_run_does_not_shift_the_others() -> None:
    one = of(tool("a", "x"), tool("b", "y"), tool("c", "z"))
    other = of(tool("a2", "x"), tool("n", "new thing entirely", name="lookup"), tool("b2", "y"),
               tool("c2", "z"))  # fmt: skip

    found = diff(one, other)

    assert [row.state for row in found.rows] == ["same", "same", "added", "same", "same"]
    assert found.first is not None
    assert found.first.compared.pair.run.run_id == "n"


def test_the_tool_that_answered_otherwise_changed_first_not_the_answer() -> None:
    one = of(tool("a", "price", "12"), llm("b", "r", "12", "It is 12."))
    right = of(tool("a", "price", "15"), llm("b", "r", "15", "It is 15."))
    right = replace(
        right, runs=(replace(right.runs[0], outputs={"output": "15"}), *right.runs[1:])
    )

    found = diff(one, right)

    assert found.first is not None
    assert found.first.compared.pair.run.run_id == "a"
    assert found.first.difference is not None
    assert (found.first.difference.path, found.first.difference.right) == ("outputs.output", "15")


def test_what_the_root_was_given_comes_before_everything() -> None:
    right = of(tool("a", "other"))
    right = replace(
        right, runs=(replace(right.runs[0], inputs={"input": "Else?"}), *right.runs[1:])
    )

    found = diff(of(tool("a", "x")), right)

    assert found.first is not None
    assert found.first.compared.pair.run.run_id == "r"


def test_an_error_is_a_change() -> None:
    broken = replace(tool("a", "x"), status=RunStatus.ERROR, error=RunError("E", "boom"))

    found = diff(of(tool("a", "x")), of(broken))

    assert found.first is not None
    paths = [item.path for item in found.first.compared.differences]
    assert {"error", "status"} <= {path.split(".")[0] for path in paths}


def test_runs_of_another_kind_and_name_are_never_paired() -> None:
    one, other = of(tool("a", "x")), of(llm("m", "r", "x", "y"))

    assert states(one, other)[1:] == [("removed", "search"), ("added", "m")] or (
        sorted(state for state, _ in states(one, other)[1:]) == ["added", "removed"]
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), max_size=12),
    st.lists(st.sampled_from("abcd"), max_size=12),
)
def test_every_run_stands_in_exactly_one_row(left: list[str], right: list[str]) -> None:
    one = of(*(tool(f"l{n}", name, name=name) for n, name in enumerate(left)))
    other = of(*(tool(f"x{n}", name, name=name) for n, name in enumerate(right)))

    pairs = align(one, other)

    lefts = [pair.left.run_id for pair in pairs if pair.left]
    rights = [pair.right.run_id for pair in pairs if pair.right]
    assert lefts == [r.run_id for r in one.runs]
    assert rights == [r.run_id for r in other.runs]


def test_long_and_strange_traces_are_aligned() -> None:
    many = of(*(tool(f"t{n}", str(n % 7)) for n in range(1500)))
    circle = Trace("x", (run("x", "chain", "y"), run("y", "chain", "x")))

    assert diff(many, of(*many.runs[1:1400])).first is not None
    assert len(align(circle, circle)) == 2
    assert diff(Trace("e", ()), Trace("f", ())).is_same
