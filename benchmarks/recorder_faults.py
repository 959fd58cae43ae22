"""What recording does to its host when everything goes wrong.

    python -m benchmarks.recorder_faults [--calls 10000] [--forks 1000] [--kills 1000]

Four proofs, each printed as figures: every internal function of the recorders made to raise in
turn, with hostile values, while LangChain, the X-Ray SDK, instrumented functions and an OpenAI
client are at work; forks under load; kills at random points; exits with a dead sink, and a clock
that goes back. Exits with 1 when a promise is broken. `tests/recorders/test_faults.py` runs the
same with smaller numbers.
"""

import argparse
import contextlib
import importlib
import inspect
import os
import pkgutil
import random
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from refinery import recorders
from refinery.recorders.sink import Record, SpoolSink
from refinery.recorders.spool_file import Reader, spool_files

ROOT = Path(__file__).resolve().parents[1]
_MODULES = ("refinery.safety.redact", "refinery.safety.prefilter", "refinery.clock")
_GUARDS = frozenset({"guarded", "_guarded", "safely", "_write_forever", "call", "is_enabled"})
"""What catches the others' exceptions, and the loop of a thread that runs already."""
_OWN_PROGRAMS = ("entry",)
_TOLD = struct.Struct("<I")
_FAULTS = (ValueError, KeyError, TypeError, MemoryError, RecursionError, AssertionError, OSError)


class Hostile:
    """Raises from everything a curious reader may touch."""

    def _no(self, *args: object) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __eq__ = __len__ = __iter__ = __bool__ = __getattribute__ = _no  # type: ignore[assignment]  # that is its point

    def __hash__(self) -> int:
        return 7


class Liar:
    """Claims to be a dictionary."""

    @property
    def __class__(self) -> Any:
        """A class it does not have."""
        return dict

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise RuntimeError


class Text(str):
    """A string whose methods raise."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("hostile")

    encode = __len__ = __str__  # type: ignore[assignment]  # that is its point


HOSTILE: dict[str, Any] = {"a": Hostile(), "b": Liar(), "c": Text("x"), "d": 2**90, "e": "\ud800"}


class HostError(Exception):
    """The host's own."""


@dataclass(slots=True)
class Faults:
    """What came of the faulted calls."""

    calls: int = 0
    functions: int = 0
    reached: list[str] = field(default_factory=list)
    """Faults that changed what the host saw."""


def modules() -> list[ModuleType]:
    """Every module whose functions are made to raise."""
    names = [
        f"refinery.recorders.{found.name}" for found in pkgutil.iter_modules(recorders.__path__)
    ]
    names = [name for name in names if name.rpartition(".")[2] not in _OWN_PROGRAMS]
    return [importlib.import_module(name) for name in (*names, *_MODULES)]


