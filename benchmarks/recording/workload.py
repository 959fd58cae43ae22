"""The work every recorder is given: one run of about 2 KB, and the clock around it."""

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

RUNS = 5_000
WARM_UP = 300
BURST = 20_000
PAUSE_S = 0.0005
"""Pause between runs of the paced load."""

Payload = dict[str, Any]
Call = Callable[[Payload, Payload], None]
"""Records one run with its inputs and outputs."""


def payload(number: int) -> tuple[Payload, Payload]:
    """Inputs and outputs of a run, about 2 KB as JSON; no two are alike."""
    words = (f"w{number * 7919 % 9973}", f"{number * 104729 % 99991}", f"item-{number}")
    question = " ".join(f"{words[n % 3]} {n * number % 997}" for n in range(70))
    answer = " ".join(f"{n * 31 + number % 89} {words[(n + 1) % 3]}" for n in range(70))
    inputs = {
        "model": "model-1",
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": "You answer questions about opening hours."},
            {"role": "user", "content": question},
        ],
    }
    return inputs, {"content": answer, "usage": {"input": 320, "output": 180}}


def cpu_s() -> float:
    """Processor time of this process so far, children included, in seconds."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def measure(call: Call, settle: Callable[[], None], pause_s: float) -> dict[str, float]:
    """Time each call; `settle` returns when everything has been delivered.

    Returns:
        Microseconds a run: `p50` and `p99` on the caller's path, `cpu` in all.
    """
    payloads = [payload(number) for number in range(RUNS + WARM_UP)]
    for inputs, outputs in payloads[:WARM_UP]:
        call(inputs, outputs)
    settle()
    gc.collect()
    before, times = cpu_s(), []
    for inputs, outputs in payloads[WARM_UP:]:
        began = time.perf_counter_ns()
        call(inputs, outputs)
        times.append(time.perf_counter_ns() - began)
        if pause_s:
            time.sleep(pause_s)
    settle()
    spent = cpu_s() - before
    times.sort()
    return {
        "p50": times[len(times) // 2] / 1e3,
        "p99": times[len(times) * 99 // 100] / 1e3,
        "cpu": spent / RUNS * 1e6,
    }


def report(call: Call, settle: Callable[[], None]) -> None:
    """Measure both loads against an idle recorder's own loop, and print one JSON line."""
    idle = measure(lambda inputs, outputs: None, lambda: None, PAUSE_S)
    paced = measure(call, settle, PAUSE_S)
    paced["cpu"] -= idle["cpu"]
    tight = measure(call, settle, 0.0)
    sys.stdout.write(json.dumps({"paced": paced, "tight": tight}) + "\n")


def burst(call: Call) -> None:
    """Record `BURST` runs as fast as possible."""
    for number in range(BURST):
        call(*payload(number))
