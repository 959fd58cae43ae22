"""A traced program that knows nothing of Refinery: LangSmith's Python SDK and LangGraph.

Everything is configured by environment variables. Prints as JSON what its libraries logged or
warned of.
"""

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

heard: list[str] = []


class Ear(logging.Handler):
    """Keeps what libraries log from `WARNING` upwards."""

    def emit(self, record: logging.LogRecord) -> None:
        heard.append(f"{record.name}: {record.getMessage()}"[:300])


def main() -> None:
    """Run the program."""
    logging.getLogger().addHandler(Ear(logging.WARNING))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        run()
    heard.extend(f"{w.category.__name__}: {w.message}"[:300] for w in warned)
    json.dump(heard, sys.stdout)


def run() -> None:
    """Record a pipeline, a stream, an error, an attachment and a graph."""
    import openai
    from langsmith import Client, get_current_run_tree, traceable
    from langsmith.run_trees import get_cached_client
    from langsmith.schemas import Attachment
    from langsmith.wrappers import wrap_openai

    model = wrap_openai(openai.OpenAI(max_retries=0))
    client = Client()

    @traceable(run_type="tool")
    def search(query: str) -> list[str]:
        return [query]

    @traceable(run_type="retriever")
    def documents(query: str) -> list[dict[str, Any]]:
        return [{"page_content": "x", "type": "Document", "metadata": {"source": 1}}]

    @traceable(run_type="tool")
    def breaks() -> None:
        raise KeyError("missing-key")

    @traceable(tags=["beta"], metadata={"thread_id": "th-7", "env": "prod"})
    def pipeline(question: str) -> str:
        search(question)
        documents(question)
        with suppress(KeyError):
            breaks()
        ask = [{"role": "user", "content": question}]
        reply = model.chat.completions.create(model="m", messages=ask, temperature=0.1)
        stream = model.chat.completions.create(
            model="m", messages=ask, stream=True, stream_options={"include_usage": True}
        )
        "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        with suppress(openai.RateLimitError):
            model.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "FAIL"}]
            )
        tree = get_current_run_tree()
        assert tree is not None
        client.create_feedback(
            tree.id, "correctness", score=1.0, comment="good", trace_id=tree.trace_id
        )
        return str(reply.choices[0].message.content)

    @traceable
    def numbers() -> Iterator[int]:
        yield from range(3)

    @traceable
    def with_picture(size: int, picture: Attachment) -> int:
        return size

    pipeline("Wetter für Łódź?")
    list(numbers())
    with_picture(3, Attachment(mime_type="image/png", data=b"\x89PNG\r\n\x1a\n--x\r\n\x00\xff"))
    graph()
    client.flush()
    get_cached_client().flush()


def graph() -> None:
    """An agent of LangGraph that calls a tool."""
    from langchain.agents import create_agent
    from langchain.chat_models import init_chat_model

    def weather(city: str) -> str:
        """Weather of a city."""
        return f"sunny in {city}"

    agent = create_agent(init_chat_model("openai:m"), tools=[weather], name="weather-agent")
    asked = {"messages": [{"role": "user", "content": "Weather in Paris?"}]}
    agent.invoke(asked, {"configurable": {"thread_id": "th-8"}})


if __name__ == "__main__":
    main()
