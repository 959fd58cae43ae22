"""`@instrument` and `track` on every sort of function, and what they must not change."""

import asyncio
import contextvars
import functools
import hashlib
import inspect
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from refinery import instrument, track
from refinery.model.trace import RunKind, RunStatus
from refinery.recorders import _context
from refinery.recorders._book import Book
from refinery.recorders._hand import Call
from refinery.recorders._origin import OriginReader
from refinery.recorders._snapshot import MAX_TEXT
from refinery.recorders.instrument import carry
from refinery.recorders.sink import SpoolSink
from tests.recorders._by_hand import recording
from tests.recorders._collect import ListSink, views


@pytest.fixture
def sink() -> Iterator[ListSink]:
    with recording() as kept:
        yield kept
        assert kept.lost == []


@instrument(layer="tool")
def add(left: int, right: int = 2, *more: int, scale: int = 1, **named: Any) -> int:
    """Adds."""
    return (left + right + sum(more)) * scale


@instrument
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@instrument(layer="workflow", name="whole", tags=("prod",), metadata={"team": "billing"})
def outer() -> list[int]:
    with track("middle", layer="step", size=2) as run:
        found = [add(1), add(2)]
        run.set_output(found)
    return found


def test_arguments_are_kept_by_name_with_defaults(sink: ListSink) -> None:
    assert add(1, 2, 3, 4, scale=10, unit="m") == 100
    add(5)

    first, second = sink.runs
    expected = {"left": 1, "right": 2, "more": [3, 4], "scale": 10, "named": {"unit": "m"}}
    assert first.inputs == expected
    assert first.outputs == {"output": 100}
    assert second.inputs == {"left": 5, "right": 2, "scale": 1}
    assert (first.name, first.kind, first.layer) == ("add", RunKind.TOOL, "tool")
    assert first.status is RunStatus.OK


def test_a_tree_of_functions_and_blocks_is_a_tree_of_runs(sink: ListSink) -> None:
    assert outer() == [3, 4]

    assert sink.tree() == {
        ("whole", None, "ok"): 1,
        ("middle", "whole", "ok"): 1,
        ("add", "middle", "ok"): 2,
    }
    whole, middle = sink.named("whole"), sink.named("middle")
    assert (whole.kind, whole.tags) == (RunKind.CHAIN, ["prod"])
    assert whole.metadata and whole.metadata["team"] == "billing"
    assert (middle.kind, middle.layer) == (RunKind.STEP, "step")
    assert (middle.inputs, middle.outputs) == ({"size": 2}, {"output": [3, 4]})
    assert {document["source"] for document in sink.documents} == {"instrument"}


def test_recursion_nests(sink: ListSink) -> None:
    assert fibonacci(4) == 3

    assert sink.tree()[("fibonacci", "fibonacci", "ok")] == 8
    assert len({run.trace_id for run in sink.runs}) == 1


def test_the_wrapped_function_looks_like_the_one_inside() -> None:
    assert str(inspect.signature(add)) == str(inspect.signature(add.__wrapped__))  # type: ignore[attr-defined]
    assert (add.__name__, add.__doc__, add.__module__) == ("add", "Adds.", __name__)
    assert pickle.loads(pickle.dumps(add)) is add


def test_results_and_exceptions_are_the_same_objects(sink: ListSink) -> None:
    value, raised = object(), ValueError("mine")

    @instrument
    def give(fail: bool) -> object:
        if fail:
            raise raised
        return value

    assert give(False) is value
    with pytest.raises(ValueError, match="mine") as caught:
        give(True)

    assert caught.value is raised
    assert (raised.__cause__, raised.__context__) == (None, None)
    frames = inspect.getinnerframes(caught.tb)
    assert [frame.function for frame in frames][-1] == "give"
    failed = sink.runs[1]
    assert failed.status is RunStatus.ERROR
    assert failed.error and (failed.error.type, failed.error.message) == ("ValueError", "mine")
    assert "test_instrument.py" in failed.error.stack


class Shop:
    def __init__(self, price: int) -> None:
        self.price = price

    @instrument(layer="tool")
    def total(self, count: int) -> int:
        return self.price * count

    @instrument
    @classmethod
    def cheap(cls, price: int = 1) -> "Shop":
        return cls(price)

    @classmethod
    @instrument
    def dear(cls) -> "Shop":
        return cls(100)

    @staticmethod
    @instrument
    def tax(amount: int) -> int:
        return amount // 5

    @instrument
    @staticmethod
    def fee() -> int:
        return 3


