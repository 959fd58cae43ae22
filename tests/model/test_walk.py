from hypothesis import given

from refinery.model import walk
from refinery.model.trace import Run, RunError, RunKind, Trace
from tests.model.strategies import runs

ROOT = Run("a", "a", kind=RunKind.CHAIN)
MODEL = Run("b", "a", kind=RunKind.LLM, parent_id="a")
TOOL = Run("c", "a", kind=RunKind.TOOL, parent_id="b")
TRACE = Trace("a", (ROOT, MODEL, TOOL))


def test_children_are_the_direct_ones() -> None:
    assert walk.children(TRACE, "a") == (MODEL,)
    assert walk.children(TRACE, "c") == ()


def test_ancestors_come_nearest_first() -> None:
    assert walk.ancestors(TRACE, "c") == (MODEL, ROOT)
    assert walk.ancestors(TRACE, "nobody") == ()


def test_a_circle_of_parents_ends() -> None:
    trace = Trace("x", (Run("x", "x", parent_id="y"), Run("y", "x", parent_id="x")))

    assert [run.run_id for run in walk.ancestors(trace, "x")] == ["y", "x"]


def test_leaves_have_no_children() -> None:
    assert walk.leaves(TRACE) == (TOOL,)


def test_runs_are_picked_by_kind() -> None:
    assert walk.of_kind(TRACE, RunKind.LLM, RunKind.TOOL) == (MODEL, TOOL)


def test_strings_come_with_their_paths() -> None:
    value = {"a": ["x", {"b": "y"}], "n": 1}

    assert list(walk.strings(value)) == [("a[0]", "x"), ("a[1].b", "y")]


def test_strings_nested_too_deeply_are_skipped() -> None:
    value: object = "deep"
    for _ in range(5_000):
        value = [value]

    assert list(walk.strings(value)) == []


def test_a_quote_is_found_verbatim_with_its_path() -> None:
    run = Run(
        "r",
        "r",
        inputs={"q": "How much is it?"},
        outputs={"plan": "Pro", "seats": 3},
        error=RunError("ValueError", "no such plan"),
    )

    assert walk.occurs(run, "much is") == "inputs.q"
    assert walk.occurs(run, "no such plan") == "error.message"
    assert walk.occurs(run, '"seats": 3') == "outputs"
    assert walk.occurs(run, '"plan":"Pro"') == "outputs"
    assert walk.occurs(run, "Much is") is None
    assert walk.occurs(run, "") is None


@given(runs)
def test_every_string_of_a_run_is_found_again(run: Run) -> None:
    for _, text in walk.texts(run):
        assert not text or walk.occurs(run, text)
