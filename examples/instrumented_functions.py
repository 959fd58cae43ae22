"""A tree of instrumented functions: a tool that is tried again, threads, tasks and a generator.

python examples/instrumented_functions.py
refinery traces
refinery show latest
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from refinery import instrument, track
from refinery.recorders.instrument import carry

PRICES = {"tea": 4.5, "mug": 9.0, "kettle": 39.0}


@instrument(layer="tool")
def price_of(item: str) -> float:
    return PRICES[item]


@instrument(layer="tool")
async def stock_of(item: str) -> int:
    await asyncio.sleep(0.002)
    return len(item)


@instrument
def lines(order: list[str]) -> Iterator[str]:
    for item in order:
        yield f"{item}: {price_of(item):.2f}"


@instrument(layer="step", name="check stock")
async def check(order: list[str]) -> dict[str, int]:
    counts = await asyncio.gather(*(stock_of(item) for item in order))
    return dict(zip(order, counts, strict=True))


@instrument(layer="workflow", tags=("example",))
def quote(order: list[str]) -> str:
    stock = asyncio.run(check(order))
    with track("total", layer="step", items=order) as run, ThreadPoolExecutor(2) as pool:
        total = sum(pool.map(carry(price_of), order))
        run.set_output(total)
    missing = [item for item, count in stock.items() if count == 0]
    return "\n".join([*lines(order), f"total: {total:.2f}", *missing])


if __name__ == "__main__":
    print(quote(["tea", "mug"]))
    try:
        quote(["tea", "unicorn"])
    except KeyError as error:
        print("no such item:", error)
