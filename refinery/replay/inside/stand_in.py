"""Serves LangChain tools and retrievers from the tape, where their callbacks still see the call.

A tool's or retriever's own work (`_run`, `_get_relevant_documents`) is replaced on a copy made
for one call: schema validation, callbacks and the formatting of results stay LangChain's.
"""

import ast
import builtins
import copy
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from refinery.replay.canonical import Fresh, normalise
from refinery.replay.inside import after_import, tape_clock
from refinery.replay.inside.under_test import UnderTest
from refinery.replay.tape import result_key

Recorded = Mapping[str, Any]
"""A `tape.RecordedResult` as JSON."""
Log = Callable[[str, str, str, str | None, str], None]
"""Notes one step: name, kind, fidelity, recorded run id, detail."""


class UnansweredError(Exception):
    """A call that was not recorded and may not run; the replay cannot say what would happen."""


class Shelf:
    """Recorded results by name and arguments, in recorded order; the last one repeats.

    Args:
        results: as recorded.
        fresh: what is new in every run, for arguments that hold identifiers or times.
    """

    def __init__(self, results: list[Recorded], fresh: Fresh = Fresh(0)) -> None:  # noqa: B008
        self._fresh = fresh
        self._exact: dict[str, list[Recorded]] = {}
        self._near: dict[str, list[Recorded]] = {}
        self._taken: set[int] = set()
        for result in results:
            key = str(result["key"])
            self._exact.setdefault(key, []).append(result)
            self._near.setdefault(normalise(key, fresh), []).append(result)

    def take(self, name: str, arguments: Any) -> tuple[Recorded, str] | None:
        """The next result for a call, and how near it is; None when no such call was recorded."""
        key = result_key(name, arguments)
        if found := self._next(self._exact.get(key)):
            return found, "exact"
        if found := self._next(self._near.get(normalise(key, self._fresh))):
            return found, "normalised"
        return None

    def _next(self, results: list[Recorded] | None) -> Recorded | None:
        if not results:
            return None
        found = next((one for one in results if id(one) not in self._taken), results[-1])
        self._taken.add(id(found))
        return found


