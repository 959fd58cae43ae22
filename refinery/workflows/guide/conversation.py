"""A trace as people read it: who said what, and what the agent looked up and did."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise

from refinery import clock
from refinery.model.messages import answer_text, messages_in, parse, tool_calls
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace
from refinery.model.walk import of_kind, strings
from refinery.workflows.guide.pages import Line

CUSTOMER, AGENT, LOOKED_UP, DID, NOTE = "Customer", "Agent", "looked up", "did", "note"
MAX_LINES = 60
"""Most lines of a conversation that are shown; the middle is left out."""
MAX_TEXT = 600
"""Characters of one line."""
_SAYS = ("question", "message", "input", "query", "text", "prompt", "request", "content")
"""Fields of an input that hold what a customer says, the likeliest first."""
_EARLIER = ("history", "earlier", "messages", "chat_history")
_READS = re.compile(
    r"(?:search|find|look|get|read|fetch|list|query|retriev|check|show|count)", re.IGNORECASE
)
"""Names of helpers that only look something up."""
_BROKE_OFF = "(The agent broke off here and gave no answer.)"


def lines_of(trace: Trace, marked: int | None = None) -> list[Line]:
    """The lines of a conversation, in the order they came; numbered from 1.

    Args:
        trace: the conversation.
        marked: number of the line that is wrong, from 0.
    """
    found = [*_spoken(trace), *_done(trace), (AGENT, answer(trace))]
    if len(found) > MAX_LINES:
        half = MAX_LINES // 2
        left = len(found) - 2 * half
        found = [*found[:half], (NOTE, f"({left} more lines are left out)"), *found[-half:]]
    return [
        Line(who, shortened(text), None if who == NOTE else at + 1, at == marked)
        for at, (who, text) in enumerate(found)
    ]


def question(trace: Trace) -> str:
    """What the customer asked last; empty when nothing was said."""
    spoken = [text for who, text in _spoken(trace) if who == CUSTOMER]
    return spoken[-1] if spoken else ""


def said_by_customer(trace: Trace) -> str:
    """Everything the customer said, joined by newlines."""
    return "\n".join(text for who, text in _spoken(trace) if who == CUSTOMER)


def answer(trace: Trace) -> str:
    """What the agent answered in the end, or that it broke off."""
    root = trace.root
    if root is None or trace.status is RunStatus.ERROR:
        return _BROKE_OFF
    return result_text(root.outputs) or "(The agent gave no answer.)"


def result_text(value: Json) -> str:
    """A result in words: its text, or its fields one after the other."""
    if isinstance(value, Mapping) and value and not _is_spoken(value):
        return "; ".join(f"{plain_name(str(k))}: {_flat(v)}" for k, v in value.items())
    if value in (None, "", {}, []):
        return ""
    text = answer_text(value)
    return _flat(value) if text[:1] in "{[" and not isinstance(value, str) else text


def title(trace: Trace) -> str:
    """A conversation in one line: what was asked."""
    return shortened(question(trace) or answer(trace), 90)


def when(ns: int | None) -> str:
    """A time as people say it: `today 14:03`, `yesterday 9:10`, `12 March 2026 14:03`."""
    if ns is None or not 0 <= ns < 2**63:
        return "at an unknown time"
    moment = datetime.fromtimestamp(ns / 1e9, tz=UTC).astimezone()
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, tz=UTC).astimezone()
    hour = f"{moment.hour}:{moment.minute:02}"
    days = (now.date() - moment.date()).days
    if days in (0, 1):
        return f"{'yesterday' if days else 'today'} {hour}"
    return f"{moment.day} {moment:%B %Y} {hour}"


def plain_name(name: str) -> str:
    """A name from a program as words: `look_up_order` becomes `look up order`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\s_.\-]+", parted)).strip().casefold()[:60]


def helpers(trace: Trace) -> list[str]:
    """Names of what the agent used, in order, each once; as the program calls them."""
    used = [run.name or "" for run in of_kind(trace, RunKind.TOOL)]
    asked = [call.name for run in of_kind(trace, RunKind.LLM) for call in tool_calls(run)]
    return list(dict.fromkeys(name for name in (used or asked) if name))


