"""The real `refinery serve` in a process of its own, for clients of all languages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refinery.model.messages import ToolCall
from refinery.model.trace import Usage
from refinery.replay.exchange import ModelReply, ModelRequest
from tests.fakes.model_server import StatusError

ANSWER_USAGE = Usage(input=20, output=5, total=25, cache_read=4, reasoning=1)


@contextmanager
def collector(folder: Path) -> Iterator[str]:
    """Serve a fresh store below the folder; yields the address."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "refinery", "serve", "--port", "0", "--json"]
    errors = (folder / "serve.log").open("w")
    process = subprocess.Popen(
        [*command, "--store", str(folder / "traces.db")],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "serve.log").read_text()
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.wait(30)
        errors.close()


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without anything that configures a tracer, plus variables."""
    prefixes = ("LANGSMITH_", "LANGCHAIN_", "OPENAI_", "OTEL_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    return kept | variables


def answer(request: ModelRequest) -> ModelReply | StatusError:
    """A model that calls the first tool once, then answers; fails when it reads FAIL."""
    asked = json.dumps(request.body)
    if "FAIL" in asked:
        return StatusError(429, "Rate limit reached")
    if request.tools and not any(message.role == "tool" for message in request.messages):
        call = ToolCall(_name(request.tools[0]), {"city": "Paris"}, "call_1")
        return ModelReply(tool_calls=(call,), usage=Usage(input=10, output=3, total=13))
    return ModelReply("It is sunny.", usage=ANSWER_USAGE)


def _name(tool: Any) -> str:
    return str((tool.get("function") or tool)["name"])
