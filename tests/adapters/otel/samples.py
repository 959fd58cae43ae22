"""Bodies real producers sent to a loopback address; see `tests/peers/otel_producers`."""

import gzip
from pathlib import Path

from refinery.adapters import otlp
from refinery.model.merge import merge
from refinery.model.trace import Run, Usage

FOLDER = Path(__file__).parents[2] / "samples" / "otlp"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"

PRODUCERS = {
    "genai_experimental": ["genai_experimental.pb"],
    "genai_experimental_events": [
        "genai_experimental_events.pb",
        "genai_experimental_events_logs.pb",
    ],
    "genai_default": ["genai_default.pb", "genai_default_logs.pb"],
    "langfuse": ["langfuse.pb"],
    "langsmith_otel": ["langsmith_otel.pb.gz"],
    "openinference_agents": ["openinference_agents.pb.gz"],
    "openinference_langchain": ["openinference_langchain.pb.gz"],
    "openinference_openai": ["openinference_openai.pb.gz"],
    "openllmetry": ["openllmetry.pb.gz"],
    "pydantic_ai": ["pydantic_ai.pb.gz"],
    "vercel": ["vercel.json.gz"],
}


def body(name: str) -> bytes:
    """A request as it was sent."""
    packed = (FOLDER / name).read_bytes()
    return gzip.decompress(packed) if name.endswith(".gz") else packed


def runs_of(producer: str) -> list[Run]:
    """Runs of everything a producer sent."""
    found: dict[str, Run] = {}
    for name in PRODUCERS[producer]:
        kind = JSON if ".json" in name else PROTOBUF
        decode = otlp.decode_logs if "_logs." in name else otlp.decode_traces
        for batch in decode(body(name), kind):
            for run in batch.runs:
                known = found.get(run.run_id)
                found[run.run_id] = merge(known, run) if known else run
    return list(found.values())


def named(runs: list[Run], name: str) -> Run:
    """The first run of that name."""
    return next(run for run in runs if run.name == name)


def tokens(runs: list[Run]) -> int:
    """Tokens of the leaves, as a store sums them."""
    parents = {run.parent_id for run in runs}
    leaves = [run.usage or Usage() for run in runs if run.run_id not in parents]
    return sum(
        u.total if u.total is not None else (u.input or 0) + (u.output or 0) for u in leaves
    )
