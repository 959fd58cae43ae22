"""Checks read from the command line and held against results."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.errors import InputError
from refinery.model.codec import encode_run
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
from refinery.model.trace import Run, Trace
from refinery.model.verdict import Check, CheckResult, ReplayResult
from refinery.replay.checks import KINDS, evaluate, parse

CHAT = {
    "messages": [
        {"role": "user", "content": "How long?"},
        {"role": "assistant", "content": "You have  30 Days\nto return it."},
    ],
    "meta": {"sources": ["terms.md"], "score": 2},
}


def holds(text: str, output: Any, **more: Any) -> bool:
    return evaluate(parse(text), ReplayResult("t", "ok", output, **more)).held


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("contains:30 days to", True),
        ("contains:14 days", False),
        ("contains_any:14 days | 30 days", True),
        ("contains_any:14 days|7 days", False),
        ("not_contains:14 days", True),
        ("not_contains:30 DAYS", False),
        (r"regex:\d+\s+Days", True),
        (r"regex:\d+\s+days", False),
        ("not_regex:(?i)refund", True),
        ("not_regex:(?i)DAYS", False),
        ("contains@messages.-1.content:return it", True),
        ("contains@messages.0.content:return it", False),
        ("contains@meta.sources:terms.md", True),
        ("equals@meta.score:2", True),
        ("equals@meta.score:3", False),
        ('equals@meta.sources:["terms.md"]', True),
        ("equals@meta.sources.0:terms.md", True),
        ("contains@meta.sources.7:x", False),
        ("not_contains@nowhere:x", False),
        ('json_schema@meta:{"type": "object", "required": ["score"]}', True),
        ('json_schema@meta:{"type": "object", "required": ["price"]}', False),
        ("no_error", True),
    ],
)
def test_a_check_on_a_conversation(text: str, held: bool) -> None:
    assert holds(text, CHAT) is held


def test_json_text_is_read_before_a_schema_is_applied() -> None:
    assert holds('json_schema:{"type": "object"}', '{"a": 1}')
    assert not holds('json_schema:{"type": "object"}', "{broken")


def test_a_schema_is_never_fetched_from_elsewhere() -> None:
    schema = '{"$ref": "http://127.0.0.1:9/schema"}'

    found = evaluate(parse(f"json_schema:{schema}"), ReplayResult("t", "ok", {}))

    assert not found.held
    assert "outside itself" in found.detail


@pytest.mark.parametrize("status", ["error", "timeout", "unanswered"])
def test_a_run_that_did_not_end_well_holds_no_check_on_its_content(status: str) -> None:
    result = ReplayResult("t", status, "fine", error="Boom: it broke")

    for text in ("contains:fine", "not_contains:x", "regex:.", "no_error"):
        found = evaluate(parse(text), result)
        assert not found.held
        assert "it broke" in found.detail


def seen(trace: Trace) -> list[Signal]:
    run = trace.runs[0]
    if "old" not in json.dumps(run.outputs):
        return []
    evidence = (Evidence(run.run_id, "old"),)
    return [
        Signal(
            *("stale", "Stale document", "", run.run_id, run.run_id, evidence),
            *(Likelihood.CERTAIN, RootCause.CONTEXT),
        )
    ]


@pytest.mark.parametrize(("output", "held"), [("an old list", False), ("a new list", True)])
def test_signal_gone_looks_at_the_replayed_run(output: str, held: bool) -> None:
    run = Run("r", "r", outputs={"text": output})
    result = ReplayResult("t", "ok", output, replayed=[encode_run(run)])

    found = evaluate(parse("signal_gone:stale"), result, observe=seen)

    assert found.held is held
    assert evaluate(parse("signal_gone:other"), result, observe=seen).held


def test_signal_gone_does_not_hold_when_nobody_can_tell() -> None:
    assert not holds("signal_gone:stale", "x")
    broken = ReplayResult("t", "ok", "x", replayed=[{"run_id": 3}])
    assert not evaluate(parse("signal_gone:stale"), broken, observe=seen).held


def test_a_python_check_is_what_the_scorer_answered() -> None:
    answer = CheckResult("python:scoring:is_polite", True, "returned True")

    assert holds("python:scoring:is_polite", "x", checks=(answer,))
    assert not holds("python:scoring:is_polite", "x")


@pytest.mark.parametrize(
    "text",
    [
        *("", "likes:x", "contains", "contains:", "contains: ", "contains_any:|", "signal_gone"),
        *("regex:(", "regex:(?=x)", "python:os", "python:a b:c"),
        *("json_schema:{", 'json_schema:{"type": 3}', "json_schema:3"),
    ],
)
def test_a_check_that_cannot_work_is_refused_when_it_is_written(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


@pytest.mark.parametrize(
    "text", ["contains:a:b", "no_error", "equals@a.-1.b:3", "python:a.b:c", "contains: x\ny"]
)
def test_a_check_is_written_as_it_is_read(text: str) -> None:
    assert str(parse(text)) == text
    assert parse("contains@x:y") == Check("contains", "y", "x")


@given(st.sampled_from(KINDS), st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_check_or_an_input_error(kind: str, field: str, value: str) -> None:
    for text in (f"{kind}:{value}", f"{kind}@{field}:{value}", value):
        try:
            check = parse(text)
        except InputError:
            continue
        evaluate(check, ReplayResult("t", "ok", CHAT))
