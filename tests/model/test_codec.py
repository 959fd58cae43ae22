import json
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given

from refinery.model.codec import UNREPRESENTABLE, decode, decode_run, encode, encode_run
from refinery.model.failure import Diagnosis, Evidence, Finding, Likelihood, RootCause
from refinery.model.patch import Edit, FileChange, Hypothesis, Patch
from refinery.model.trace import EntryPoint, Label, Run, RunKind, RunStatus, TraceSummary, Usage
from refinery.model.verdict import Arm, Fidelity, ReplayResult, StepFidelity, Trial, Verdict
from tests.model.strategies import json_values, runs


@given(runs)
def test_a_run_survives_the_way_through_json_text(run: Run) -> None:
    text = json.dumps(encode_run(run))

    assert decode_run(json.loads(text)) == run


@given(json_values)
def test_json_is_its_own_encoding(value: object) -> None:
    assert encode(value) == value


@pytest.mark.parametrize(
    "value",
    [
        Evidence("r", "quote", "outputs"),
        Edit("set_key", "a.yaml", {"path": ["a", 1], "value": None}),
        Patch((Edit("replace_text", "a", {}),), (FileChange("a", None, b"\xff"),), "c", "d", "e"),
        Hypothesis("H1", "F1", "t", "r", "prompt", (), 0.5, risks=("a",), facts={"k": [1]}),
        Label("fail", "right", ("contains:a",)),
        EntryPoint("callable", "a:b", {"q": 1}),
        TraceSummary("t", "n", RunStatus.OK, 3, 0, None, 5, "langchain"),
        Trial(
            "H1",
            Verdict.FIXED,
            "1 of 1",
            (
                Arm(
                    "patch",
                    "failing",
                    1,
                    1,
                    (0.2, 1.0),
                    (ReplayResult("t", "ok", steps=(StepFidelity("n", "llm", Fidelity.LIVE),)),),
                ),
            ),
            "full",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_model_class_survives_the_way_through_json_text(value: object) -> None:
    text = json.dumps(encode(value))

    assert decode(type(value), json.loads(text)) == value


def test_a_diagnosis_keeps_nested_findings_and_their_enums() -> None:
    finding = Finding(
        "F1",
        "loop",
        "It loops",
        "The same call again",
        Likelihood.LIKELY,
        0.8,
        "a",
        "b",
        (Evidence("a", "x"),),
        RootCause.ORCHESTRATION,
    )
    diagnosis = Diagnosis("t", "detectors", (finding,), ("no usage",))

    decoded = decode(Diagnosis, json.loads(json.dumps(encode(diagnosis))))

    assert decoded == diagnosis
    assert decoded.findings[0].likelihood is Likelihood.LIKELY


def test_absent_fields_are_left_out_of_an_encoded_run() -> None:
    run = Run("r", "t", kind=RunKind.LLM, usage=Usage(input=3), cost_usd=Decimal("0.10"))

    assert encode_run(run) == {
        "run_id": "r",
        "trace_id": "t",
        "kind": "llm",
        "usage": {
            "input": 3,
            "output": None,
            "total": None,
            "cache_read": None,
            "cache_write": None,
            "reasoning": None,
        },
        "cost_usd": "0.10",
    }


def test_unknown_keys_are_ignored_so_that_newer_programs_can_be_read() -> None:
    assert decode_run({"run_id": "r", "trace_id": "t", "invented": 1}) == Run("r", "t")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "run",
        {"run_id": "r"},
        {"run_id": 1, "trace_id": "t"},
        {"run_id": "r", "trace_id": "t", "kind": "dance"},
        {"run_id": "r", "trace_id": "t", "start_ns": "yesterday"},
        {"run_id": "r", "trace_id": "t", "start_ns": True},
        {"run_id": "r", "trace_id": "t", "tags": "one"},
        {"run_id": "r", "trace_id": "t", "metadata": []},
        {"run_id": "r", "trace_id": "t", "error": {"type": "E"}},
        {"run_id": "r", "trace_id": "t", "cost_usd": "much"},
        {"run_id": "r", "trace_id": "t", "cost_usd": {}},
    ],
)
def test_a_value_of_the_wrong_shape_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        decode_run(value)


@given(json_values)
def test_no_json_makes_the_decoder_fail_in_another_way(value: object) -> None:
    with suppress(ValueError):
        decode_run(value)


def test_values_json_has_no_form_for_become_marked_representations() -> None:
    @dataclass
    class Odd:
        """A dataclass of the user's own."""

        number: int

    encoded = encode({"a": object, "b": Odd(1), "c": b"\x00", "d": {1}, 5: float("nan")})

    assert encoded == {
        "a": {UNREPRESENTABLE: "<class 'object'>"},
        "b": {"number": 1},
        "c": {"__base64__": "AA=="},
        "d": [1],
        "5": "nan",
    }


def test_lone_surrogates_are_replaced_so_that_utf8_can_write_them() -> None:
    assert encode({"a\ud800": "b\udfff"}) == {"a?": "b?"}


def test_values_nested_too_deeply_are_cut() -> None:
    value: list[object] = []
    for _ in range(5_000):
        value = [value]

    text = json.dumps(encode(value), ensure_ascii=False)

    assert text.strip("[]") == '"…"'
