"""Listens to LangChain and LangGraph: every run they report becomes a run of ours.

The tree is the one LangSmith's own tracer draws: each callback run is a run, also those tagged
`langsmith:hidden`; a run whose parent was never reported is a root, or a child of what is
recorded by hand around it. Beyond it: an interrupt, an
abandoned stream and a cancelled task end as `cancelled`, and runs of the user's own functions,
tools and retrievers say where their source is.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from langchain_core.callbacks.base import BaseCallbackHandler

from refinery.model.trace import RunKind
from refinery.recorders import _chat, _context, _source
from refinery.recorders._book import Book, Sink, ending
from refinery.recorders._failures import Failure
from refinery.recorders._folder import spool_folder
from refinery.recorders._interrupts import Interrupts
from refinery.recorders._snapshot import Snapshot
from refinery.recorders.sink import shared_sink

_KINDS = {kind.value for kind in RunKind}
_THREAD = ("thread_id", "session_id", "conversation_id")
AS_IS = _chat.AsIs()
MAX_MARKS = 1_000
"""Most retrievers at work at once that are known to what is recorded inside them."""
Callback = TypeVar("Callback", bound=Callable[..., None])


def _guarded(method: Callback) -> Callback:
    """Swallow and count whatever goes wrong inside a callback."""

    @functools.wraps(method)
    def call(self: "RefineryCallbackHandler", *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise  # the host's own
        except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
            with contextlib.suppress(Exception):  # a sink of the user's may be broken too
                self.book.sink.lose(f"{type(error).__name__} in {method.__name__}")

    return cast("Callback", call)  # the same signature, which `wraps` cannot tell mypy


class RefineryCallbackHandler(BaseCallbackHandler):
    """Records every run it is told of.

    Args:
        sink: where views of runs go; default: the spool of the project.
        project: name the traces are filed under; default: none.
        book: open runs to share with another recorder; overrides the other two.
    """

    run_inline = True
    raise_error = False

    def __init__(
        self, sink: Sink | None = None, project: str | None = None, *, book: Book | None = None
    ) -> None:
        self.active = True
        """Whether callbacks are recorded; `stop` turns it off."""
        self.book = book or Book(sink or shared_sink(spool_folder()), project=project)
        self._interrupts = Interrupts()
        self._marks: dict[str, _context.Mark] = {}
        """Retrievers at work; what is recorded by hand inside them is their child."""

    @property
    def ignore_llm(self) -> bool:
        """Whether model callbacks are left alone."""
        return not self.active

    ignore_retry = ignore_chain = ignore_agent = ignore_retriever = ignore_llm
    ignore_chat_model = ignore_custom_event = ignore_llm

    def __copy__(self) -> "RefineryCallbackHandler":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "RefineryCallbackHandler":
        return self

    @_guarded
    def on_chain_start(self, serialized: dict[str, Any] | None, inputs: Any, **about: Any) -> None:
        """A chain, graph, node, prompt or parser begins."""
        taker = Snapshot()
        held = taker.hold(inputs if isinstance(inputs, dict) else {"input": inputs})
        native = str(about.get("run_type") or "chain")
        owner = _source.owner()
        kind = RunKind(native) if native in _KINDS else RunKind.CHAIN
        if _is_agent(owner):
            kind = RunKind.AGENT
        fields = {"kind": kind, "native_kind": native, "inputs": held}
        self._start(serialized, {**about, "given": inputs}, fields, taker, owner)

    @_guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **about: Any) -> None:
        """A chain ends; streamed chains tell their inputs only now."""
        taker = Snapshot()
        fields: dict[str, Any] = {
            "outputs": taker.hold(outputs if isinstance(outputs, dict) else {"output": outputs})
        }
        if (late := about.get("inputs")) is not None:
            fields["inputs"] = taker.hold(late if isinstance(late, dict) else {"input": late})
        self.book.finish(str(run_id), fields, size_bytes=taker.size_bytes)

    @_guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A chain ends with an exception."""
        self._fail(run_id, error, about)

    @_guarded
    def on_chat_model_start(
        self, serialized: dict[str, Any] | None, messages: Any, **about: Any
    ) -> None:
        """A chat model is called."""
        taker = Snapshot()
        self._start_model(serialized, taker.hold(_chat.messages(messages, AS_IS)), about, taker)

    @_guarded
    def on_llm_start(
        self, serialized: dict[str, Any] | None, prompts: list[str], **about: Any
    ) -> None:
        """A text model is called."""
        taker = Snapshot()
        self._start_model(serialized, taker.hold({"prompts": list(prompts)}), about, taker)

    @_guarded
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **about: Any) -> None:
        """A token arrives; the first one's time is kept."""
        self._first_token(run_id)

    @_guarded
    def on_stream_event(self, event: Any, *, run_id: UUID, **about: Any) -> None:
        """An event of the newer streaming protocol arrives."""
        self._first_token(run_id)

    @_guarded
    def on_llm_end(self, response: Any, *, run_id: UUID, **about: Any) -> None:
        """A model has answered."""
        taker = Snapshot()
        fields = _answer(response, taker)
        self.book.finish(str(run_id), fields, size_bytes=taker.size_bytes)

    @_guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A model call ends with an exception, perhaps after part of the answer."""
        partial = about.get("response")
        if getattr(partial, "generations", None):
            taker = Snapshot()
            if run := self.book.get(str(run_id)):
                run.fields.update(_answer(partial, taker))
        self._fail(run_id, error, about)

    @_guarded
    def on_tool_start(
        self, serialized: dict[str, Any] | None, input_str: str, **about: Any
    ) -> None:
        """A tool is called."""
        taker = Snapshot()
        given = about.get("inputs")
        held = taker.hold(given if isinstance(given, dict) else {"input": input_str})
        fields = {"kind": RunKind.TOOL, "native_kind": "tool", "inputs": held}
        if (call_id := about.get("tool_call_id")) is not None:
            about["metadata"] = {**(about.get("metadata") or {}), "tool_call_id": call_id}
        self._start(serialized, about, fields, taker, _source.owner())

    @_guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **about: Any) -> None:
        """A tool has answered."""
        taker = Snapshot()
        fields = {"outputs": taker.hold({"output": output})}
        self.book.finish(str(run_id), fields, size_bytes=taker.size_bytes)

    @_guarded
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A tool ends with an exception."""
        self._fail(run_id, error, about)

    @_guarded
    def on_retriever_start(
        self, serialized: dict[str, Any] | None, query: str, **about: Any
    ) -> None:
        """A retriever is asked."""
        taker = Snapshot()
        fields = {
            "kind": RunKind.RETRIEVER,
            "native_kind": "retriever",
            "inputs": taker.hold({"query": query}),
        }
        about["name"] = about.get("name") or "Retriever"
        self._start(serialized, about, fields, taker, _source.owner())
        run_id = str(about["run_id"])
        if len(self._marks) < MAX_MARKS:
            self._marks[run_id] = _context.enter(run_id, self.book, is_reported=True)

    @_guarded
    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **about: Any) -> None:
        """A retriever has answered."""
        self._leave(run_id)
        taker = Snapshot()
        fields = {"outputs": taker.hold(_chat.documents(documents, AS_IS))}
        self.book.finish(str(run_id), fields, size_bytes=taker.size_bytes)

    @_guarded
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A retriever ends with an exception."""
        self._leave(run_id)
        self._fail(run_id, error, about)

    @_guarded
    def on_retry(self, retry_state: Any, *, run_id: UUID, **about: Any) -> None:
        """A run is tried again."""
        outcome = getattr(retry_state, "outcome", None)
        failed = outcome.exception() if outcome is not None and outcome.failed else None
        noted = {
            "attempt": getattr(retry_state, "attempt_number", None),
            "slept": getattr(retry_state, "idle_for", None),
        }
        if failed is not None:
            told = Failure(failed)
            noted |= {"exception_type": told.type, "exception": told.message}
        self.book.add_event(str(run_id), "retry", noted)

    @_guarded
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **about: Any) -> None:
        """The user's code dispatched an event of its own."""
        self.book.add_event(str(run_id), str(name), data)

    def _start_model(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        about: dict[str, Any],
        taker: Snapshot,
    ) -> None:
        fields = {
            "kind": RunKind.LLM,
            "native_kind": "llm",
            "inputs": inputs,
            **_chat.model_fields(
                about.get("invocation_params") or {}, about.get("metadata") or {}, taker
            ),
        }
        self._start(serialized, about, fields, taker, _source.owner())
        _context.enter_model_call(self.book, str(about["run_id"]))

    def _start(
        self,
        serialized: Mapping[str, Any] | None,
        about: Mapping[str, Any],
        fields: dict[str, Any],
        taker: Snapshot,
        owner: Any,
    ) -> None:
        metadata = about.get("metadata") or {}
        tags = about.get("tags")
        fields |= {
            "name": _name(serialized, about.get("name")),
            "tags": [str(tag) for tag in tags] if tags else None,
            "metadata": taker.take(dict(metadata)) or None,
            "session_id": _first_text(metadata, *_THREAD),
            "user_id": _first_text(metadata, "user_id"),
        }
        is_graph = _is_graph(owner)
        if "given" in about and (is_graph or "langgraph_node" in metadata):
            fields["links"] = self._interrupts.links(about["given"], is_graph, fields) or None
        run_id, parent = str(about["run_id"]), about.get("parent_run_id")
        run = self.book.start(
            run_id,
            _context.parent_of_reported(str(parent) if parent else None),
            fields,
            size_bytes=taker.size_bytes,
            subject=_source.subject_of(owner, str(fields["kind"])) if owner is not None else None,
        )
        if is_graph:
            self._interrupts.began(run)

    def _leave(self, run_id: UUID) -> None:
        mark = self._marks.pop(str(run_id), None)
        if mark is not None:
            _context.leave(mark)

    def _first_token(self, run_id: UUID) -> None:
        run = self.book.get(str(run_id))
        if run and "first_token_ns" not in run.fields:
            run.fields["first_token_ns"] = self.book.now(run)

    def _fail(self, run_id: UUID, error: BaseException, about: Mapping[str, Any]) -> None:
        run = self.book.get(str(run_id))
        if run is None:
            return
        taker = Snapshot()
        fields, notes = ending(error)
        run.extra |= notes
        if notes.get("cancelled") == "interrupt":
            self._interrupts.interrupted(run)
        if (late := about.get("inputs")) is not None:
            fields["inputs"] = taker.hold(late if isinstance(late, dict) else {"input": late})
        self.book.finish(str(run_id), fields, size_bytes=taker.size_bytes)


