# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201, D101
"""Functions of all layers recorded by `@instrument` and `track`, with chance, time and ids."""

import random
import time
import uuid
from dataclasses import dataclass
from datetime import datetime

import openai

from refinery import instrument, track


@dataclass
class Order:
    number: str
    lines: int
    placed: float


@instrument(layer="tool", name="orders.find")
def find(customer: str) -> Order:
    """A service outside of the agent."""
    return Order(str(uuid.uuid4()), random.randint(1, 9), time.time())


@instrument(layer="tool")
def fails(customer: str) -> str:
    """A service that is down."""
    raise TimeoutError(f"no answer for {customer}")


@instrument(layer="tool")
def pages(customer: str):
    """A service that answers in pieces."""
    for _ in range(3):
        yield {"page": random.random()}


@instrument(layer="step")
def rank(items: list) -> list:
    """Shuffle, then take two."""
    random.shuffle(items)
    return items[:2]


@instrument(layer="workflow")
def answer(request):
    """Ask the services, rank, ask the model."""
    order = find(request["question"])
    try:
        fails("Ada")
    except OSError as error:
        trouble = str(error)
    read = [page["page"] for page in pages("Ada")]
    chosen = rank(["a", "b", "c", "d"])
    with track("compose", layer="step", chosen=chosen) as block:
        text = (
            f"{order.number} {order.lines} {trouble} {chosen} {read} {random.random():.6f} "
            f"{datetime.now():%d.%m.%Y %H:%M:%S} {uuid.uuid4().hex}"
        )
        block.set_output(len(text))
    reply = openai.OpenAI(max_retries=8).chat.completions.create(
        model="small-1", messages=[{"role": "user", "content": text}], temperature=1.2
    )
    return {"said": reply.choices[0].message.content, "order": order.number, "chosen": chosen}