class StandIns:
    """What one case's tools and retrievers are answered from."""

    def __init__(self, under_test: UnderTest) -> None:
        self.under_test = under_test
        self.tools = Shelf([])
        self.retrievals = Shelf([])
        self.log: Log = lambda *_: None
        self.is_begun = False
        """Whether a case is running; before, the agent is only imported."""
        self.unmatched: dict[str, Any] | None = None
        """The first call that was not recorded: its kind, name and arguments."""

    def begin(self, case: Mapping[str, Any], log: Log) -> None:
        """Answer from one case's recording from now on."""
        fresh = Fresh(
            case.get("start_ns") or 0, frozenset(case.get("known") or ()), tape_clock.real_ns()
        )
        self.tools = Shelf(case["tools"], fresh)
        self.retrievals = Shelf(case["retrievals"], fresh)
        self.log, self.is_begun, self.unmatched = log, True, None

    def install(self) -> None:
        """Change LangChain's base classes, now or when they are imported."""
        after_import.apply(
            {
                "langchain_core.tools.base": self._change_tools,
                "langchain_core.retrievers": self._change_retrievers,
            }
        )

    def _change_tools(self, module: ModuleType) -> None:
        base = module.BaseTool
        run, arun = base.run, base.arun

        def served_run(tool: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
            stand_in = self._tool(tool, tool_input, kwargs)
            return run(stand_in, tool_input, *args, **kwargs)

        async def served_arun(tool: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
            stand_in = self._tool(tool, tool_input, kwargs)
            return await arun(stand_in, tool_input, *args, **kwargs)

        base.run, base.arun = served_run, served_arun

    def _change_retrievers(self, module: ModuleType) -> None:
        base = module.BaseRetriever
        invoke, ainvoke = base.invoke, base.ainvoke

        def served(retriever: Any, query: Any, config: Any = None, **kwargs: Any) -> Any:
            return invoke(self._retriever(retriever, query, config), query, config, **kwargs)

        async def aserved(retriever: Any, query: Any, config: Any = None, **kwargs: Any) -> Any:
            stand_in = self._retriever(retriever, query, config)
            return await ainvoke(stand_in, query, config, **kwargs)

        base.invoke, base.ainvoke = served, aserved

    def _tool(self, tool: Any, given: Any, about: Mapping[str, Any]) -> Any:
        arguments = tool._filter_injected_args(given) if isinstance(given, dict) else given
        name, call_id = str(about.get("run_name") or tool.name), about.get("tool_call_id")
        if self.runs(name, "tool", tool):
            return tool
        answer = self.served_tool(name, arguments, lambda found: _tool_output(found, call_id))
        return _copy(tool, answer)

    def _retriever(self, retriever: Any, query: Any, config: Any) -> Any:
        name = str((config or {}).get("run_name") or retriever.get_name())
        if self.runs(name, "retriever", retriever):
            return retriever
        found = self.retrievals.take(name, query)
        return _copy(retriever, self._answer(found, (name, "retriever", query), _documents))

    def runs(self, name: str, kind: str, runs: Any) -> bool:
        """Whether a tool or retriever does its own work; a step is noted then."""
        if not self.under_test.is_live(name, runs):
            return False
        self.log(name, kind, "live", None, "code under test")
        return True

    def served_tool(
        self, name: str, arguments: Any, revive: Callable[[Any], Any]
    ) -> Callable[[], Any]:
        """What a tool's call comes to, from its recorded outputs."""
        return self._answer(self.tools.take(name, arguments), (name, "tool", arguments), revive)

    def _answer(
        self,
        taken: tuple[Recorded, str] | None,
        call: tuple[str, str, Any],
        revive: Callable[[Any], Any],
    ) -> Callable[[], Any]:
        """What the call does instead of its own work."""
        if taken is None:
            return self._unanswered(call, "no recorded call has these arguments")
        name, kind, _ = call
        found, fidelity = taken
        detail = "" if fidelity == "exact" else "identifiers or times differ"
        if found.get("error_type"):
            told = "; ".join(filter(None, (detail, "the recorded error")))
            self.log(name, kind, fidelity, found["run_id"], told)
            return lambda: fail(str(found["error_type"]), str(found["error_message"]))
        try:
            result = revive(found["output"])
        except _LostError as error:
            return self._unanswered(call, str(error))
        self.log(name, kind, fidelity, found["run_id"], detail)
        return lambda: result

    def _unanswered(self, call: tuple[str, str, Any], why: str) -> Callable[[], Any]:
        name, kind, arguments = call
        if self.unmatched is None:
            self.unmatched = {"kind": kind, "name": name, "arguments": arguments}
        self.log(name, kind, "unanswered", None, why)
        return lambda: _refuse(name, why)


class _LostError(Exception):
    """A recorded value is only a picture of the object it was."""


def _copy(runs: Any, answer: Callable[[], Any]) -> Any:
    """A copy of a tool or retriever whose own work is the answer."""
    twin = copy.copy(runs)

    def work(*args: Any, **kwargs: Any) -> Any:
        return answer()

    async def awork(*args: Any, **kwargs: Any) -> Any:
        return answer()

    for name in ("_run", "_get_relevant_documents"):
        if hasattr(runs, name):
            twin.__dict__[name] = work
            twin.__dict__["_a" + name[1:]] = awork
    return twin


def _refuse(name: str, why: str) -> Any:
    raise UnansweredError(f"refinery replay: {name!r} was not answered: {why}")


def fail(kind: str, message: str) -> Any:
    """Raise the recorded error, as the class of that name when one is known."""
    found = _error_class(kind)
    if found is KeyError:
        try:
            raise KeyError(ast.literal_eval(message))  # str() of a KeyError is the key's repr
        except (ValueError, SyntaxError):
            pass
    try:
        error = found(message)
    except (TypeError, ValueError, AttributeError, LookupError):  # it wants other arguments
        error = Exception(message)
    raise error


def _error_class(kind: str) -> type[Exception]:
    name = kind.rpartition(".")[2]
    if isinstance(found := getattr(builtins, name, None), type) and issubclass(found, Exception):
        return found
    for module in list(sys.modules.values()):
        held = vars(module).get(name) if isinstance(module, ModuleType) else None
        if isinstance(held, type) and issubclass(held, Exception):
            return held
    return type(name if name.isidentifier() else "RecordedError", (Exception,), {})


def _tool_output(outputs: Any, call_id: str | None) -> Any:
    """The value a tool returned, from the recorded outputs."""
    value = outputs["output"] if isinstance(outputs, dict) and "output" in outputs else outputs
    fields = _message_fields(value)
    if fields is None:
        return _command(value, call_id) if call_id and _is_command(value) else plain_value(value)
    if call_id is None:
        return fields.get("content")
    from langchain_core.messages import ToolMessage

    kept = {
        k: plain_value(fields[k]) for k in ("content", "artifact", "name", "status") if k in fields
    }
    return ToolMessage(**kept, tool_call_id=call_id)


def _message_fields(value: Any) -> dict[str, Any] | None:
    """Fields of a recorded tool message, dumped or plain; None when it is something else."""
    if not isinstance(value, dict):
        return None
    path = value.get("id")
    if isinstance(value.get("kwargs"), dict) and isinstance(path, list) and path:
        return value["kwargs"] if path[-1] == "ToolMessage" else None
    return value if value.get("type") == "tool" and "content" in value else None


def _is_command(value: Any) -> bool:
    return isinstance(value, dict) and {"update", "goto"} <= set(value)


def _command(value: dict[str, Any], call_id: str) -> Any:
    """A LangGraph command whose update may hold tool messages and plain values."""
    from langgraph.types import Command

    update = value["update"]
    if isinstance(update, dict):
        update = {
            key: [_tool_output(item, call_id) for item in held]
            if isinstance(held, list)
            else plain_value(held)
            for key, held in update.items()
        }
    if not isinstance(value["goto"], str | list | tuple) or _holds_objects(value["goto"]):
        raise _LostError("the recording has lost where the command goes")
    return Command(graph=value.get("graph"), update=update, goto=value["goto"])


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(not isinstance(item, str) for item in value)


def plain_value(value: Any) -> Any:
    """A recorded value as the program had it; documents become documents again.

    Raises:
        _LostError: the recording kept only a picture of the value.
    """
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__repr__" in value or value.get("type") == "not_implemented":
        raise _LostError("the recording kept only a picture of the result")
    if _is_document(value):
        return _document(value)
    return {key: plain_value(item) for key, item in value.items()}


def _is_document(value: dict[str, Any]) -> bool:
    fields = value.get("kwargs") if isinstance(value.get("kwargs"), dict) else value
    return isinstance(fields, dict) and isinstance(fields.get("page_content"), str)


def _document(value: dict[str, Any]) -> Any:
    from langchain_core.documents import Document

    fields = value["kwargs"] if isinstance(value.get("kwargs"), dict) else value
    return Document(
        page_content=fields["page_content"],
        metadata=fields.get("metadata") or {},
        id=fields.get("id") if isinstance(fields.get("id"), str) else None,
    )


def _documents(outputs: Any) -> list[Any]:
    """The documents a retriever returned, from the recorded outputs."""
    held = outputs
    if isinstance(outputs, dict):
        held = outputs.get("documents", outputs.get("output"))
    if not isinstance(held, list) or not all(
        isinstance(i, dict) and _is_document(i) for i in held
    ):
        raise _LostError("the recording has no documents")
    return [_document(item) for item in held]
