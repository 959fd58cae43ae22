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
from refinery.recorders import _chat, _context, _source, _told
from refinery.recorders._book import Book, Sink, ending
from refinery.recorders._failures import Failure
from refinery.recorders._folder import spool_folder
from refinery.recorders._interrupts import Interrupts
from refinery.recorders._snapshot import Snapshot, snapshot
from refinery.recorders._told import AS_IS, NOTHING, Beginning
from refinery.recorders.sink import shared_sink

_KINDS = {kind.value: kind for kind in RunKind}
_CALLBACK = 2
"""Frames of ours above `owner`: a callback and the guard around it."""
_THREAD = ("thread_id", "session_id", "conversation_id")
MAX_IDS = 20_000
"""Most ids whose text is remembered; chosen by us, as many as runs may be open."""
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
        self._ids: dict[Any, str] = {}
        """Texts of the ids of runs at work; each is asked for by its children and at its end."""

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
        held, size_bytes = _told.held(inputs, "input")
        native = str(about.get("run_type") or "chain")
        owner = _source.owner(_CALLBACK)
        kind = _KINDS.get(native, RunKind.CHAIN)
        if _told.is_agent(owner):
            kind = RunKind.AGENT
        fields = {"kind": kind, "native_kind": native, "inputs": held}
        self._start(serialized, about, Beginning(fields, size_bytes, owner, inputs))

    @_guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **about: Any) -> None:
        """A chain ends; streamed chains tell their inputs only now."""
        held, size_bytes = _told.held(outputs, "output")
        fields = {"outputs": held}
        if (late := about.get("inputs")) is not None:
            fields["inputs"], more_bytes = _told.held(late, "input")
            size_bytes += more_bytes
        self._finish(run_id, fields, size_bytes)

    @_guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A chain ends with an exception."""
        self._fail(run_id, error, about)

    @_guarded
    def on_chat_model_start(
        self, serialized: dict[str, Any] | None, messages: Any, **about: Any
    ) -> None:
        """A chat model is called."""
        held, size_bytes = snapshot(_chat.messages(messages, AS_IS))
        owner = _source.owner(_CALLBACK)
        self._start_model(serialized, about, Beginning({"inputs": held}, size_bytes, owner))

    @_guarded
    def on_llm_start(
        self, serialized: dict[str, Any] | None, prompts: list[str], **about: Any
    ) -> None:
        """A text model is called."""
        held, size_bytes = snapshot({"prompts": list(prompts)})
        owner = _source.owner(_CALLBACK)
        self._start_model(serialized, about, Beginning({"inputs": held}, size_bytes, owner))

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
        fields, size_bytes = _told.answer(response)
        self._finish(run_id, fields, size_bytes)

    @_guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A model call ends with an exception, perhaps after part of the answer."""
        partial = about.get("response")
        if getattr(partial, "generations", None) and (run := self.book.get(str(run_id))):
            run.fields.update(_told.answer(partial)[0])
        self._fail(run_id, error, about)

    @_guarded
    def on_tool_start(
        self, serialized: dict[str, Any] | None, input_str: str, **about: Any
    ) -> None:
        """A tool is called."""
        given = about.get("inputs")
        held, size_bytes = _told.held(given if isinstance(given, dict) else input_str, "input")
        fields = {"kind": RunKind.TOOL, "native_kind": "tool", "inputs": held}
        if (call_id := about.get("tool_call_id")) is not None:
            about["metadata"] = {**(about.get("metadata") or {}), "tool_call_id": call_id}
        owner = _source.owner(_CALLBACK)
        self._start(serialized, about, Beginning(fields, size_bytes, owner))

    @_guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **about: Any) -> None:
        """A tool has answered."""
        held, size_bytes = _told.held_models({"output": output})
        self._finish(run_id, {"outputs": held}, size_bytes)

    @_guarded
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A tool ends with an exception."""
        self._fail(run_id, error, about)

    @_guarded
    def on_retriever_start(
        self, serialized: dict[str, Any] | None, query: str, **about: Any
    ) -> None:
        """A retriever is asked."""
        held, size_bytes = snapshot({"query": query})
        fields = {"kind": RunKind.RETRIEVER, "native_kind": "retriever", "inputs": held}
        about["name"] = about.get("name") or "Retriever"
        owner = _source.owner(_CALLBACK)
        self._start(serialized, about, Beginning(fields, size_bytes, owner))
        run_id = str(about["run_id"])
        if len(self._marks) < MAX_MARKS:
            self._marks[run_id] = _context.enter(run_id, self.book, is_reported=True)

    @_guarded
    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **about: Any) -> None:
        """A retriever has answered."""
        self._leave(run_id)
        held, size_bytes = snapshot(_chat.documents(documents, AS_IS))
        self._finish(run_id, {"outputs": held}, size_bytes)

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
        self, serialized: dict[str, Any] | None, about: dict[str, Any], begun: Beginning
    ) -> None:
        told = _chat.model_fields(
            about.get("invocation_params") or {}, about.get("metadata") or {}, AS_IS
        )
        for name in ("params", "tools"):
            if told[name] is not None:
                told[name], size_bytes = snapshot(told[name])
                begun.size_bytes += size_bytes
        begun.fields = {"kind": RunKind.LLM, "native_kind": "llm", **begun.fields, **told}
        self._start(serialized, about, begun)
        _context.enter_model_call(self.book, self._id(about["run_id"]))

    def _start(
        self,
        serialized: Mapping[str, Any] | None,
        about: Mapping[str, Any],
        begun: Beginning,
    ) -> None:
        fields, owner, is_graph = begun.fields, begun.owner, _told.is_graph(begun.owner)
        fields["name"] = _told.name_of(serialized, about.get("name"))
        if tags := about.get("tags"):
            fields["tags"] = [str(tag) for tag in tags]
        if metadata := about.get("metadata"):
            fields["session_id"] = _told.first_text(metadata, *_THREAD)
            fields["user_id"] = _told.first_text(metadata, "user_id")
            self._keep_metadata(metadata, begun, is_graph)
        parent = about.get("parent_run_id")
        run = self.book.start(
            self._id(about["run_id"]),
            _context.parent_of_reported(self._id(parent) if parent else None),
            fields,
            size_bytes=begun.size_bytes,
            subject=_source.subject_of(owner, fields["kind"]) if owner is not None else None,
        )
        if is_graph:
            self._interrupts.began(run)

    def _keep_metadata(
        self, metadata: Mapping[str, Any], begun: Beginning, is_graph: bool
    ) -> None:
        fields = begun.fields
        if not is_graph and "langgraph_node" not in metadata:
            fields["metadata"], size_bytes = snapshot(dict(metadata))
            begun.size_bytes += size_bytes
            return
        taker = Snapshot()
        fields["metadata"] = taker.take(dict(metadata))  # `Interrupts` reads it
        begun.size_bytes += taker.size_bytes
        if begun.given is not NOTHING:
            links = self._interrupts.links(begun.given, is_graph, fields)
            fields["links"] = links or None

    def _id(self, run_id: Any) -> str:
        """The text of a run's id; a UUID takes longest of all to be written."""
        ids = self._ids
        known = ids.get(run_id)
        if known is None:
            if len(ids) >= MAX_IDS:
                ids.clear()
            known = ids[run_id] = str(run_id)
        return known

    def _finish(self, run_id: UUID, fields: dict[str, Any], size_bytes: int) -> None:
        known = self._ids.pop(run_id, None)
        self.book.finish(known or str(run_id), fields, size_bytes=size_bytes)

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
        fields, notes = ending(error)
        run.note(notes)
        if notes.get("cancelled") == "interrupt":
            self._interrupts.interrupted(run)
        size_bytes = 0
        if (late := about.get("inputs")) is not None:
            fields["inputs"], size_bytes = _told.held(late, "input")
        self._finish(run_id, fields, size_bytes)
