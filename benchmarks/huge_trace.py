"""Diagnoses a synthetic trace of millions of tokens: memory, time, budget, and what was read.

    python -m benchmarks.huge_trace [--tokens 7500000] [--memory-mb 2048] [--budget 0.50]

The trace is written as our own JSONL, imported and diagnosed by the command line in child
processes, each under an address-space limit. First without a model, then with a scripted model on
loopback that calls a reading tool and reports one finding. Tokens are counted at four bytes each.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refinery.model.codec import encode_run
from refinery.model.messages import ToolCall
from refinery.model.trace import Run, RunError, RunKind, RunStatus, Usage
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer

TOKENS_PER_RUN = 3_000
BYTES_PER_TOKEN = 4
START_NS = 1_760_000_000_000_000_000
CAUSE = "the price list of 2019 says 40 EUR"
REFUSED = "price service refused"
ROOT = "R1"
"""The root, as the analyst is told of it."""


def runs(tokens: int) -> Iterator[Run]:
    """A root, then model and tool calls in turn; the last tool call fails."""
    chance = random.Random(1)
    words = [
        "".join(chance.choices("abcdefghijklmnop", k=chance.randint(3, 9))) for _ in range(999)
    ]
    count = tokens // TOKENS_PER_RUN
    yield Run("run-0", "run-0", kind=RunKind.AGENT, name="agent", status=RunStatus.ERROR,
              start_ns=START_NS, end_ns=START_NS + count * 10**9, inputs={"question": "price?"},
              error=RunError("ToolError", REFUSED))  # fmt: skip
    for number in range(1, count):
        text = " ".join(chance.choices(words, k=TOKENS_PER_RUN * BYTES_PER_TOKEN // 7))
        begun = START_NS + number * 10**9
        fields: dict[str, Any] = {
            "parent_id": "run-0",
            "start_ns": begun,
            "end_ns": begun + 5 * 10**8,
            "status": RunStatus.OK,
        }
        if number == count - 1:
            fields |= {
                "status": RunStatus.ERROR,
                "error": RunError("ToolError", REFUSED),
            }
        is_model = number % 2 == 1
        said = {"role": "assistant", "content": f"{text} {CAUSE if number == 1 else ''}"}
        yield Run(
            f"run-{number}",
            "run-0",
            kind=RunKind.LLM if is_model else RunKind.TOOL,
            name="model" if is_model else f"tool-{number % 7}",
            inputs={"messages": [{"role": "user", "content": text[:200]}]},
            outputs={"choices": [{"message": said}]} if is_model else {"text": text},
            **fields,
        )


def write(path: Path, tokens: int) -> int:
    """Write the trace; returns the bytes written."""
    with path.open("w", encoding="utf-8") as file:
        for run in runs(tokens):
            file.write(json.dumps({"run": encode_run(run), "source": "synthetic"}) + "\n")
    return path.stat().st_size


def answer(request: ModelRequest) -> ModelReply:
    """Read the run that failed, then report a finding that quotes it."""
    text = "\n".join(message.text for message in request.messages)
    usage = Usage(len(text) // BYTES_PER_TOKEN, 200, len(text) // BYTES_PER_TOKEN + 200)
    has_read = any(message.role == "tool" for message in request.messages)
    if request.tools and not has_read:
        reading = ToolCall("read_run", {"run": ROOT}, "call-1")
        return ModelReply("", tool_calls=(reading,), usage=usage)
    if request.tools:
        return ModelReply("Enough is read.", usage=usage)
    finding = {
        "category": "exception",
        "title": "The price service refused",
        "explanation": "The last tool call failed.",
        "likelihood": "likely",
        "confidence": 0.8,
        "level": "system",
        "root_cause": "environment",
        "cause_run": ROOT,
        "symptom_run": ROOT,
        "quotes": [{"run": ROOT, "quote": REFUSED}],
    }
    return ModelReply(json.dumps({"findings": [finding], "unanswerable": []}), usage=usage)


def call(arguments: list[str], environment: dict[str, str], memory_mb: int) -> dict[str, Any]:
    """Run the command line under a limit of address space; returns how it went."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))

    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "refinery", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # no threads here
    )
    out, err = child.communicate()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "code": child.returncode,
        "seconds": round(time.monotonic() - started, 1),
        "peak_mb": round(peak),
        "out": out,
        "err": err[-600:],
    }


def main() -> None:
    """Print how each command went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=7_500_000)
    parser.add_argument("--memory-mb", type=int, default=2048)
    parser.add_argument("--budget", type=float, default=0.50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ModelServer(answer) as server:
        path = Path(folder) / "trace.jsonl"
        size = write(path, options.tokens)
        print(f"{options.tokens} tokens, {size >> 20} MB; limit {options.memory_mb} MB")
        environment = {
            "REFINERY_HOME": f"{folder}/home",
            "REFINERY_MODEL_BASE_URL": f"{server.url}/v1",
            "REFINERY_MODEL_API_KEY": "key-of-a-benchmark",
            "REFINERY_BUDGET_USD": str(options.budget),
        }
        commands = {
            "import": ["import", str(path), "--json"],
            "diagnose, detectors": ["diagnose", "run-0", "--json"],
            "diagnose, model": ["diagnose", "run-0", "--json", "--model", "openai:gpt-4.1-mini"],
            "show": ["show", "run-0"],
        }
        for name, arguments in commands.items():
            went = call(arguments, environment, options.memory_mb)
            print(
                f"{name:<22} exit {went['code']}  {went['seconds']} s  peak {went['peak_mb']} MB"
            )
            if went["code"] not in (0, 1):
                print(went["out"][:300], went["err"])
            elif name.startswith("diagnose"):
                _told(json.loads(went["out"]))


def _told(document: dict[str, Any]) -> None:
    diagnosis = document.get("diagnosis", document)
    readings = diagnosis.get("readings") or []
    extents: dict[str, float] = {}
    for reading in readings:
        extents[reading["extent"]] = extents.get(reading["extent"], 0.0) + reading["share"]
    shares = {extent: f"{share:.2%}" for extent, share in extents.items()}
    print(
        f"  engine {diagnosis['engine']}, {len(diagnosis['findings'])} findings, cost "
        f"{diagnosis.get('cost_usd')} USD, read {shares}, shares sum to "
        f"{sum(extents.values()):.6f}"
    )


if __name__ == "__main__":
    main()