def _answer(response: Any, taker: Snapshot) -> dict[str, Any]:
    return {
        "outputs": taker.hold(_chat.generations(response, AS_IS)),
        "usage": _chat.usage(response),
        "model_responded": _chat.model_responded(response),
    }


def _is_graph(owner: Any) -> bool:
    """Whether it is a LangGraph graph, and not one of its nodes."""
    return type(owner).__module__.startswith("langgraph.") and hasattr(owner, "nodes")


def _is_agent(owner: Any) -> bool:
    """Whether a graph was made by `langchain.agents.create_agent`."""
    if not type(owner).__module__.startswith("langgraph."):
        return False
    config = getattr(owner, "config", None)
    metadata = config.get("metadata") if isinstance(config, dict) else None
    return isinstance(metadata, dict) and "langchain_create_agent" in str(
        metadata.get("ls_integration")
    )


def _name(serialized: Mapping[str, Any] | None, name: Any) -> str:
    """The name LangSmith would show: the given one, else the class's."""
    if name is not None:
        return str(name)
    known = serialized or {}
    if known.get("name"):
        return str(known["name"])
    path = known.get("id")
    return str(path[-1]) if isinstance(path, list) and path else "Unnamed"


def _first_text(metadata: Mapping[str, Any], *names: str) -> str | None:
    found = next((metadata[name] for name in names if metadata.get(name) is not None), None)
    return None if found is None else str(found)
