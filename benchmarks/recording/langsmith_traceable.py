"""LangSmith's `@traceable`, sending to the stub."""

import os
import sys

os.environ |= {
    "LANGSMITH_TRACING": "true",
    "LANGSMITH_ENDPOINT": f"http://{os.environ['STUB']}",
    "LANGSMITH_API_KEY": "none",
}

from langsmith import Client, traceable

from benchmarks.recording.workload import Payload, burst, report


def main() -> None:
    """Measure, or with `burst` record as many runs as possible at once."""
    client = Client()

    @traceable(client=client, run_type="llm", name="call")
    def work(inputs: Payload, outputs: Payload) -> Payload:
        return outputs

    def call(inputs: Payload, outputs: Payload) -> None:
        work(inputs, outputs)

    if "burst" in sys.argv:
        burst(call)
    else:
        report(call, client.flush)
    client.flush()


if __name__ == "__main__":
    main()
