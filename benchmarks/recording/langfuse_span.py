"""Langfuse's SDK, sending to the stub."""

import os
import sys

from langfuse import Langfuse

from benchmarks.recording.workload import Payload, burst, report


def main() -> None:
    """Measure, or with `burst` record as many runs as possible at once."""
    host = f"http://{os.environ['STUB']}"
    client = Langfuse(public_key="pk-lf-none", secret_key="sk-lf-none", host=host)  # not a secret

    def call(inputs: Payload, outputs: Payload) -> None:
        with client.start_as_current_observation(name="call", as_type="generation") as span:
            span.update(input=inputs, output=outputs)

    if "burst" in sys.argv:
        burst(call)
        client.shutdown()
    else:
        report(call, client.flush)


if __name__ == "__main__":
    main()
