"""Which questions a trace can answer, and for those it cannot, what was not recorded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from refinery.model.failure import Answerable, Capability
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Run, RunKind, RunStatus, Trace
from refinery.replay.tape import entry_point

Answer = tuple[Answerable, str]
_YES, _PARTLY, _NO = Answerable.YES, Answerable.PARTLY, Answerable.NO


@dataclass(frozen=True, slots=True)
class _Parts:
    """The runs of a trace by what questions need of them."""

    trace: Trace
    models: Sequence[Run]
    tools: Sequence[Run]
    retrievers: Sequence[Run]


def capabilities_of(trace: Trace) -> tuple[Capability, ...]:
    """Every question that can be asked of a trace, in a fixed order, with the answer for it."""
    parts = _Parts(
        trace,
        _of_kind(trace, RunKind.LLM),
        _of_kind(trace, RunKind.TOOL),
        _of_kind(trace, RunKind.RETRIEVER, RunKind.RERANKER),
    )
    return tuple(Capability(name, title, *ask(parts)) for name, title, ask in _QUESTIONS)


def _of_kind(trace: Trace, *kinds: RunKind) -> list[Run]:
    return [run for run in trace.runs if run.kind in kinds]


def _share(runs: Sequence[Run], has: Callable[[Run], object], what: str) -> Answer:
    """Yes when every run has it, partly when some do."""
    having = sum(bool(has(run)) for run in runs)
    if having == len(runs):
        return _YES, f"{what} recorded for {_count(len(runs))}"
    if having:
        return _PARTLY, f"{what} recorded for {having} of {_count(len(runs))}"
    return _NO, f"no {what} recorded for {_count(len(runs))}"


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _outcome(parts: _Parts) -> Answer:
    root = parts.trace.root
    if root is None or root.parent_id is not None:
        return _NO, "the root run never arrived: the final answer is not known"
    running = sum(run.status is RunStatus.RUNNING for run in parts.trace.runs)
    if running:
        return _PARTLY, f"{_count(running)} not ended: what follows is not known"
    if root.outputs is None and root.error is None:
        return _PARTLY, "the root run has neither an answer nor an error"
    return _YES, "the root run has ended" + (" with an error" if root.error else "")


def _prompt(parts: _Parts) -> Answer:
    if not parts.models:
        return _NO, "no model call recorded: record the model client too, or its gateway"
    told, why = _share(parts.models, messages_in, "prompts")
    if told is _YES and not any(m.role == "system" for r in parts.models for m in messages_in(r)):
        return _PARTLY, f"{why}; no system prompt among them"
    if told is _NO:
        why += ": content capture may be off (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT)"
    return told, why


def _answers(parts: _Parts) -> Answer:
    if not parts.models:
        return _NO, "no model call recorded"
    ended = [run for run in parts.models if run.error is None]
    return _share(ended, messages_out, "answers") if ended else (_NO, "every model call failed")


def _parameters(parts: _Parts) -> Answer:
    if not parts.models:
        return _NO, "no model call recorded"
    return _share(parts.models, lambda run: run.params, "parameters")


def _tools(parts: _Parts) -> Answer:
    asked = [c for run in parts.models for m in messages_out(run) for c in m.tool_calls]
    if parts.tools:
        return _share(
            parts.tools,
            lambda run: run.inputs is not None and (run.outputs is not None or run.error),
            "arguments and results",
        )
    if not asked:
        return _YES, "no tool was asked for"
    results = any(m.role == "tool" for run in parts.models for m in messages_in(run))
    if results:
        return _PARTLY, "no tool run recorded; results are known from later prompts only"
    return _NO, f"{len(asked)} tool calls were asked for, and no tool run is recorded"


def _documents(parts: _Parts) -> Answer:
    if not parts.retrievers:
        return _NO, "no retriever recorded: what was looked up, and how old it was, is not known"
    return _share(parts.retrievers, lambda run: run.outputs, "documents")


def _cost(parts: _Parts) -> Answer:
    calls = [*parts.models, *_of_kind(parts.trace, RunKind.EMBEDDING)]
    if not calls:
        return _NO, "no model call recorded"
    if all(run.cost_usd is not None for run in calls):
        return _YES, "the source reported what each call cost"
    told, why = _share(calls, lambda run: run.usage, "token counts")
    if told is _NO:
        return _NO, f"{why}; for OpenAI streams ask for them with stream_options.include_usage"
    if not all(run.model_responded or run.model_requested for run in calls):
        return _PARTLY, f"{why}, but not every model's name"
    return told, f"{why}; prices are looked up by the model's name"


def _timing(parts: _Parts) -> Answer:
    root = parts.trace.root
    if root is not None and (root.metadata or {}).get("synthetic_times"):
        return _NO, "the source has no times; those shown are made up"
    ended = [run for run in parts.trace.runs if run.status is not RunStatus.RUNNING]
    return _share(ended, lambda run: run.duration_ms is not None, "start and end")


def _code(parts: _Parts) -> Answer:
    coded = sum(run.code is not None for run in parts.trace.runs)
    if coded:
        return _YES, f"file and line recorded for {_count(coded)}"
    if any(run.error and run.error.stack for run in parts.trace.runs):
        return _PARTLY, "no code recorded; the traceback names some of it"
    return _PARTLY, "no code recorded: places are found by name and by the text of prompts"


def _replay(parts: _Parts) -> Answer:
    root = parts.trace.root
    entry = entry_point(root) if root else None
    if entry is None:
        return _NO, (
            "no entry point recorded: record with `refinery record --input`, or name one in "
            "refinery.toml"
        )
    if entry.kind != "callable":
        return _NO, (
            f"recorded as the command {entry.target[:80]!r}, which cannot be called again with "
            "its answers from the tape; record with `refinery record --input`"
        )
    if not any(run.error is None and run.outputs is not None for run in parts.models):
        return _PARTLY, "the entry point is known, but no model answer to replay"
    if entry.commit is None:
        return _PARTLY, "the entry point is known; the code's commit is not: today's would run"
    return _YES, f"entry point {entry.target} at commit {entry.commit[:12]}"


def _people(parts: _Parts) -> Answer:
    root = parts.trace.root
    known = [
        name
        for name, value in (("session", root and root.session_id), ("user", root and root.user_id))
        if value
    ]
    if len(known) == 2:
        return _YES, "session and user recorded"
    if known:
        return _PARTLY, f"only the {known[0]} recorded"
    return _NO, "neither session nor user recorded"


_QUESTIONS: tuple[tuple[str, str, Callable[[_Parts], Answer]], ...] = (
    ("outcome", "how it ended", _outcome),
    ("prompt", "whether the prompt caused it", _prompt),
    ("answer", "whether the model's answers caused it", _answers),
    ("parameters", "whether model parameters caused it", _parameters),
    ("tools", "whether a tool caused it", _tools),
    ("retrieval", "whether what was looked up caused it", _documents),
    ("code", "which code did it", _code),
    ("replay", "whether it can be replayed", _replay),
    ("cost", "what it cost", _cost),
    ("timing", "where the time went", _timing),
    ("people", "whose conversation it was", _people),
)


def questions() -> Iterator[str]:
    """Names of the questions, in their order."""
    return (name for name, _, _ in _QUESTIONS)