def test_methods_of_every_sort_are_recorded_without_their_object(sink: ListSink) -> None:
    assert Shop.cheap().total(count=3) == 3
    assert Shop.dear().price == 100
    assert (Shop.tax(10), Shop.fee()) == (2, 3)

    inputs = {run.name: run.inputs for run in sink.runs}
    assert inputs == {
        "Shop.cheap": {"price": 1},
        "Shop.total": {"count": 3},
        "Shop.dear": {},
        "Shop.tax": {"amount": 10},
        "Shop.fee": {},
    }


def test_what_is_no_function_comes_back_as_it_is() -> None:
    assert instrument(Shop) is Shop
    assert instrument(3) == 3  # type: ignore[type-var]  # a user may write anything


def test_partials_and_callable_objects_are_recorded(sink: ListSink) -> None:
    assert instrument(functools.partial(max, 3))(5) == 5
    assert instrument(len)("abc") == 3

    assert [run.status for run in sink.runs] == [RunStatus.OK] * 2


def test_tasks_nest_under_the_coroutine_that_made_them(sink: ListSink) -> None:
    @instrument
    async def leaf(n: int) -> int:
        await asyncio.sleep(0.001)
        return n

    @instrument(layer="workflow")
    async def fan(count: int) -> int:
        async with track("gather"):
            return sum(await asyncio.gather(*(leaf(n) for n in range(count))))

    assert inspect.iscoroutinefunction(fan)
    assert asyncio.run(fan(5)) == 10

    names = {run.run_id: run.name for run in sink.runs}
    parents = {(run.name, names.get(run.parent_id or "")) for run in sink.runs}
    prefix = "test_tasks_nest_under_the_coroutine_that_made_them"
    assert prefix not in str(names)
    assert parents == {("fan", None), ("gather", "fan"), ("leaf", "gather")}


def test_a_cancelled_coroutine_is_cancelled_not_failed(sink: ListSink) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        @instrument
        async def slow() -> None:
            begun.set()
            await asyncio.sleep(100)

        task = asyncio.create_task(slow())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert sink.runs[0].status is RunStatus.CANCELLED


def test_processor_time_of_a_coroutine_is_its_own(sink: ListSink) -> None:
    def burn(seconds: float) -> None:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    @instrument
    async def idle() -> None:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)

    async def busy() -> None:
        await asyncio.sleep(0)
        burn(0.06)

    async def main() -> None:
        await asyncio.gather(idle(), busy())

    asyncio.run(main())

    metrics = sink.runs[0].metrics or {}
    assert metrics["wall_ms"] > 50
    assert metrics["cpu_ms"] < 20


def test_a_generator_stays_lazy_and_its_consumer_stays_outside(sink: ListSink) -> None:
    pulled: list[int] = []

    @instrument
    def count(to: int) -> Iterator[int]:
        for n in range(to):
            pulled.append(n)
            with track("inside"):
                add(n)
            yield n

    stream = count(3)
    assert inspect.isgeneratorfunction(count)
    assert pulled == []
    for n in stream:
        assert pulled[-1] == n
        with track("consumer"):
            pass

    assert sink.tree()[("consumer", None, "ok")] == 3
    assert sink.tree()[("inside", "count", "ok")] == 3
    assert sink.named("count").outputs == {"items": [0, 1, 2]}


def test_send_throw_return_and_close_reach_the_generator(sink: ListSink) -> None:
    closed: list[str] = []

    @instrument
    def echo() -> Any:
        said = []
        try:
            while True:
                try:
                    said.append((yield len(said)))
                except KeyError:
                    return said
        finally:
            closed.append("yes")

    first = echo()
    assert (next(first), first.send("a"), first.send("b")) == (0, 1, 2)
    with pytest.raises(StopIteration) as ended:
        first.throw(KeyError())
    assert ended.value.value == ["a", "b"]
    second = echo()
    next(second)
    second.close()

    assert closed == ["yes", "yes"]
    finished, abandoned = sink.runs
    assert finished.outputs == {"items": [0, 1, 2], "output": ["a", "b"]}
    assert abandoned.status is RunStatus.CANCELLED


def test_blocks_around_a_yield_keep_their_place(sink: ListSink) -> None:
    @instrument
    def steps() -> Iterator[int]:
        with track("held"):
            yield 1
            add(1)

    assert list(steps()) == [1]

    assert sink.tree()[("add", "held", "ok")] == 1


