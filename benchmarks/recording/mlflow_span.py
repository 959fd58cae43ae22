"""MLflow's tracing, into a SQLite store of its own; MLflow exports each trace as it ends."""

import os
import sys

import mlflow

from benchmarks.recording import workload
from benchmarks.recording.workload import Payload, burst, report

workload.RUNS, workload.WARM_UP, workload.BURST = 400, 50, 1_000
"""At several milliseconds a run the whole number would take minutes."""


def main() -> None:
    """Measure, or with `burst` record as many runs as possible at once."""
    mlflow.set_tracking_uri(f"sqlite:///{os.environ['FOLDER']}/mlflow.db")

    def call(inputs: Payload, outputs: Payload) -> None:
        with mlflow.start_span(name="call", span_type="LLM") as span:
            span.set_inputs(inputs)
            span.set_outputs(outputs)

    if "burst" in sys.argv:
        burst(call)
    else:
        report(call, lambda: None)


if __name__ == "__main__":
    main()
