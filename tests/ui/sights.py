"""Traces worth looking at: one of everything the viewing pages recognise."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from refinery.model.trace import Evaluation, Run, RunError, RunKind, RunStatus, Usage
from refinery.ports import Store
from refinery.workflows.wiring import open_store
from tests.kits.traces import START_NS, run

MS = 1_000_000
SYSTEM = (
    "You are the support assistant of Lantern & Lamp. Answer from the policy documents only. "
    "Say so when they do not tell."
)
QUESTION = "I bought a reading lamp five weeks ago. Can I still return it?"
STACK = """Traceback (most recent call last):
  File "support/agent.py", line 88, in answer
    receipt = orders.find(order_id)
  File "support/orders.py", line 31, in find
    raise LookupError(f"no order {order_id!r} in the archive")
LookupError: no order 'A-1043' in the archive
"""


def store_at(root: Path) -> Store:
    """The store `refinery serve` opens when it is started in that folder."""
    (root / ".refinery").mkdir(parents=True, exist_ok=True)
    return open_store(str(root / ".refinery" / "traces.db"))


def fill(store: Store) -> None:
    """Write every sight."""
    for runs, project in (
        (support(), "support"),
        (support("support-2", days=45), "support"),
        (failed_lookup(), "support"),
        (filtering(), "catalogue"),
        (unknown_shape(), "catalogue"),
        (still_running(), "support"),
    ):
        store.write_runs(runs, source="sights", project=project)


def support(trace_id: str = "support-1", *, days: int = 30) -> list[Run]:
    """An agent that looks documents up, asks a model, calls a tool and answers."""
    answer = f"Lamps can be returned within {days} days of delivery, so this one no longer can."
    documents = [
        {
            "page_content": f"Lamps and lights: returns within {days} days of delivery, unused.",
            "metadata": {"source": "returns-2026.md", "updated": "2026-03-02", "score": 0.91},
        },
        {
            "page_content": "Until 2024, all goods could be returned within 60 days.",
            "metadata": {"source": "returns-2023.md", "updated": "2023-06-11", "score": 0.88},
        },
        {
            "page_content": "Gift cards cannot be returned.",
            "metadata": {"source": "gift-cards.md", "updated": "2025-11-20", "score": 0.42},
        },
    ]
    call = {"id": "call_1", "name": "order_of", "args": {"customer": "ada", "item": "lamp"}}
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    told = {"role": "tool", "tool_call_id": "call_1", "content": '{"order": "A-1043", "age": 35}'}
    said = {"role": "assistant", "content": answer}
    model: dict[str, Any] = {
        "provider": "openai",
        "model_requested": "example-large",
        "model_responded": "example-large-2026-05",
        "params": {"temperature": 0.2, "max_tokens": 400, "top_p": 1},
        "tools": [{"name": "order_of", "description": "The order of a customer."}],
        "cost_source": "reported",
    }
    return [
        run(
            trace_id,
            "agent",
            name="return question",
            took_ms=2310,
            inputs={"question": QUESTION},
            outputs={"answer": answer},
            user_id="ada",
            session_id="chat-7",
            tags=["production"],
        ),
        run(
            f"{trace_id}/find",
            "retriever",
            trace_id,
            name="policy search",
            at_ms=40,
            took_ms=180,
            inputs={"query": "return period lamp"},
            outputs={"documents": documents},
        ),
        run(
            f"{trace_id}/ask",
            "llm",
            trace_id,
            name="ask",
            at_ms=240,
            took_ms=870,
            inputs={"messages": asked},
            outputs={"choices": [{"message": called, "finish_reason": "tool_calls"}]},
            usage=Usage(input=812, output=41, total=853, cache_read=512),
            cost_usd=Decimal("0.00231"),
            first_token_ns=START_NS + 480 * MS,
            **model,
        ),
        run(
            f"{trace_id}/order",
            "tool",
            trace_id,
            name="order_of",
            at_ms=1130,
            took_ms=95,
            inputs={"customer": "ada", "item": "lamp"},
            outputs={"order": "A-1043", "age": 35},
        ),
        run(
            f"{trace_id}/answer",
            "llm",
            trace_id,
            name="answer",
            at_ms=1240,
            took_ms=1050,
            inputs={"messages": [*asked, called, told]},
            outputs={"choices": [{"message": said, "finish_reason": "stop"}]},
            usage=Usage(input=901, output=66, total=967, reasoning=24),
            cost_usd=Decimal("0.00294"),
            reasoning="35 days is more than 30, and the newer document is the valid one.",
            first_token_ns=START_NS + 1490 * MS,
            **model,
        ),
    ]


def failed_lookup() -> list[Run]:
    """A trace whose tool fails and takes the agent with it."""
    error = RunError("LookupError", "no order 'A-1043' in the archive", STACK)
    runs = [
        run("lookup", "agent", name="order question", took_ms=640, user_id="ben"),
        run("lookup/plan", "chain", "lookup", name="plan", at_ms=5, took_ms=600),
        run(
            "lookup/find",
            "tool",
            "lookup/plan",
            name="find_order",
            at_ms=120,
            took_ms=410,
            inputs={"order_id": "A-1043"},
        ),
    ]
    return [replace(one, status=RunStatus.ERROR, error=error) for one in runs]


def filtering(count: int = 50) -> list[Run]:
    """A step that judged many items, each by several filters."""
    judged = [_judged(number) for number in range(count)]
    kept = sum(one.qualified is True for one in judged)
    return [
        run("xray", "chain", name="competitor selection", took_ms=320, outputs={"kept": kept}),
        run(
            "xray/keywords",
            "step",
            "xray",
            name="generate keywords",
            took_ms=120,
            outputs={"keywords": ["bottle", "flask"]},
        ),
        run(
            "xray/filter",
            "step",
            "xray",
            name="filter and rank",
            at_ms=130,
            took_ms=180,
            inputs={"candidates": count},
            outputs={"kept": kept},
            evaluations=judged,
            reasoning=f"{kept} of {count} qualify; the best rated one wins.",
        ),
    ]


def _judged(number: int) -> Evaluation:
    price, rating = 10.0 + number, 3.0 + (number * 7 % 20) / 10
    filters = {
        "price": {"passed": price <= 40, "detail": f"{price:.2f} of at most 40.00"},
        "rating": {"passed": rating >= 3.8, "detail": f"{rating} of at least 3.8"},
    }
    failed = [name for name, one in filters.items() if not one["passed"]]
    item = {"id": f"P{number:02}", "title": f"Bottle {number}", "price": price, "rating": rating}
    why = f"fails {' and '.join(failed)}" if failed else "comparable"
    return Evaluation(f"P{number:02}", item, filters, not failed, why)


def unknown_shape() -> list[Run]:
    """A step whose values are of no shape the pages know."""
    value = {"matrix": [[1, 2.5], [None, True]], "note": {"deep": {"er": ["x"] * 150}}}
    return [
        run("shape", "chain", name="nightly import", outputs=value),
        run("shape/one", "step", "shape", name="transform", inputs=[1, "two"], outputs=value),
    ]


def still_running() -> list[Run]:
    """A trace whose root and last step have not ended."""
    root = run("running", "agent", name="long research", user_id="ada")
    last = run("running/2", "llm", "running", name="summarise", at_ms=900)
    open_ = {"end_ns": None, "status": RunStatus.RUNNING}
    return [
        replace(root, **open_),
        run("running/1", "tool", "running", name="fetch pages", at_ms=10, took_ms=850),
        replace(last, **open_),
    ]


def many_runs(count: int = 5000, trace_id: str = "many") -> list[Run]:
    """A trace of that many runs, four levels deep, with an error every 500 runs."""
    runs = [run(trace_id, "agent", name="crawl", took_ms=count * 3)]
    runs += [_one_of_many(trace_id, number, runs) for number in range(1, count)]
    return runs


def _one_of_many(trace_id: str, number: int, before: Sequence[Run]) -> Run:
    batch = (number - 1) // 100 * 100 + 1
    group = batch + (number - batch - 1) // 10 * 10 + 1
    if number == batch:
        return run(f"{trace_id}/{number}", "chain", trace_id, name=f"batch {number // 100 + 1}",
                   at_ms=number * 3, took_ms=290)  # fmt: skip
    parent = batch if number == group else group
    kind = RunKind.CHAIN if number == group else (RunKind.LLM, RunKind.TOOL)[number % 2]
    failed = "page not found" if number % 500 == 499 else None
    return run(
        f"{trace_id}/{number}",
        kind.value,
        f"{trace_id}/{parent}",
        name=f"{'group' if number == group else kind.value} {number}",
        at_ms=number * 3,
        took_ms=27 if number == group else 2,
        failed=failed,
    )
