"""Runs one `module:callable` with JSON arguments under recording, in a process of its own.

    PYTHONPATH=<folder with refinery> python -m refinery.recorders.entry < job.json

The job is `{"target": "module:callable", "arguments": [{"id", "argument"}], "spool": folder|null,
"project_root": folder, "results": file|null}`. The target is imported once; each argument is run
in turn and answered by one JSON line `{"id", "status", "output", "error", "trace_id"}` in the
results file, else on standard output (what the agent itself prints then goes to standard error).
`status` is `ok`, `error`, `cancelled` or `unimportable`; `error` is `{"type", "message", "stack"}`
or null. The exit code is 0 when every argument was run, whatever came of it, and 2 when the
target could not be imported. One argument makes one trace, whatever the callable starts.

Standard library only, beside what the agent imports.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run by path, Python puts this folder first, where `langchain.py` would hide LangChain.
    _here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _here]

import asyncio
import importlib
import inspect
import json
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, is_dataclass
from typing import IO, Any

OK, ERROR, CANCELLED, UNIMPORTABLE = "ok", "error", "cancelled", "unimportable"
FLUSH_S = 10.0
"""Longest wait for the writer; the process is ours, so it may wait longer than a host."""
MAX_ITEMS = 100_000
"""Most items read of a result that is a generator."""


@dataclass(frozen=True, slots=True)
class Target:
    """A callable of one argument, as named by an entry point."""

    spec: str
    """`module:qualname`."""
    name: str
    """Name of the root run when the target is a plain function."""
    call: Callable[[Any], Any]
    function: Any
    """The object the spec names."""
    is_runnable: bool
    """Whether it is a LangChain Runnable or a compiled graph, which makes its own root run."""

    def __call__(self, argument: Any) -> Any:
        """Run the target with one argument."""
        return self.call(argument)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one argument."""

    status: str
    output: Any = None
    """Any JSON; messages and documents as objects of their fields."""
    error: dict[str, str] | None = None
    trace_id: str | None = None
    """None when nothing was recorded."""


class TargetError(Exception):
    """The target cannot be imported, or is nothing that can be called."""


def load_target(spec: str) -> Target:
    """Import `module:qualname` and make a callable of one argument of it.

    Raises:
        TargetError: the spec has another form, names nothing, or names nothing callable; the
            exception of a module that could not be imported is its cause.
    """
    module_name, _, qualname = spec.partition(":")
    if not module_name or not qualname:
        raise TargetError(f"{spec!r} is not of the form module:callable")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise TargetError(
            f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        ) from error
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise TargetError(f"{module_name!r} has no {qualname!r}") from error
    if callable(getattr(found, "invoke", None)) and not inspect.isclass(found):
        return Target(spec, qualname, _invoking(found), found, is_runnable=True)
    if not callable(found):
        raise TargetError(f"{spec!r} is a {type(found).__name__}, which cannot be called")
    return Target(spec, qualname.rpartition(".")[2], found, found, is_runnable=False)


def run_one(target: Target, argument: Any, draws: Any = None) -> Outcome:
    """Run a target with one argument, as one trace; whatever it raises becomes data.

    Args:
        target: what is called.
        argument: its one argument.
        draws: the chance of a recorded run (`draws.Draws`); None: a new one's, which is noted.
    """
    from refinery.model.trace import RunStatus
    from refinery.recorders import draws as chance
    from refinery.recorders import switch
    from refinery.recorders._book import Scope, ending, run_error
    from refinery.recorders._origin import Entry

    book = switch.current_book()
    drawn = draws or chance.Draws()
    scope = Scope(Entry("callable", target.spec, argument))
    wrapped = _Wrapper(target, argument) if book and not target.is_runnable else None
    drawn.begin(book)
    if book:
        book.scope = scope
    if wrapped:
        wrapped.start()
    try:
        result = plain(_settled(target(argument)))
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  # is the answer
        if wrapped:
            wrapped.fail(error)
        is_cancelled = ending(error)[0]["status"] is RunStatus.CANCELLED
        told = asdict(run_error(error))
        return Outcome(CANCELLED if is_cancelled else ERROR, None, told, scope.root_id)
    else:
        if wrapped:
            wrapped.end(result)
        return Outcome(OK, result, None, scope.root_id)
    finally:
        drawn.end()
        if book:
            book.scope = None


