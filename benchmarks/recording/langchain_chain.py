"""What a recorder adds to a LangChain chain of prompt, model and parser (four runs)."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = 300
ROUNDS = 5
STUB = os.environ.get("STUB", "")
Config = dict[str, Any]


def _refinery() -> Config:
    from refinery.recorders._book import Book
    from refinery.recorders.langchain import RefineryCallbackHandler
    from refinery.recorders.sink import shared_sink

    book = Book(shared_sink(Path(os.environ["REFINERY_SPOOL"])), project="bench")
    book.origin.get()
    return {"callbacks": [RefineryCallbackHandler(book=book)]}


def _langsmith() -> Config:
    from langchain_core.tracers.langchain import LangChainTracer
    from langsmith import Client

    client = Client(api_url=f"http://{STUB}", api_key="none")
    return {"callbacks": [LangChainTracer(client=client)]}


def _langfuse() -> Config:
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    Langfuse(public_key="pk-lf-none", secret_key="sk-lf-none", host=f"http://{STUB}")
    return {"callbacks": [CallbackHandler(public_key="pk-lf-none")]}


def _openinference() -> Config:
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from benchmarks.recording.otlp import JsonExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(JsonExporter(STUB)))
    LangChainInstrumentor().instrument(tracer_provider=provider)
    return {}


def _empty() -> Config:
    from langchain_core.callbacks.base import BaseCallbackHandler

    return {"callbacks": [BaseCallbackHandler()]}


RECORDERS: dict[str, Callable[[], Config]] = {
    "refinery": _refinery,
    "langsmith": _langsmith,
    "langfuse": _langfuse,
    "openinference": _openinference,
    "empty handler": _empty,
}


def _p50(chain: Any, config: Config) -> float:
    times = []
    for number in range(CALLS):
        asked = {"q": f"question {number} " * 20}
        began = time.perf_counter_ns()
        chain.invoke(asked, config)
        times.append(time.perf_counter_ns() - began)
    times.sort()
    return times[len(times) // 2] / 1e3


def main() -> None:
    """Print the chain's own p50 and what the named recorder adds, in microseconds."""
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate.from_messages([("system", "Answer briefly."), ("user", "{q}")])
    model = FakeListChatModel(responses=["We are open from ten to six. " * 10])
    chain = prompt | model | StrOutputParser()
    _p50(chain, {})
    plain = min(_p50(chain, {}) for _ in range(ROUNDS))
    config = RECORDERS[sys.argv[1]]()
    _p50(chain, config)
    recorded = min(_p50(chain, config) for _ in range(ROUNDS))
    sys.stdout.write(json.dumps({"plain": plain, "added": recorded - plain}) + "\n")


if __name__ == "__main__":
    main()
