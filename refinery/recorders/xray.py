"""The X-Ray SDK: a pipeline told step by step, with the reasons and evaluations behind it.

    from refinery import XRay

    xray = XRay()
    with xray.trace("competitor selection") as trace:
        with trace.step("filter") as step:
            step.set_input({"candidates": 50})
            step.add_evaluation(item.id, item, {"price": True}, True, "within the range")
            step.set_output({"kept": 12})

Steps nest by where they are: a step inside another one is its child, also across `await` and
tasks. On a thread that does not carry the context, a step hangs below the trace, or the step,
whose method began it. An exception ends the step with its error and goes on to the caller.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from refinery.model.trace import Evaluation, RunKind, Usage
from refinery.recorders import switch
from refinery.recorders._book import Book
from refinery.recorders._guards import guarded, lose, safely, text
from refinery.recorders._hand import About, Call, begin, caller
from refinery.recorders._wrapping import wrapper

MAX_EVALUATIONS = 10_000
"""Most evaluations kept of one step; further ones are counted in
`metadata["refinery"]["evaluations_omitted"]`."""

F = TypeVar("F", bound=Callable[..., Any])


class XRay:
    """Begins traces; making one switches recording on, unless `REFINERY_RECORD=0`.

    Args:
        project: name the traces are filed under; default: the project folder's name.
        folder: the `.refinery` folder to write to; default: the process's, that is the nearest
            one, or a new one beside the repository's root.
        book: open runs to share with another recorder; overrides the other two.
    """

    def __init__(
        self,
        project: str | None = None,
        folder: Path | str | None = None,
        *,
        book: Book | None = None,
    ) -> None:
        self._book = book or _own_book(project, Path(folder) if folder else None)

    def trace(
        self,
        name: str,
        *,
        session: str | None = None,
        user: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> "Step":
        """A trace, to be used as `with xray.trace("name") as trace:`; also `async with`.

        Inside another run it is a child of that run.

        Args:
            name: name of its root run.
            session: the thread or conversation it belongs to.
            user: whom it was for.
            metadata: anything else to find it by.
        """
        about = safely(
            About,
            name=name,
            kind=RunKind.CHAIN,
            source="xray",
            metadata=metadata,
            session_id=session,
            user_id=user,
        )
        return Step(about, book=self._book)

    def step(self, name: str, *, metadata: Mapping[str, Any] | None = None) -> "Step":
        """A step of whatever run is around it; a trace of its own when there is none."""
        return Step(_about_step(name, metadata), book=self._book)


class Step:
    """A step of a trace, or the trace itself, while it lasts.

    Outside of its `with` statement nothing can be told of it: what is tried is counted.
    """

    def __init__(
        self, about: About | None, *, above: "Step | None" = None, book: Book | None = None
    ) -> None:
        self._about = about
        self._above = above
        self._book = book
        self._call: Call | None = None
        self._has_begun = False
        self._omitted = 0

    @property
    def run_id(self) -> str | None:
        """Id of its run; None before it begins and when recording is off."""
        return self._call.run_id if self._call else None

    @property
    def id(self) -> str | None:
        """The same as `run_id`; of a trace that is nobody's child, the id of the trace."""
        return self.run_id

    def step(self, name: str, *, metadata: Mapping[str, Any] | None = None) -> "Step":
        """A step below this one, to be used as `with trace.step("name") as step:`.

        Inside a step of this trace it is a child of that step. Also `async with`, and as a
        decorator that makes each call of a function a step.
        """
        return Step(_about_step(name, metadata), above=self, book=self._book)

    def set_input(self, value: Any = None, /, **named: Any) -> None:
        """Say what goes in: a mapping, named values, or any one value, kept as `input`."""
        self._tell_values("inputs", "input", value, named)

    def set_output(self, value: Any = None, /, **named: Any) -> None:
        """Say what comes out: a mapping, named values, or any one value, kept as `output`."""
        self._tell_values("outputs", "output", value, named)

    def set_reasoning(self, reasoning: str) -> None:
        """Say why the step decided as it did."""
        self._tell_text("reasoning", reasoning)

    @guarded
    def set_metadata(self, key: Any = None, value: Any = None, /, **named: Any) -> None:
        """Add metadata: a key and its value, a mapping, or named values."""
        if (call := self._open("metadata")) is None:
            return
        told = dict(key) if isinstance(key, Mapping) else {} if key is None else {text(key): value}
        held = call.copy({**told, **named})
        call.further["metadata"] = {**call.further.get("metadata", {}), **held}

    def set_session(self, session: str) -> None:
        """Say which thread or conversation the trace belongs to."""
        self._tell_text("session_id", session)

    def set_user(self, user: str) -> None:
        """Say whom the trace was for."""
        self._tell_text("user_id", user)

    @guarded
    def add_evaluation(
        self,
        item_id: Any,
        item_data: Any = None,
        filters: Any = None,
        qualified: bool | None = None,
        reasoning: str | None = None,
    ) -> None:
        """Say how one item was judged.

        Args:
            item_id: what tells the item from the others.
            item_data: the item.
            filters: what it was held against, e.g. `{"price": True, "rating": False}`.
            qualified: whether it passed; None: undecided.
            reasoning: why.
        """
        if (call := self._open("an evaluation")) is None:
            return
        kept = call.further.setdefault("evaluations", [])
        if len(kept) >= MAX_EVALUATIONS:
            self._omitted += 1
            return
        evaluation = Evaluation(
            item_id=text(item_id),
            item=call.copy(item_data),
            filters=call.copy(filters),
            qualified=None if qualified is None else bool(qualified),
            reasoning=None if reasoning is None else text(reasoning),
        )
        kept.append(evaluation)

    @guarded
    def add_llm_metadata(
        self,
        model: str | None = None,
        tokens_used: int | None = None,
        temperature: float | None = None,
        *,
        provider: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | Decimal | None = None,
        **params: Any,
    ) -> None:
        """Say which model the step asked, and how; tokens and costs of several calls add up.

        Args:
            model: the model, as it was asked for.
            tokens_used: tokens read and written.
            temperature: sampling temperature.
            provider: who serves the model.
            input_tokens: tokens read.
            output_tokens: tokens written.
            cost_usd: cost of the call in US dollars.
            params: further parameters of the call, e.g. `max_tokens`.
        """
        if (call := self._open("model metadata")) is None:
            return
        fields = call.further
        if model is not None:
            fields["model_requested"] = text(model)
        if provider is not None:
            fields["provider"] = text(provider)
        given = {**({} if temperature is None else {"temperature": temperature}), **params}
        if given:
            fields["params"] = {**fields.get("params", {}), **call.copy(given)}
        fields["usage"] = _added(fields.get("usage"), tokens_used, input_tokens, output_tokens)
        if cost_usd is not None:
            fields["cost_usd"] = fields.get("cost_usd", Decimal(0)) + Decimal(str(cost_usd))
            fields["cost_source"] = "reported"

    def __enter__(self) -> "Step":
        self._begin(2)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    async def __aenter__(self) -> "Step":
        self._begin(2)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    def __call__(self, function: F) -> F:
        """Make each call of a function a step of this name, with its arguments and result."""
        above = self._above._call if self._above else None
        return cast("F", wrapper(function, self._about, above=above, book=self._book))

    @guarded
    def _begin(self, depth: int) -> None:
        if self._has_begun:
            lose("a step was entered twice", self._book)
            return
        self._has_begun = True
        above = self._above._call if self._above else None
        if self._above and not self._above._has_begun:
            lose("a step of a trace that was never entered", self._book)
        subject = caller(depth + 1)
        self._call = begin(self._about, subject=subject, above=above, book=self._book)

    @guarded
    def _end(self, error: BaseException | None) -> None:
        call = self._call
        if call is None:
            return
        if self._omitted:
            call.note("evaluations_omitted", self._omitted)
        call.end(error)

    @guarded
    def _tell_text(self, field: str, value: Any) -> None:
        if (call := self._open(field)) is not None:
            call.further[field] = text(value)

    @guarded
    def _tell_values(self, field: str, name: str, value: Any, named: dict[str, Any]) -> None:
        if (call := self._open(field)) is None:
            return
        told = {} if value is None and named else {name: value}
        if type(value) is dict or isinstance(value, Mapping):
            told = {text(key): item for key, item in value.items()}
        call.further[field] = call.hold({**told, **named})

    def _open(self, what: str) -> Call | None:
        """Its run while it lasts; otherwise None, and what was to be told is counted."""
        if self._call is not None and self._call.is_open:
            return self._call
        if self._call is not None or not self._has_begun:
            lose(f"{what} told outside of its step", self._call.book if self._call else self._book)
        return None


@guarded
def _about_step(name: str, metadata: Mapping[str, Any] | None) -> About:
    return About(name, RunKind.STEP, "xray", "step", (), metadata)


def _added(
    known: Usage | None, total: int | None, read: int | None, written: int | None
) -> Usage | None:
    """Tokens of the calls so far and of one more; None when no call reported any."""
    if total is None and read is not None and written is not None:
        total = int(read) + int(written)
    if total is None and read is None and written is None:
        return known
    before = known or Usage()
    return Usage(
        input=_sum(before.input, read),
        output=_sum(before.output, written),
        total=_sum(before.total, total),
    )


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + int(more)


@guarded
def _own_book(project: str | None, folder: Path | None) -> Book | None:
    """Where an `XRay` keeps its runs; None: where the process keeps its own."""
    if switch.record_by_hand(project=project, folder=folder) or not switch.is_enabled():
        return None
    from refinery.recorders._folder import spool_folder
    from refinery.recorders.sink import shared_sink

    return Book(shared_sink(spool_folder(folder)), project=project)
