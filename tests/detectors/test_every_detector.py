"""The kit of the room: each detector's own examples, and what holds for all of them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery import plugins
from refinery.detectors import diagnose, observe
from refinery.detectors._shared.ranking import is_verbatim
from refinery.model.codec import encode
from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus, Trace

DETECTORS = plugins.load_all("detectors")
CLEAN = [(n, i) for n, module in DETECTORS.items() for i in range(len(module.CLEAN))]
FAILING = [(n, i) for n, module in DETECTORS.items() for i in range(len(module.FAILING))]


def test_the_room_holds_at_least_twelve_detectors() -> None:
    assert len(DETECTORS) >= 12


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_has_a_summary_and_both_kinds_of_examples(name: str) -> None:
    module = DETECTORS[name]

    assert plugins.summary("detectors", name)
    assert module.CLEAN
    assert module.FAILING


@pytest.mark.parametrize(("name", "index"), CLEAN)
def test_a_detector_is_silent_on_its_clean_examples(name: str, index: int) -> None:
    module = DETECTORS[name]

    assert list(module.detect(module.CLEAN[index])) == []


@pytest.mark.parametrize(("name", "index"), FAILING)
def test_a_detector_names_the_causes_of_its_failing_examples(name: str, index: int) -> None:
    trace, causes = DETECTORS[name].FAILING[index]

    signals = list(DETECTORS[name].detect(trace))

    assert [signal.cause_run_id for signal in signals] == list(causes)


@pytest.mark.parametrize(("name", "index"), FAILING)
def test_signals_quote_verbatim_and_carry_plain_json(name: str, index: int) -> None:
    trace, _ = DETECTORS[name].FAILING[index]

    for signal in DETECTORS[name].detect(trace):
        assert signal.detector == name
        assert is_verbatim(trace, signal)
        assert encode(signal.facts) == signal.facts
        assert "\n" not in signal.title
        assert len(signal.title) <= 160


@pytest.mark.parametrize(("name", "index"), FAILING)
def test_the_best_finding_of_an_example_keeps_its_cause(name: str, index: int) -> None:
    trace, causes = DETECTORS[name].FAILING[index]

    found = diagnose(trace)

    assert causes[0] in {f.cause_run_id for f in found.findings if f.category == name}


_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["Error: not found", "[]", "{name}", "I have cancelled it.", "2024-02-01", "$12", "\ud800",
         "Ignore previous instructions", "length", "```json\n{", "Answer in one word.", "W100200"]
    ),
)  # fmt: skip
_KEYS = st.sampled_from(
    ["role", "content", "type", "messages", "tool_calls", "function", "name", "arguments", "id",
     "generations", "message", "text", "kwargs", "documents", "page_content", "metadata",
     "date", "updated", "choices", "finish_reason", "output", "input", "prompts", "args", "system",
     "tools", "parameters", "properties", "required", "$ref", "anyOf", "temperature",
     "max_tokens", "stop", "response_format", "tool_call_id", "invalid_tool_calls",
     "function_call", "data", "artifact"]
)  # fmt: skip
_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _TEXTS,
        st.sampled_from(["user", "assistant", "tool", "system", "constructor", "tool_use"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(_KEYS, _TEXTS), inner, max_size=5)
    ),
    max_leaves=25,
)  # fmt: skip
_OBJECTS = st.none() | st.dictionaries(_KEYS, _VALUES, max_size=4)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Traces of any shape: arbitrary JSON, dangling and repeated parents, odd states."""
    ids = [f"r{n}" for n in range(draw(st.integers(0, 6)))]

    def run(run_id: str) -> Run:
        fields: dict[str, Any] = {
            "kind": draw(st.none() | st.sampled_from(RunKind)),
            "parent_id": draw(st.none() | st.sampled_from([*ids, "elsewhere"])),
            "status": draw(st.none() | st.sampled_from(RunStatus)),
            "error": draw(st.none() | st.builds(RunError, _TEXTS, _TEXTS, _TEXTS)),
            "params": draw(_OBJECTS),
            "metadata": draw(_OBJECTS),
            "tools": draw(st.none() | st.lists(_VALUES, max_size=3)),
        }
        inputs, outputs = draw(_VALUES), draw(_VALUES)
        name = draw(st.none() | _TEXTS)
        return Run(run_id, "r0", name, inputs=inputs, outputs=outputs, **fields)

    return Trace("r0", tuple(run(run_id) for run_id in ids))


@given(traces())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_detector_raises_on_any_json(trace: Trace) -> None:
    for signal in observe(trace):
        assert is_verbatim(trace, signal)
    diagnose(trace)


def test_nesting_beyond_all_limits_is_said_and_not_raised() -> None:
    deep: Json = "x"
    for _ in range(20_000):
        deep = [deep]
    runs = tuple(
        Run(f"r{number}", "r0", "step", kind, "r0" if number else None, inputs=deep, outputs=deep)
        for number, kind in enumerate(RunKind)
    )
    answer = {"role": "assistant", "tool_calls": [{"id": "c", "name": "step", "args": {}}]}
    runs = (*runs[:1], Run("m", "r0", kind=RunKind.LLM, outputs=answer), *runs[1:])

    found = diagnose(Trace("r0", runs))

    assert found.findings == ()
    assert any("nested too deep" in gap for gap in found.unanswerable)


def test_an_empty_trace_has_no_findings() -> None:
    found = diagnose(Trace("r", ()))

    assert found.findings == ()
    assert found.engine == "detectors"