class _Wrapper:
    """The root run of a plain function, which holds every run the function starts."""

    def __init__(self, target: Target, argument: Any) -> None:
        from refinery.recorders import switch

        self._target, self._argument = target, argument
        self._run_id = _new_uuid()
        self._book = switch.current_book()

    def start(self) -> None:
        """Open the root run."""
        from refinery.model.trace import RunKind
        from refinery.recorders import _source
        from refinery.recorders._snapshot import snapshot

        held, size = snapshot(_named(self._argument, "input"))
        fields = {
            "name": self._target.name,
            "kind": RunKind.CHAIN,
            "native_kind": "chain",
            "inputs": held,
        }
        subject = _source.subject_of(self._target.function, "function")
        if self._book:
            self._book.start(self._run_id, None, fields, size_bytes=size, subject=subject)
            _flush()

    def end(self, result: Any) -> None:
        """End the root run with a result that is JSON already."""
        if self._book:
            fields = {"outputs": _named(result, "output")}
            self._book.finish(self._run_id, fields, size_bytes=len(str(result)))

    def fail(self, error: BaseException) -> None:
        """End the root run with an exception."""
        from refinery.recorders._book import ending

        run = self._book.get(self._run_id) if self._book else None
        if self._book and run:
            fields, notes = ending(error)
            run.note(notes)
            self._book.finish(self._run_id, fields)


def plain(result: Any) -> Any:
    """A result as JSON: messages, documents, models and dataclasses as objects of their fields."""
    from refinery.model.codec import encode
    from refinery.recorders._snapshot import Snapshot

    if is_dataclass(result) and isinstance(result, type):
        return encode(result)
    return encode(Snapshot().take(result))


def main() -> int:
    """Read a job from standard input and run it; returns the exit code."""
    job = json.load(sys.stdin)
    results = _open_results(job.get("results"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    root = Path(job.get("project_root") or Path.cwd()).resolve()
    os.chdir(root)
    sys.path.insert(0, str(root))
    if job.get("spool"):
        os.environ["REFINERY_SPOOL"] = str(job["spool"])
    from refinery.recorders import draws, switch

    switch.record()
    draws.install()
    arguments = job.get("arguments") or []
    with results:
        try:
            target = load_target(str(job["target"]))
        except TargetError as error:
            _answer_all(arguments, error, results)
            return 2
        for given in arguments:
            outcome = run_one(target, given.get("argument"))
            _flush()  # who reads the answer finds the trace
            _answer(results, given.get("id"), outcome)
    switch.stop()
    return 0


def _flush() -> None:
    """Have what was recorded on disk, so that an agent that kills its process leaves a trace."""
    from refinery.recorders.sink import flush_all

    flush_all(FLUSH_S)


def _open_results(path: str | None) -> IO[str]:
    """Where answers go: a file, else standard output, which then becomes standard error."""
    if path:
        return Path(path).open("a", encoding="utf-8")
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(2, 1)
    return stream


def _answer_all(arguments: Iterable[Any], error: TargetError, results: IO[str]) -> None:
    from refinery.recorders._book import run_error

    told = {**asdict(run_error(error.__cause__ or error)), "message": str(error)}
    for given in arguments:
        _answer(results, given.get("id"), Outcome(UNIMPORTABLE, None, told))


def _answer(results: IO[str], identifier: Any, outcome: Outcome) -> None:
    line = {
        "id": identifier,
        "status": outcome.status,
        "output": outcome.output,
        "error": outcome.error,
        "trace_id": outcome.trace_id,
    }
    results.write(json.dumps(line, ensure_ascii=False) + "\n")
    results.flush()


def _named(value: Any, name: str) -> dict[str, Any]:
    """Inputs or outputs of a run are objects; anything else gets a name."""
    return value if isinstance(value, dict) else {name: value}


def _new_uuid() -> str:
    from refinery import clock

    return clock.new_uuid()


def _invoking(runnable: Any) -> Callable[[Any], Any]:
    """A callable that invokes a Runnable; asynchronously when it has no synchronous side."""
    invoke = runnable.ainvoke if _is_async_only(runnable) else runnable.invoke

    def call(argument: Any) -> Any:
        if getattr(runnable, "checkpointer", None):
            config = {"configurable": {"thread_id": str(uuid.uuid4())}}
            return invoke(argument, config)
        return invoke(argument)

    return call


def _is_async_only(part: Any, depth: int = 0) -> bool:
    """Whether the function behind a Runnable, or some node of a graph, is only asynchronous."""
    if getattr(part, "afunc", None) is not None and getattr(part, "func", None) is None:
        return True
    nodes = getattr(part, "nodes", None)
    if not isinstance(nodes, dict) or depth > 5:
        return False
    return any(_is_async_only(getattr(n, "bound", n), depth + 1) for n in nodes.values())


_runner: asyncio.Runner | None = None


def _settled(result: Any) -> Any:
    """What a coroutine or a generator comes to; text chunks are joined.

    One event loop serves all arguments: clients an agent keeps in its modules stay bound to it.
    """
    global _runner  # one loop a process, made when first needed
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        _runner = _runner or asyncio.Runner()
        result = _runner.run(_awaited(result))
    if inspect.isgenerator(result):
        return _joined([item for item, _ in zip(result, range(MAX_ITEMS), strict=False)])
    return result


async def _awaited(result: Any) -> Any:
    if not inspect.isasyncgen(result):
        return await result
    return _joined([item async for item in result])


def _joined(items: list[Any]) -> Any:
    """Items of a stream; one text when all of them are text."""
    return "".join(items) if items and all(isinstance(item, str) for item in items) else items


if __name__ == "__main__":
    sys.exit(main())