def test_asynchronous_generators_pass_everything_on(sink: ListSink) -> None:
    @instrument
    async def numbers() -> AsyncIterator[Any]:
        got = None
        try:
            while True:
                add(1)
                await asyncio.sleep(0)
                try:
                    got = yield got
                except KeyError:
                    yield "caught"
                    return
        finally:
            await asyncio.sleep(0)

    async def main() -> list[Any]:
        stream: Any = numbers()
        seen = [await stream.asend(None), await stream.asend("x")]
        with track("consumer"):
            pass
        seen.append(await stream.athrow(KeyError()))
        seen += [item async for item in stream]
        abandoned: Any = numbers()
        await abandoned.asend(None)
        await abandoned.aclose()
        return seen

    assert inspect.isasyncgenfunction(numbers)
    assert asyncio.run(main()) == [None, "x", "caught"]

    assert sink.tree()[("consumer", None, "ok")] == 1
    assert sink.tree()[("numbers", None, "ok")] == 1
    assert sink.tree()[("numbers", None, "cancelled")] == 1
    assert sink.tree()[("add", "numbers", "ok")] == 3


def test_a_generator_that_fails_in_the_middle_says_so(sink: ListSink) -> None:
    @instrument
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    stream = broken()
    next(stream)
    with pytest.raises(OSError, match="gone"):
        next(stream)

    assert sink.runs[0].status is RunStatus.ERROR
    assert sink.runs[0].outputs == {"items": [1]}


def test_carried_functions_stay_in_the_tree_on_other_threads(sink: ListSink) -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)

    with track("main"), ThreadPoolExecutor(4) as pool:
        variable.set(7)
        results = list(pool.map(carry(add), range(8)))
        seen = pool.submit(carry(variable.get)).result()

    assert (results, seen) == ([n + 2 for n in range(8)], 7)
    assert sink.tree()[("add", "main", "ok")] == 8


