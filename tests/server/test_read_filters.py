"""LangSmith's filter language: what it means, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.adapters._shared.langsmith_tree import TraceShape, public_id
from refinery.model.trace import Feedback, Run, RunError, RunKind, RunStatus, Usage
from refinery.server.routes._langsmith.grammar import (
    FIELDS,
    MAX_CHARS,
    MAX_DEPTH,
    OPERATORS,
    Comparison,
    FilterError,
    Group,
    Search,
    parse,
)
from refinery.server.routes._langsmith.matching import Subject, fits

START = 1_763_700_000_123_456_789  # 2025-11-21T04:40:00.123456789Z
RUN = Run(
    "a",
    "t",
    name="Extractor",
    kind=RunKind.LLM,
    start_ns=START,
    end_ns=START + 2_500_000_000,
    status=RunStatus.ERROR,
    error=RunError("ValueError", "no such key"),
    inputs={"question": "Where is Łódź?", "nested": {"depth": 2}},
    outputs={"answer": "Poland"},
    usage=Usage(input=3, output=4, total=7),
    session_id="thread-1",
    tags=["beta", "fast"],
    metadata={"env": "prod", "version": 3, "is_new": True},
)
SAID = [
    Feedback("1", "t", "score", run_id="a", score=0.0, source="llm"),
    Feedback("2", "t", "taste", run_id="a", score=1.0),
]


class Alone:
    """A run that is the only one of its trace."""

    def shape(self, run: Run) -> TraceShape:
        return TraceShape([run])

    def feedback(self, run: Run) -> list[Feedback]:
        return SAID


def matches(text: str, run: Run = RUN) -> bool:
    return fits(parse(text), Subject(run, "p", Alone()))


TRUE = [
    'eq(name, "Extractor")',
    'neq(name, "other")',
    'eq(run_type, "llm")',
    'eq(run_type, "LLM")',
    'eq(status, "error")',
    "neq(error, null)",
    'has(error, "no such")',
    f'eq(id, "{public_id("a")}")',
    'in(id, ["x", "a"])',
    "gt(latency, 2)",
    'gte(latency, "2500ms")',
    'lt(latency, "1m")',
    "eq(is_root, true)",
    "eq(is_root, 'true')",
    "eq(total_tokens, 7)",
    "gte(prompt_tokens, 3.0)",
    'gt(start_time, "2025-11-21T04:40:00Z")',
    'lt(start_time, "2025-11-21T04:40:01")',
    'eq(start_time, "2025-11-21T05:40:00.123456+01:00")',
    'lte(start_time, "2025-11-21T04:40:00.123456+00:00")',
    'has(tags, "beta")',
    'eq(tags, "fast")',
    'in(tags, ["slow", "fast"])',
    'not(has(tags, "slow"))',
    'neq(tags, "slow")',
    'like(name, "%TRACT%")',
    'like(name, "Extr_ctor")',
    'like(name, "%")',
    'eq(thread_id, "thread-1")',
    'and(eq(metadata_key, "env"), eq(metadata_value, "prod"))',
    'and(eq(metadata_key, "version"), eq(metadata_value, "3"))',
    'and(eq(metadata_key, "version"), gt(metadata_value, 2))',
    "and(eq(metadata_key, 'is_new'), eq(metadata_value, true))",
    'and(eq(metadata_key,"env"),eq(metadata_value,"prod"),eq(metadata_key,"version"))',
    'neq(metadata_key, "absent")',
    'in(metadata_value, ["prod", "test"])',
    """has(metadata, '{"env": "prod"}')""",
    'has(metadata, "env")',
    'and(eq(input_key, "nested.depth"), eq(input_value, 2))',
    'eq(output_value, "Poland")',
    'and(eq(feedback_key, "taste"), eq(feedback_score, 1))',
    'and(eq(feedback_key, "score"), eq(feedback_score, 0.0))',
    'search("łódź where")',
    'search(outputs, "poland")',
    'or(eq(name, "x"), and(eq(run_type, "llm"), gt(latency, 1)))',
    'not(eq(name, "x"))',
    "eq(reference_example_id, null)",
]
FALSE = [
    'eq(name, "extractor")',
    'neq(run_type, "llm")',
    "eq(error, null)",
    "gt(latency, 3)",
    "gt(name, 3)",
    "gt(total_cost, 0)",
    'gt(start_time, "2025-11-21T04:40:00.123456Z")',
    'gt(start_time, "not a time")',
    'has(tags, "bet")',
    'eq(parent_run_id, "x")',
    'like(name, "tract")',
    'like(name, "%q%")',
    'and(eq(metadata_key, "env"), eq(metadata_value, "3"))',
    'and(eq(metadata_key, "env"), neq(metadata_value, "prod"))',
    'and(eq(metadata_key,"env"),eq(metadata_value,"prod"),eq(metadata_key,"absent"))',
    'neq(metadata_key, "env")',
    'and(eq(feedback_key, "score"), eq(feedback_score, 1))',
    'search("poland france")',
    'search(inputs, "poland")',
    'eq(is_root, "false")',
]


@pytest.mark.parametrize("text", TRUE)
def test_a_run_fits(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize("text", FALSE)
def test_a_run_does_not_fit(text: str) -> None:
    assert not matches(text)


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("operator", sorted(OPERATORS - {"and", "or", "not", "search", "in"}))
def test_every_field_takes_every_comparison_of_every_type(operator: str, field: str) -> None:
    empty = Run("b", "t")
    for value in ('"x"', "1", "-1.5e3", "true", "null"):
        for run in (RUN, empty):
            assert matches(f"{operator}({field}, {value})", run) in (True, False)


def test_the_tree_says_what_was_written() -> None:
    assert parse("""and( eq(name , 'it\\'s "it"'), search("x"), gt(latency,-1) )""") == Group(
        "and",
        (
            Comparison("eq", "name", 'it\'s "it"'),
            Search("x"),
            Comparison("gt", "latency", -1),
        ),
    )


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "not the end"),
        ("foo(a, 1)", 0, "unknown operator 'foo'"),
        ("eq(nme, 1)", 3, "unknown field 'nme'"),
        ('eq(name "x")', 8, "',' is expected"),
        ('eq(name, "x"', 12, "not the end"),
        ('eq(name, "x")) ', 13, "nothing is expected"),
        ('eq(name, "x', 9, "no part of a filter"),
        ('eq(name, "\\q")', 9, "wrong escape"),
        ("and()", 0, "wrong number"),
        ('not(eq(name,"x"),eq(name,"y"))', 0, "wrong number"),
        ('in(name, "x")', 9, "takes a list"),
        ('eq(name, ["x"])', 9, "takes no list"),
        ("search(1)", 0, "takes a text"),
        ("eq(name, other)", 9, "a value is expected"),
        ('eq("name", "x")', 3, "the name of a field"),
    ],
)
def test_a_broken_filter_says_where_and_why(text: str, position: int, reason: str) -> None:
    with pytest.raises(FilterError, match="position") as caught:
        parse(text)

    assert caught.value.position == position
    assert reason in str(caught.value)


def test_size_and_depth_are_bounded() -> None:
    deep = "not(" * (MAX_DEPTH + 1) + "eq(name,1)" + ")" * (MAX_DEPTH + 1)
    wide = "or(" + ",".join(["eq(name,1)"] * 3_000) + ")"
    for text in (deep, wide[: MAX_CHARS - 1], wide, "in(id,[" + "[" * 500):
        with pytest.raises(FilterError):
            parse(text)


WORDS = st.sampled_from(
    [
        *("and(", "eq(", "not(", "search(", "in(", "like(", ")", ",", "[", "]", " "),
        *("name", "latency", "metadata_key", '"x"', '"%_%"', "'", '"', "\\", "\ud800"),
        *("1", "-", "1e999", "true", "null"),
    ]
)


@given(st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=30))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    try:
        expression = parse(text)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
        return
    assert fits(expression, Subject(RUN, None, Alone())) in (True, False)


def test_a_hostile_pattern_ends_soon() -> None:
    run = Run("b", "t", name="a" * 50_000)
    assert not matches(f'like(name, "{"%a_" * 300}b")', run)
