"""The first pages: find the conversation, and mark where it went wrong."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from refinery import clock
from refinery.errors import RefineryError
from refinery.model.trace import Trace, TraceSummary
from refinery.ports import TraceFilter
from refinery.replay.variation import is_variation
from refinery.workflows import changes, repositories, traces, watch
from refinery.workflows.guide import conversation
from refinery.workflows.guide.context import Context
from refinery.workflows.guide.pages import Choice, Kind, Page

SHOWN = 8
"""Conversations on one page."""
_SEARCHED = 60
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SMALL_WORDS = """
    a about an and any asked at by conversation customer did for from i in it last me my of on one
    order said show that the to user was when where which who with
"""
_SMALL = frozenset(_SMALL_WORDS.split())


class Pick:
    """Which conversation went wrong."""

    def page(self, context: Context) -> Page:
        """The failures of late, or what a search found."""
        shown = _listed(context)
        context.session.listed = [trace.trace_id for trace, _ in shown]
        said = [*_returned(context), _heading(context, found=bool(shown))]
        return Page(
            step="pick",
            kind=Kind.ASK,
            title="Which conversation is it about?",
            said=tuple(text for text in said if text),
            choices=tuple(
                Choice(str(number), _label(trace, summary), _note(trace))
                for number, (trace, summary) in enumerate(shown, 1)
            ),
            question="Type a number, or search: words that were said, a customer, a day",
            takes_words=True,
            details=tuple(
                f"{n}: {t.trace_id} {s.status} {s.name}" for n, (t, s) in enumerate(shown, 1)
            ),
        )

    def take(self, context: Context, text: str) -> None:
        """Choose by number, or search."""
        number = _number(text, len(context.session.listed))
        if number is None and re.match(r"undo\b", text, re.IGNORECASE):
            context.session.query = text[4:200].strip()
            context.go("undo_pick")
            return
        if number is None:
            context.session.query = text[:200]
            return
        context.session.trace_id = context.session.listed[number]
        context.go("mark")


class Mark:
    """Where the conversation went wrong."""

    def page(self, context: Context) -> Page:
        """The conversation, line by line."""
        trace = context.trace
        lines = conversation.lines_of(trace, context.session.marked)
        numbered = [line.number for line in lines if line.number is not None]
        return Page(
            step="mark",
            kind=Kind.ASK,
            title="This is the conversation",
            lines=tuple(lines),
            question="Which line is wrong? Type its number",
            default=str(numbered[-1]),
            details=(f"conversation {trace.trace_id}",),
        )

    def take(self, context: Context, text: str) -> None:
        """Mark a line by its number."""
        lines = conversation.lines_of(context.trace)
        is_last = text.casefold().strip(" .!") in ("last", "the last", "the last one", "last line")
        number = len(lines) - 1 if is_last else _number(text, len(lines))
        if number is None or lines[number].number is None:
            context.again(f"Please type one of the numbers 1 to {len(lines)}.")
            return
        context.session.marked = number
        context.go("wrong")


def _listed(context: Context) -> list[tuple[Trace, TraceSummary]]:
    """The conversations of the page, newest first."""
    found: list[tuple[Trace, TraceSummary]] = []
    for summary in _matching(context):
        trace = context.load(summary.trace_id)
        if trace is not None and not is_variation(trace):
            found.append((trace, summary))
        if len(found) == SHOWN:
            break
    return found


def _matching(context: Context) -> Iterator[TraceSummary]:
    query, store = context.session.query, context.workspace.store
    if not query:
        failed = store.list_traces(TraceFilter(status="failed", limit=_SEARCHED))
        yield from failed
        known = {summary.trace_id for summary in failed}
        if len(failed) < SHOWN:
            others = store.list_traces(TraceFilter(limit=_SEARCHED))
            yield from (s for s in others if s.trace_id not in known and s.label != "pass")
        return
    yield from search(context, query)


def search(context: Context, query: str) -> list[TraceSummary]:
    """Conversations by what was said, by customer or by day; newest first."""
    store = context.workspace.store
    if named := _by_reference(context, query):
        return named
    since, until, rest = when(query)
    wanted = TraceFilter(since_ns=since, until_ns=until, limit=_SEARCHED)
    words = [w for w in re.findall(r"\w[\w'-]*", rest) if w.casefold() not in _SMALL]
    if not words:
        return store.list_traces(wanted) if since is not None else []
    for user in dict.fromkeys((rest.strip(), *words, " ".join(words))):
        if found := store.list_traces(replace(wanted, user_id=user)):
            return found
    if found := store.list_traces(replace(wanted, text=" ".join(words))):
        return found
    all_of_then = store.list_traces(replace(wanted, limit=_SEARCHED * 5))
    return [s for s in all_of_then if _holds(context, s, words)]


def when(query: str) -> tuple[int | None, int | None, str]:
    """The time frame in a search, and the rest of it.

    Understood are today, yesterday, days of the week, dates such as 2026-11-21 or 21.11.2026,
    and spans such as 3 days.
    """
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, tz=UTC).astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    text = query.casefold()
    for pattern, begin, days in _frames(text, midnight):
        if pattern in text:
            end = begin + timedelta(days=days)
            rest = re.sub(re.escape(pattern), " ", query, flags=re.IGNORECASE)
            return _ns(begin), _ns(end), rest
    span = re.search(r"\b(?:last |past )?(\d{1,3}) (hour|day|week)s?\b", text)
    if span:
        hours = int(span[1]) * {"hour": 1, "day": 24, "week": 168}[span[2]]
        rest = query[: span.start()] + query[span.end() :]
        return _ns(now - timedelta(hours=hours)), _ns(now), rest
    return None, None, query


def _frames(text: str, midnight: datetime) -> Iterator[tuple[str, datetime, int]]:
    """Words for days, the day each begins, and for how many days it lasts."""
    yield "yesterday", midnight - timedelta(days=1), 1
    yield "today", midnight, 1
    yield "this week", midnight - timedelta(days=midnight.weekday()), 7
    yield "last week", midnight - timedelta(days=midnight.weekday() + 7), 7
    for number, name in enumerate(_DAYS):
        yield name, midnight - timedelta(days=(midnight.weekday() - number) % 7), 1
    for shape in (r"(\d{4})-(\d{1,2})-(\d{1,2})", r"(\d{1,2})\.(\d{1,2})\.(\d{4})"):
        if date := re.search(shape, text):
            parts = [int(part) for part in date.groups()]
            year, month, day = parts if parts[0] > 31 else reversed(parts)
            try:
                yield date[0], midnight.replace(year=year, month=month, day=day), 1
            except ValueError:
                continue


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def _by_reference(context: Context, query: str) -> list[TraceSummary]:
    """The one conversation that is named as elsewhere on the command line: id, `latest-failed`."""
    is_name = query in ("latest", "latest-failed") or re.fullmatch(r"[0-9a-f-]{8,}", query)
    if not is_name:
        return []
    try:
        trace = traces.resolve(context.workspace, query)
    except RefineryError:
        return []
    listed = context.workspace.store.list_traces(TraceFilter(limit=1000))
    return [summary for summary in listed if summary.trace_id == trace.trace_id]


def _holds(context: Context, summary: TraceSummary, words: Sequence[str]) -> bool:
    trace = context.load(summary.trace_id)
    if trace is None:
        return False
    said = f"{conversation.said_by_customer(trace)} {conversation.answer(trace)}".casefold()
    return all(word.casefold() in said for word in words)


def _returned(context: Context) -> list[str]:
    """Which mistakes have come back after they were fixed."""
    back = watch.reopened(context.workspace.home)
    made_for = [c for c in changes.history(context.workspace.home) if c.change_id in back]
    found = (context.load(change.trace_id) for change in made_for)
    titles = (conversation.title(trace) for trace in found if trace is not None)
    return [f"A mistake that had been fixed is back: “{title}”." for title in titles]


def _heading(context: Context, *, found: bool) -> str:
    query = context.session.query
    if query and not found:
        return f"Nothing was found for “{query}”. Try a word the customer used, or a day."
    if query:
        return f"Found for “{query}”:"
    if found:
        return "These conversations went wrong of late, or nobody has looked at them yet:"
    return "No conversation has been recorded yet. An engineer can record some."


def _label(trace: Trace, summary: TraceSummary) -> str:
    who = f", {summary.user_id}" if summary.user_id else ""
    return f"{conversation.title(trace)} ({conversation.when(summary.start_ns)}{who})"


def _note(trace: Trace) -> str:
    return f"→ {conversation.shortened(conversation.answer(trace), 110)}"


def _number(text: str, count: int) -> int | None:
    """A number from 1 to `count`, as an index; None when it is none."""
    said = text.strip().removeprefix("#").rstrip(".")
    return int(said) - 1 if re.fullmatch(r"[1-9]\d{0,3}", said) and int(said) <= count else None


def can_be_tried(trace: Trace) -> bool:
    """Whether the recording says how the agent was started, so that it can be played again."""
    entry = repositories.entry_point(trace)
    return entry is not None and entry.kind == "callable"
