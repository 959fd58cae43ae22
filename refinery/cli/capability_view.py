"""How the questions a trace can answer look: as JSON and as a list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refinery.cli import output
from refinery.model.codec import encode
from refinery.model.failure import Answerable, Capability
from refinery.model.trace import Trace

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {Answerable.YES: "✓", Answerable.PARTLY: "◐", Answerable.NO: "✗"}
_COLOURS = {Answerable.YES: "green", Answerable.PARTLY: "magenta", Answerable.NO: "red"}


def to_document(trace: Trace, capabilities: Sequence[Capability]) -> dict[str, Any]:
    """`{"trace_id", "source", "capabilities": [{"question", "title", "answerable", "why"}]}`."""
    return {
        "trace_id": trace.trace_id,
        "source": trace.source,
        "capabilities": [encode(item) for item in capabilities],
    }


def show(trace: Trace, capabilities: Sequence[Capability], screen: "Console") -> None:
    """Draw one line a question: whether it can be answered, and why."""
    screen.print(f"Trace  {trace.trace_id}")
    screen.print(f"From   {output.safe(trace.source)}\n")
    width = max((len(item.title) for item in capabilities), default=0)
    for item in capabilities:
        mark = _MARKS[item.answerable]
        text = f"{mark} {item.title:<{width}}  {output.safe(item.why)}"
        screen.print(output.marked(text, _COLOURS[item.answerable]))
