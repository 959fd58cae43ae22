"""An interaction: what was asked and answered in one trace, in the words that were recorded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from refinery.model.codec import encode
from refinery.model.messages import answer_text, messages_in
from refinery.model.trace import Json, Run, RunKind, Trace, TraceSummary
from refinery.model.walk import strings

MAX_EMBEDDED = 2_000
"""Characters of question and of answer that are embedded. Longer ones are cut in the middle: the
point of a message is mostly at its ends (chosen by us)."""
MAX_CONTEXT = 1_000_000
"""Characters of a verbatim context that the index keeps; the trace store always has the whole."""
MAX_CYCLES = 1_000
"""Child runs of one interaction that the index keeps."""
_ASKED = ("question", "query", "input", "prompt", "message", "text", "content", "task", "topic")


@dataclass(frozen=True, slots=True)
class Interaction:
    """One root run, ready for the index."""

    summary: TraceSummary
    run_id: str
    kinds: frozenset[str]
    """Kinds of all runs of the trace."""
    asked: str
    answered: str
    error: str
    """Type and message of the error that ended it; empty without one."""
    context: str
    """Inputs and outputs of the root as JSON, verbatim up to `MAX_CONTEXT`."""
    cycles: tuple["Cycle", ...]

    @property
    def text(self) -> str:
        """What is embedded."""
        return embedded_text(self.asked, self.answered, self.error)

    @property
    def text_hash(self) -> bytes:
        """16 bytes that stand for the embedded text."""
        return blake2b(self.text.encode("utf-8", "replace"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Cycle:
    """One run below the root: a step of reasoning, a model call or an action."""

    run_id: str
    parent_id: str | None
    position: int
    """From 0, in tree order."""
    name: str
    kind: str
    status: str
    start_ns: int | None
    end_ns: int | None
    reasoning: str
    context: str
    """Inputs, outputs and error as JSON, verbatim up to `MAX_CONTEXT`."""


def embedded_text(asked: str, answered: str, error: str) -> str:
    """What of an interaction is embedded."""
    parts = (_ends(asked), _ends(answered), _ends(error))
    return "\n".join(part for part in parts if part)


def interaction_of(summary: TraceSummary, trace: Trace) -> Interaction | None:
    """The interaction of a trace; None when it has no runs."""
    root = trace.root
    if root is None:
        return None
    below = [run for run in trace.runs if run is not root]
    return Interaction(
        summary=summary,
        run_id=root.run_id,
        kinds=frozenset(str(run.kind) for run in trace.runs if run.kind),
        asked=asked_of(trace)[:MAX_CONTEXT],
        answered=answer_text(root.outputs)[:MAX_CONTEXT],
        error=f"{root.error.type}: {root.error.message}" if root.error else "",
        context=_verbatim({"inputs": root.inputs, "outputs": root.outputs}),
        cycles=tuple(_cycle(run, number) for number, run in enumerate(below[:MAX_CYCLES])),
    )


def asked_of(trace: Trace) -> str:
    """What the user asked: first and last message of a user, a field of a usual name, else all.

    The first says what a long conversation is about, the last is what is answered.

    When the root was given nothing, the first model call that was given something says it.
    """
    root = trace.root
    calls = [run for run in trace.runs if run.kind is RunKind.LLM]
    for run in (root, *calls) if root else calls:
        if text := _question(run):
            return text
    return ""


def _question(run: Run) -> str:
    asked = [m.text for m in messages_in(run) if m.role == "user" and m.text.strip()]
    if asked:
        return asked[0] if len(asked) == 1 else f"{asked[0]}\n{asked[-1]}"
    inputs = run.inputs
    if isinstance(inputs, Mapping):
        for key in _ASKED:
            if isinstance(inputs.get(key), str) and inputs[key].strip():
                return str(inputs[key])
    return "\n".join(text for _, text in strings(inputs))[:MAX_CONTEXT]


def _cycle(run: Run, position: int) -> Cycle:
    said = {"inputs": run.inputs, "outputs": run.outputs, "error": run.error}
    return Cycle(
        run_id=run.run_id,
        parent_id=run.parent_id,
        position=position,
        name=run.name or "",
        kind=str(run.kind or ""),
        status=str(run.status or "unknown"),
        start_ns=run.start_ns,
        end_ns=run.end_ns,
        reasoning=(run.reasoning or "")[:MAX_CONTEXT],
        context=_verbatim(said),
    )


def _verbatim(value: Json) -> str:
    return json.dumps(encode(value), ensure_ascii=False)[:MAX_CONTEXT]


def _ends(text: str) -> str:
    text = text.strip()
    if len(text) <= MAX_EMBEDDED:
        return text
    half = MAX_EMBEDDED // 2
    return f"{text[:half]}\n{text[-half:]}"
