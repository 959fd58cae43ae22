"""Whatever the description allows, and what it does not: no answer is a failure of the server."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.kits.traces import sample
from tests.server.api import Api, api

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
"""Requests of each mode per operation; `FUZZ_EXAMPLES` asks for more."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("api")) as running:
        for number in range(20):
            failed = "boom" if number % 3 == 0 else None
            trace = sample(f"t{number}", failed=failed, at_ms=number)
            running.store.write_runs(trace.runs, source="test", project="p")
        yield running


KNOWN = {"trace_id": "t3", "run_id": "t3/1", "name": "inputs"}
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def asked_of(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> int:
    """Send an operation what fits its description, or what does not; returns how often."""
    times = 0

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        nonlocal times
        times += 1
        if times % 2:  # every other request is about something that is there
            known = {name: KNOWN[name] for name in case.path_parameters if name in KNOWN}
            case.path_parameters.update(known)
        case.call_and_validate(headers=headers, checks=CHECKS)

    with suppress(Unsatisfiable):  # what takes no parameters cannot be asked wrongly
        ask()
    return times


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_makes_the_server_fail(asked: Api, mode: GenerationMode) -> None:
    headers = {"authorization": f"Bearer {asked.token}"}
    address = f"{asked.served.url}/refinery/v1/openapi.json"
    schema = schemathesis.openapi.from_url(address, headers=headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    # What deletes comes last, so that the others find something.
    operations.sort(key=lambda operation: operation.method.lower() == "delete")

    times, failures = 0, []
    for operation in operations:
        try:
            times += asked_of(operation, mode, headers)
        except (Failure, FailureGroup) as error:
            failures.append(f"{operation.label}: {error}")

    assert not failures, "\n\n".join(failures)
    assert len(operations) >= 25
    assert times >= EXAMPLES * 15