def shortened(text: str, most: int = MAX_TEXT) -> str:
    """Text with runs of blanks as one, cut at a length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= most else joined[: most - 1].rstrip() + "…"


def _spoken(trace: Trace) -> Iterator[tuple[str, str]]:
    """What was said before the agent set to work."""
    root = trace.root
    yield from _turns(_unwrapped(root.inputs if root else None))


def _unwrapped(value: Json) -> Json:
    """The argument of an entry point without the one name it was passed by."""
    while isinstance(value, Mapping) and len(value) == 1:
        (inner,) = value.values()
        if not isinstance(inner, Mapping | str):
            break
        value = inner
    return value


def _turns(value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield CUSTOMER, value
    elif isinstance(value, list):
        yield from _messages(value)
    elif isinstance(value, Mapping):
        for name in _EARLIER:
            yield from _messages(value.get(name))
        said = next((value[n] for n in _SAYS if isinstance(value.get(n), str)), None)
        rest = {k: v for k, v in value.items() if k not in _EARLIER and v is not said}
        told = "; ".join(f"{plain_name(str(k))}: {_flat(v)}" for k, v in rest.items())
        if said is None and told:
            yield CUSTOMER, told
        elif said is not None:
            yield CUSTOMER, f"{said} ({told})" if told else said


def _messages(value: Json) -> Iterator[tuple[str, str]]:
    """Messages of a list; plain texts in it are what the customer said."""
    if not isinstance(value, list):
        return
    roles = {"user": CUSTOMER, "assistant": AGENT}
    for item in value:
        if isinstance(item, str):
            yield CUSTOMER, item
        else:
            found = (m for m in parse(item) if m.role in roles and m.text)
            yield from ((roles[m.role], m.text) for m in found)


def _done(trace: Trace) -> Iterator[tuple[str, str]]:
    """What the agent looked up and did, in the order it began."""
    runs = of_kind(trace, RunKind.TOOL, RunKind.RETRIEVER)
    for run in sorted(runs, key=lambda run: run.start_ns or 0):
        yield _step(run)
    if not runs:
        yield from _asked_for(trace)


def _step(run: Run) -> tuple[str, str]:
    name = plain_name(run.name or "something")
    given = _flat(_unwrapped(run.inputs))
    if run.is_failed:
        return DID, f"{name} ({given}): this did not work"
    came = _found(run.outputs)
    is_lookup = run.kind is RunKind.RETRIEVER or bool(_READS.match(run.name or ""))
    who = LOOKED_UP if is_lookup else DID
    return who, f"{name} ({given}): {came or 'nothing came back'}"


def _found(value: Json) -> str:
    """What came back, without the fields nobody reads."""
    inner = value
    if isinstance(inner, Mapping):
        inner = next((inner[n] for n in ("documents", "output") if n in inner), inner)
    if isinstance(inner, list):
        texts = [_document(item) for item in inner[:20]]
        return " · ".join(f"“{shortened(text, 240)}”" for text in texts if text)
    return _document(inner)


def _document(item: Json) -> str:
    if isinstance(item, Mapping):
        text = next(
            (item[n] for n in ("page_content", "content", "text") if isinstance(item.get(n), str)),
            None,
        )
        return text if text is not None else _flat(item)
    return _flat(item)


def _asked_for(trace: Trace) -> Iterator[tuple[str, str]]:
    """What the agent did where only its own requests were recorded, with what came back."""
    models = of_kind(trace, RunKind.LLM)
    for run, following in pairwise(models):
        results = {m.tool_call_id: m.text for m in messages_in(following) if m.role == "tool"}
        for call in tool_calls(run):
            who = LOOKED_UP if _READS.match(call.name) else DID
            came = results.get(call.call_id) or "nothing came back"
            yield who, f"{plain_name(call.name)} ({_flat(call.arguments)}): {came}"


def _is_spoken(value: Mapping[str, Json]) -> bool:
    """Whether a result holds one text a person would read."""
    text = answer_text(value)
    return bool(text) and text[:1] not in "{["


def _flat(value: Json) -> str:
    """A value as words: its texts and numbers, without brackets and quotes."""
    if isinstance(value, Mapping):
        pairs = ((plain_name(str(k)), v) for k, v in value.items())
        return ", ".join(f"{k} {_flat(v)}" if len(value) > 1 else _flat(v) for k, v in pairs)
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shortened(str(value), 240)


def passage_around(trace: Trace, wanted: str, most: int = 200) -> str:
    """The sentence of what the agent looked up that holds a text; empty when none does."""
    for run in of_kind(trace, RunKind.RETRIEVER, RunKind.TOOL, RunKind.LLM):
        given = run.inputs if run.kind is RunKind.LLM else run.outputs
        for _, text in strings(given):
            for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
                if wanted.casefold() in sentence.casefold():
                    return shortened(sentence, most)
    return ""
