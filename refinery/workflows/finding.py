"""Finds text inside one trace."""

from collections.abc import Iterator
from dataclasses import dataclass

from refinery.model.codec import encode
from refinery.model.trace import Json, Run, Trace
from refinery.model.walk import texts

AROUND = 80
"""Characters shown before and behind what was found."""
MAX_HITS = 500
"""Most hits in one trace."""
MAX_HITS_OF_RUN = 20


@dataclass(frozen=True, slots=True)
class Hit:
    """A place in a run where the text occurs."""

    run_id: str
    where: str
    """Path inside the run, e.g. `inputs.messages.0.content`."""
    snippet: str


def in_trace(trace: Trace, text: str) -> list[Hit]:
    """Places where a text occurs as it is, upper and lower case alike; the first `MAX_HITS`."""
    wanted = text.lower()
    found: list[Hit] = []
    for run in trace.runs if wanted else ():
        for number, hit in enumerate(_in_run(run, wanted)):
            if len(found) == MAX_HITS or number == MAX_HITS_OF_RUN:
                break
            found.append(hit)
    return found


def _in_run(run: Run, wanted: str) -> Iterator[Hit]:
    named = [("name", run.name or "")]
    if run.error is not None:
        named.append(("error.message", run.error.message))
    seen = {path for path, _ in named}
    for path, text in (*named, *((p, t) for p, t in texts(run) if p not in seen)):
        place = text.lower().find(wanted)
        if place >= 0:
            yield Hit(run.run_id, str(encode(path[:300])), _snippet(text, place, len(wanted)))


def _snippet(text: str, place: int, length: int) -> str:
    """The text around a place; lower case may be longer, so the place is bounded."""
    start = max(0, min(place, len(text)) - AROUND)
    end = min(len(text), place + min(length, 200) + AROUND)
    shown = f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
    return str(encode(shown))


def hit_document(hit: Hit) -> dict[str, Json]:
    """A hit as JSON."""
    return {"run_id": hit.run_id, "where": hit.where, "snippet": hit.snippet}
