"""Hypothesis strategies for JSON values and runs, hostile corners included."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from refinery.model.trace import (
    CodeReference,
    Evaluation,
    Run,
    RunError,
    RunKind,
    RunStatus,
    Usage,
)

text = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
counts = st.none() | st.integers(0, 10**9)
times = st.none() | st.integers(0, 2**63 - 1)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
objects = st.none() | st.dictionaries(text, json_values, max_size=3)

runs = st.builds(
    Run,
    run_id=st.just("r"),
    trace_id=st.just("t"),
    name=st.none() | text,
    kind=st.none() | st.sampled_from(RunKind),
    parent_id=st.none() | text,
    start_ns=times,
    end_ns=times,
    status=st.none() | st.sampled_from(RunStatus),
    error=st.none() | st.builds(RunError, text, text, text),
    inputs=json_values,
    outputs=json_values,
    params=objects,
    tools=st.none() | st.lists(json_values, max_size=2),
    usage=st.none() | st.builds(Usage, counts, counts, counts, counts, counts, counts),
    cost_usd=st.none() | st.decimals(0, 100, places=6).map(Decimal),
    evaluations=st.none() | st.lists(st.builds(Evaluation, text, json_values), max_size=2),
    tags=st.none() | st.lists(text, max_size=2),
    metadata=objects,
    code=st.none() | st.builds(CodeReference, text, text, text, st.integers(1, 999)),
    metrics=st.none() | st.dictionaries(text, st.floats(0, 1e9), max_size=2),
)