def test_many_threads_do_not_mix_their_trees(sink: ListSink) -> None:
    @instrument
    def work(n: int) -> int:
        return add(n) + add(n)

    def on_thread(n: int) -> None:
        with track(f"root {n}"):
            for _ in range(20):
                work(n)

    threads = [threading.Thread(target=carry(on_thread), args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    by_id = {run.run_id: run for run in sink.runs}
    assert len(by_id) == 6 * (1 + 20 * 3)
    for run in by_id.values():
        if run.name == "add":
            parent = by_id[run.parent_id or ""]
            assert parent.name == "work" and parent.inputs["n"] == run.inputs["left"]


def test_metrics_are_measured(sink: ListSink, tmp_path: Path) -> None:
    @instrument
    def write(path: Path) -> list[int]:
        path.write_bytes(b"x" * 3_000_000)
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return list(range(1_500_000))

    while not any("io_bytes" in (run.metrics or {}) for run in sink.runs):
        assert len(sink.runs) < 100  # a reading is paid for by the time of the runs before it
        write(tmp_path / "big")

    metrics = sink.runs[-1].metrics or {}
    assert metrics["wall_ms"] >= metrics["cpu_ms"] - 5 >= 10
    assert 3_000_000 <= metrics["io_bytes"] < 3_010_000
    assert metrics["rss_bytes"] > 20_000_000
    assert metrics["rss_delta_bytes"] > 5_000_000


def test_readings_of_memory_take_a_small_share_of_short_runs(sink: ListSink) -> None:
    @instrument
    def nothing() -> None:
        return None

    for _ in range(1_000):
        nothing()

    read = [run for run in sink.runs if "rss_delta_bytes" in (run.metrics or {})]
    assert len(read) < 20
    assert all((run.metrics or {}).keys() >= {"wall_ms", "cpu_ms"} for run in sink.runs)


def test_code_and_source_of_a_function_are_kept(sink: ListSink) -> None:
    @instrument
    def fresh(n: int) -> int:
        return n + 1

    fresh(1)
    fresh(2)

    source = inspect.getsource(fresh)
    variant = hashlib.sha256(source.encode()).hexdigest()
    first, second = sink.runs
    for run in (first, second):
        assert run.code and run.code.variant == variant
        assert run.code.qualname == fresh.__qualname__
        assert run.code.line == fresh.__wrapped__.__code__.co_firstlineno  # type: ignore[attr-defined]
    assert (first.metadata or {})["refinery"]["source"] == {"variant": variant, "text": source}
    assert "source" not in (second.metadata or {}).get("refinery", {})


def test_a_block_knows_the_function_around_it(sink: ListSink) -> None:
    def caller() -> None:
        with track("block"):
            pass

    caller()

    code = sink.runs[0].code
    assert code and code.qualname and code.qualname.endswith("caller")


class Bomb:
    def __repr__(self) -> str:
        raise SystemError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[int]:
        raise MemoryError


class Liar(Bomb):
    @property  # type: ignore[misc]  # lying about the class is the point
    def __class__(self) -> Any:
        return dict


class FatalError(BaseException):
    pass


class Doom:
    def __getattribute__(self, name: str) -> Any:
        raise FatalError


@pytest.mark.parametrize("make", [Bomb, Liar, Doom])
def test_hostile_values_reach_neither_the_host_nor_change(make: Any) -> None:
    value = make()

    @instrument
    def same(given: Any, *, more: Any = None) -> Any:
        return given

    @instrument
    def items(given: Any) -> Iterator[Any]:
        yield given
        yield given

    with recording() as kept:
        assert same(value, more=[value]) is value
        assert next(iter(items(value))) is value
        with track("block", given=value) as run:
            run.set_output(value)

    assert len({document["run"]["run_id"] for document in kept.documents}) + len(kept.lost) >= 3


class BrokenSink(ListSink):
    def put(self, record: Any) -> bool:
        raise OSError("disk on fire")

    def lose(self, reason: str) -> None:
        raise OSError("still on fire")


def test_a_broken_sink_never_reaches_the_host() -> None:
    with recording() as kept:
        kept.__class__ = BrokenSink

        assert outer() == [3, 4]
        with pytest.raises(ZeroDivisionError):
            instrument(lambda: 1 // 0)()


def test_running_out_of_stack_is_the_hosts_own_error(sink: ListSink) -> None:
    @instrument
    def deep(n: int) -> int:
        return deep(n + 1)

    with pytest.raises(RecursionError):
        deep(0)
    sink.lost.clear()


def test_a_context_that_outlives_a_run_keeps_nothing_it_held(sink: ListSink) -> None:
    kept: list[contextvars.Context] = []

    @instrument
    def work(text: str) -> str:
        kept.append(contextvars.copy_context())
        return text

    work("a" * 1_000)
    inside = kept[0].run(_context.current)

    assert isinstance(inside, Call)
    assert (inside.run, inside.further, inside._mark) == (None, {}, None)
    (run,) = sink.runs
    assert kept[0].run(_context.current_run) == run.run_id
    kept[0].run(add, 1)
    assert sink.named("add").parent_id == run.run_id


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("plain", "plain"),
        (True, True),
        (None, None),
        (2**80, 2**80),
        ("a lone \ud800 surrogate", "a lone ? surrogate"),
        (float("nan"), "nan"),
        (1.5, 1.5),
        (("a", 1), ["a", 1]),
        ({"a": "text", "b": 2**80, 3: None}, {"a": "text", "b": 2**80, "3": None}),
        ({"a": float("inf"), "b": 1}, {"a": "inf", "b": 1}),
        ({"a": {"b": "deep"}}, {"a": {"b": "deep"}}),
    ],
)
def test_values_that_cannot_change_are_told_as_all_others(
    tmp_path: Path, value: Any, kept: Any
) -> None:
    spool = SpoolSink(tmp_path)
    token = _context.enter("outside", Book(spool, origin=OriginReader(Path.cwd())))

    @instrument
    def echo(given: Any) -> Any:
        return given

    echo(value)
    _context.leave(token)
    spool.flush(60)

    run = views(tmp_path)[-1]["run"]
    assert (run["inputs"], run["outputs"]) == ({"given": kept}, {"output": kept})


def test_what_is_changed_later_is_told_as_it_was(sink: ListSink, tmp_path: Path) -> None:
    spool = SpoolSink(tmp_path)
    token = _context.enter("outside", Book(spool, origin=OriginReader(Path.cwd())))

    @instrument
    def change(given: dict[str, Any]) -> dict[str, Any]:
        given["question"] = "changed inside"
        return given

    answer = change({"question": "asked"})
    answer["question"] = "changed afterwards"
    _context.leave(token)
    spool.flush(60)

    run = views(tmp_path)[-1]["run"]
    assert run["inputs"] == {"given": {"question": "asked"}}
    assert run["outputs"] == {"output": {"question": "changed inside"}}


def test_a_long_text_is_cut(sink: ListSink) -> None:
    @instrument
    def long() -> str:
        return "a" * (MAX_TEXT + 10)

    long()

    (run,) = sink.runs
    assert isinstance(run.outputs, dict)
    assert run.outputs["output"].endswith("(cut by the recorder)")