def internals(module: ModuleType) -> Iterator[tuple[Any, str]]:
    """Owners and names of a module's functions that no host calls."""
    is_private = module.__name__.rpartition(".")[2].startswith("_") or module.__name__.endswith(
        ("sink", "spool_file", *(name.rpartition(".")[2] for name in _MODULES))
    )
    for name, held in vars(module).items():
        if getattr(held, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(held) and (is_private or name.startswith("_")):
            yield module, name
        elif inspect.isclass(held):
            for member, made in vars(held).items():
                is_own = member.startswith("_") and not member.startswith("__")
                if inspect.isfunction(made) and (is_private or is_own):
                    yield held, member


@contextlib.contextmanager
def broken(owner: Any, name: str, fault: type[Exception]) -> Iterator[None]:
    """Have a function raise wherever it is called from."""
    real = vars(owner)[name]

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise fault("made to fail")

    inner = getattr(real, "__wrapped__", None)
    cells = [c for c in getattr(real, "__closure__", None) or () if c.cell_contents is inner]
    if inner is not None and cells:
        # A guard stands around it: what is inside the guard is made to raise.
        cells[0].cell_contents = fail
        try:
            yield
        finally:
            cells[0].cell_contents = inner
        return
    places = [(owner, name)]
    if isinstance(owner, ModuleType):
        places += [
            (module, other)
            for module in modules()
            for other, held in list(vars(module).items())
            if held is real and (module, other) != (owner, name)
        ]
    for place, other in places:
        setattr(place, other, fail)
    try:
        yield
    finally:
        for place, other in places:
            setattr(place, other, real)


class Host:
    """A program that is recorded in every way, and knows what it must get."""

    def __init__(self, folder: Path) -> None:
        import httpx
        import openai
        from langchain_core.runnables import RunnableLambda

        import refinery
        from refinery.recorders._book import Book

        self.sink = SpoolSink(folder)
        book = Book(self.sink, project="faults")
        handler = refinery.RefineryCallbackHandler(book=book)
        self.config: Any = {"callbacks": [handler], "metadata": {"thread_id": "t"}}
        self.chain = RunnableLambda(lambda held: held["n"]) | RunnableLambda(self._checked)
        self.xray = refinery.XRay(book=book)
        self.tool = refinery.instrument(layer="tool")(self._checked)
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        choice = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": "yes"}  # type: ignore[assignment]  # JSON
        body = {**answer, "choices": [choice]}
        transport = httpx.MockTransport(lambda asked: httpx.Response(200, json=body))
        client = openai.OpenAI(api_key="none", http_client=httpx.Client(transport=transport))
        self.client = refinery.wrap_openai(client)

    @staticmethod
    def _checked(number: int) -> int:
        if number < 0:
            raise HostError(number)
        return number + 1

    def calls(self) -> Iterator[tuple[str, Callable[[], Any], Any]]:
        """Name, call, and what it must give: a value, or the class of the exception."""
        for number, due in ((1, 2), (-1, HostError)):
            yield (
                "chain",
                lambda n=number: self.chain.invoke({"n": n, **HOSTILE}, self.config),
                due,
            )
            yield "xray", lambda n=number: self._steps(n), due
            yield "instrument", lambda n=number: self.tool(n), due
        yield "client", self._ask, "yes"

    def _steps(self, number: int) -> int:
        with self.xray.trace("pipeline") as trace, trace.step("step") as step:
            step.set_input(HOSTILE)
            step.add_evaluation("1", Hostile(), {"ok": True}, True, "because")
            step.set_reasoning("why")
            step.set_metadata("k", Hostile())
            found = self._checked(number)
            step.set_output(found)
            return found

    def _ask(self) -> Any:
        asked: Any = [{"role": "user", "content": "?"}]
        answer = self.client.chat.completions.create(model="m", messages=asked)
        return answer.choices[0].message.content


def faulted_calls(least: int, folder: Path, *, every: int = 1) -> Faults:
    """Make each internal function raise in turn while the host works, until `least` calls."""
    host, found, round_ = Host(folder), Faults(), 0
    targets = [
        (owner, name)
        for module in modules()
        for owner, name in internals(module)
        if name not in _GUARDS
    ][::every]
    found.functions = len(targets)
    while found.calls < least:
        for number, (owner, name) in enumerate(targets):
            fault = _FAULTS[(number + round_) % len(_FAULTS)]
            with broken(owner, name, fault):
                for what, call, due in host.calls():
                    found.calls += 1
                    said = _said(call, due)
                    if said:
                        found.reached.append(f"{owner.__name__}.{name} ({what}): {said}")
        round_ += 1
    host.sink.close(5)
    return found


def _said(call: Callable[[], Any], due: Any) -> str | None:
    """What differs from what the host must get; None when nothing does."""
    try:
        got = call()
    except BaseException as error:  # noqa: BLE001  # the proof is that there is none but the host's
        is_due = isinstance(due, type) and type(error) is due
        return None if is_due else f"{type(error).__name__}: {error}"
    return None if not isinstance(due, type) and got == due else f"got {got!r}"


class Note(Record):
    """A record of one number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.size_bytes = 20

    def line(self, shared: dict[str, bytes] | None) -> bytes:
        """The number as JSON."""
        return b'{"n":%d}\n' % self.number


def forks_under_load(count: int, folder: Path) -> int:
    """Fork while threads record; returns how many children hung or could not record."""
    sink, going = SpoolSink(folder), threading.Event()
    going.set()

    def load() -> None:
        while going.is_set():
            sink.put(Note(1))
            time.sleep(0)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    failed = 0
    for _ in range(count):
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # a child that hangs is killed by it
            sink.put(Note(2))
            os._exit(0 if sink.flush(5) else 1)
        failed += os.waitpid(child, 0)[1] != 0
    going.clear()
    for thread in threads:
        thread.join()
    sink.flush(5)
    return failed


def kills(count: int, folder: Path, seed: int = 1) -> tuple[int, int]:
    """Kill recording processes at random points.

    Returns:
        Records they had acknowledged (flushed), and how many of those are not in the spool.
    """
    chance, acknowledged, lost = random.Random(seed), 0, 0
    for number in range(count):
        place = folder / str(number)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _record_until_killed(SpoolSink(place), writing)
        os.close(writing)
        told = os.read(reading, _TOLD.size)  # the first acknowledgement: it is at work
        time.sleep(chance.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(reading, 1 << 16):
            told += more
        os.close(reading)
        whole = len(told) // _TOLD.size * _TOLD.size
        (known,) = _TOLD.unpack(told[whole - _TOLD.size : whole])
        acknowledged += known
        lost += len(set(range(known)) - _numbers(place))
    return acknowledged, lost


def _record_until_killed(sink: SpoolSink, told: int) -> None:
    """Record in bursts, and tell how many records have been flushed."""
    number = 0
    while True:
        for _ in range(1 + number % 7):
            sink.put(Note(number))
            number += 1
        if sink.flush(5):
            os.write(told, _TOLD.pack(number))


def _numbers(folder: Path) -> set[int]:
    found = set()
    for path in spool_files(folder) if folder.is_dir() else ():
        with path.open("rb") as file:
            for view in Reader(file, path.name, is_finished=True).views():
                found.add(view["n"] if view else -1)
    return found


_DEAD_SINKS = {
    "full disk": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))",
    "no folder": "folder.write_text('in the way')",
    "hung disk": "os.write = lambda *_: time.sleep(3600)",
    "folder gone": "folder.parent.chmod(0o500); folder = pathlib.Path('/proc/none/spool')",
}


def exit_delays(folder: Path) -> dict[str, float]:
    """Seconds from the last line of a program to its end, for each way a sink may be dead."""
    delays = {}
    for name, breaking in _DEAD_SINKS.items():
        program = f"""
            import os, pathlib, sys, time
            folder = pathlib.Path(sys.argv[1]) / "spool"
            folder.parent.mkdir(parents=True)
            from refinery import clock
            from refinery.recorders._book import Book
            from refinery.recorders.sink import shared_sink
            {breaking}
            book = Book(shared_sink(folder))
            for number in range(2000):
                run_id = clock.new_uuid()
                book.start(run_id, None, {{"name": "x", "inputs": {{"n": os.urandom(40).hex()}}}})
                book.finish(run_id, {{"outputs": {{"n": number}}}})
            print(time.time(), flush=True)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(folder / name)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ended = time.time()
        is_said = "were not recorded" in done.stderr
        delays[name] = ended - float(done.stdout) if done.returncode == 0 and is_said else 99.0
    return delays


def runs_while_the_clock_goes_back(folder: Path) -> int:
    """Record while the wall clock runs backwards; returns runs that end before they begin."""
    from refinery import clock
    from refinery.recorders._book import Book

    sink = SpoolSink(folder)
    book, real, wrong = Book(sink), time.time_ns, 0
    now = [real()]

    def backwards() -> int:
        now[0] -= 3_600_000_000_000
        return now[0]

    time.time_ns = backwards
    try:
        for _ in range(100):
            root, child = clock.new_uuid(), clock.new_uuid()
            book.start(root, None, {"name": "root"})
            book.start(child, root, {"name": "child"})
            book.finish(child, {})
            book.finish(root, {})
    finally:
        time.time_ns = real
    sink.flush(10)
    for path in spool_files(folder):
        with path.open("rb") as file:
            for view in Reader(file, path.name, is_finished=True).views():
                run = view["run"] if view else {}
                wrong += run.get("end_ns", 0) < run.get("start_ns", 1)
    return wrong


def main() -> int:
    """Run all proofs; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--forks", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=1_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        acknowledged, lost = kills(asked.kills, folder / "kills")
        print(f"{asked.kills} kills: {acknowledged} acknowledgements, {lost} lost")
        hung = forks_under_load(asked.forks, folder / "forks")
        print(f"{asked.forks} forks under load: {hung} hung or could not record")
        delays = exit_delays(folder / "exits")
        for name, delay in delays.items():
            print(f"exit with a dead sink ({name}): {delay:.2f} s")
        wrong = runs_while_the_clock_goes_back(folder / "clock")
        print(f"clock going back: {wrong} runs end before they begin")
        found = faulted_calls(asked.calls, folder / "faults")
        print(
            f"{found.calls} calls, {found.functions} internal functions raising in turn: "
            f"{len(found.reached)} reached the host"
        )
        for said in sorted(set(found.reached))[:40]:
            print(f"  {said}")
    is_broken = lost or hung or wrong or found.reached or max(delays.values()) >= 1
    return 1 if is_broken else 0


if __name__ == "__main__":
    sys.exit(main())
