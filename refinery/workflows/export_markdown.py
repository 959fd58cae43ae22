"""Writes traces as markdown for a language model, within a budget of tokens.

What matters first: what is known of the trace, what failed, what was asked and answered, the
outline; then the other runs, dear and slow ones before the rest. Nothing is dropped in silence:
each value that was cut says how much is missing, and the end says which runs are not shown. Text
of a trace is data: secrets are taken out, hidden characters are shown, and a fence is longer than
any fence inside it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from refinery.errors import InputError
from refinery.model.trace import Json, Label, Run, RunKind, Trace
from refinery.safety.redact import redact
from refinery.safety.untrusted import visible
from refinery.workflows.token_count import Counter, counter

MIN_TOKENS = 300
"""Smallest budget: below it not even the failures of a trace can be told."""
_CLOSING = 120
"""Tokens kept for the last lines, which say what was left out; at most a third of the budget."""
_STACK = 1_500
"""Characters of a stack, from its end."""
_STACK_SHARE = 0.4
"""Share of what is left that a stack may take: what was asked and answered matters as well."""
_LARGEST_SHARE = 0.25
"""Share of what is left that one value may take."""
_LEAST_SHARE = 200
"""Tokens a trace gets as long as there are any, so that a few are told and not all begun."""
_NAMED = 12
"""Runs that are left out and named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The markdown, and what is not in it."""

    text: str
    tokens: int
    """As counted by `counter`."""
    counter: str
    is_estimated: bool
    runs: int
    shown: int
    """Runs whose inputs and outputs are in it, whole or cut."""
    cut_values: int


@dataclass(slots=True)
class _Page:
    counter: Counter
    left: int
    parts: list[str]
    heading: str = ""
    """Of a section, written with the first text below it."""
    shown: int = 0
    cut_values: int = 0
    traces_left_out: int = 0
    left_out: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was cut or left out."""
        return not (self.cut_values or self.traces_left_out or self.left_out)

    def add(self, text: str) -> bool:
        """Write a text when there is room for it."""
        whole = f"{self.heading}\n{text}" if self.heading else text
        cost = self.counter.count(whole) + 1
        if cost > self.left:
            return False
        self.parts.append(whole)
        self.heading = ""
        self.left -= cost
        return True


def export_markdown(traces: Sequence[tuple[Trace, Label | None]], max_tokens: int) -> Exported:
    """Traces as markdown of at most so many tokens, each with what it should have been.

    Args:
        traces: in the order they are written; each may use its share of what is left.
        max_tokens: the budget, counted with the provider's tokenizer when it is on this machine.

    Raises:
        InputError: the budget is too small to say anything.
    """
    if max_tokens < MIN_TOKENS:
        raise InputError(f"{max_tokens} tokens are too few", hint=f"give at least {MIN_TOKENS}")
    counting = counter(_provider(traces))
    closing = min(_CLOSING, max_tokens // 3)
    page = _Page(counting, max_tokens - closing, [])
    for part in _shared_out(counting, traces, page.left):
        page.parts += part.parts
        page.shown += part.shown
        page.cut_values += part.cut_values
        page.traces_left_out += part.traces_left_out
        page.left_out += part.left_out
    text = _closed(page, max_tokens)
    return Exported(
        text,
        counting.count(text),
        counting.name,
        counting.is_estimated,
        sum(len(trace.runs) for trace, _ in traces),
        page.shown,
        page.cut_values,
    )


def _shared_out(
    counting: Counter, traces: Sequence[tuple[Trace, Label | None]], budget: int
) -> list[_Page]:
    """A page for each trace: what the small ones do not need is shared out among the others."""

    def told(number: int, share: int) -> _Page:
        page = _Page(counting, share, [])
        _trace(page, *traces[number])
        return page

    least = budget // max(1, len(traces))
    pages = {number: told(number, least) for number in range(len(traces))}
    whole = {number: page for number, page in pages.items() if page.is_whole}
    left = budget - sum(least - page.left for page in whole.values())
    others = [number for number in pages if number not in whole]
    for at, number in enumerate(others):
        share = max(left // (len(others) - at), min(left, _LEAST_SHARE))
        pages[number] = told(number, share)
        left -= share - pages[number].left
    return [pages[number] for number in range(len(traces))]


def _closed(page: _Page, max_tokens: int) -> str:
    """The whole text with its last lines, never over the budget."""
    how = "estimated" if page.counter.is_estimated else f"counted with {page.counter.name}"
    body = "\n".join(page.parts)
    for named in (_NAMED, 3, 0):
        missing = _missing(page, named)
        closing = f"\n\n---\nLeft out: {missing}. Budget: {max_tokens} tokens ({how}).\n"
        if page.counter.count(body + closing) <= max_tokens:
            return body + closing
    while body and page.counter.count(body + closing) > max_tokens:
        body = body[: int(len(body) * 0.95)]
    return body + closing


def _missing(page: _Page, named: int) -> str:
    parts, left_out = [], page.left_out
    if page.traces_left_out:
        parts.append(f"{page.traces_left_out} traces")
    if left_out:
        names = ", ".join(left_out[:named])
        more = f" ({names}{', …' if len(left_out) > named else ''})" if named else ""
        parts.append(f"{len(left_out)} runs or errors{more}")
    if page.cut_values:
        values = "value" if page.cut_values == 1 else "values"
        parts.append(f"the ends of {page.cut_values} {values}")
    return "; ".join(parts) or "nothing"


def _provider(traces: Sequence[tuple[Trace, Label | None]]) -> str | None:
    found = {run.provider for trace, _ in traces for run in trace.runs if run.provider}
    return found.pop() if len(found) == 1 else None


def _trace(page: _Page, trace: Trace, label: Label | None) -> None:
    """Write one trace, and note what of it is not shown."""
    if not page.add("\n".join(_head(trace, label))):
        page.traces_left_out += 1
        return
    page.left_out += _failures(page, trace)
    page.heading = "\n## Outline\n"
    if outline := _outline(page, trace):
        page.add(outline)
    page.heading = "\n## Runs, the most telling first\n"
    page.left_out += [_title(run) for run in _by_importance(trace) if not _payloads(page, run)]
    page.heading = ""


def _failures(page: _Page, trace: Trace) -> list[str]:
    """Write what failed, the deepest and latest first; returns what is not shown."""
    page.heading = "\n## What failed\n"
    left_out: list[str] = []
    told: dict[tuple[str | None, str | None], str] = {}
    for run in reversed([run for run in trace.runs if run.is_failed]):
        said = (run.error.type, run.error.message) if run.error else (None, None)
        if said in told:  # raised on: the stack of where it came up says it
            text = f"### {_title(run)}\nThe same error as {told[said]}."
            is_shown = page.add(text)
        else:
            is_shown = _failure(page, run)
            if is_shown and run.error is not None:
                told[said] = _title(run)
        if not is_shown:
            left_out.append(f"the error of {_title(run)}")
    return left_out


def _head(trace: Trace, label: Label | None) -> Iterator[str]:
    root = trace.root
    yield f"# Trace {_line(root.name if root else None)} ({_line(trace.trace_id)})\n"
    errors = sum(run.is_failed for run in trace.runs)
    yield f"- status: {trace.status}; {len(trace.runs)} runs, {errors} failed"
    if root is not None and root.duration_ms is not None:
        yield f"- took {root.duration_ms:.0f} ms"
    yield f"- source: {_line(trace.source)}; project: {_line(trace.project)}"
    models = sorted(
        {run.model_responded or run.model_requested or "" for run in trace.runs} - {""}
    )
    if models:
        yield f"- models: {', '.join(_line(name) for name in models[:5])}"
    if label is not None:
        said = f": {_line(label.expectation, 500)}" if label.expectation else ""
        yield f"- labelled {label.outcome}{said}"


def _failure(page: _Page, run: Run) -> bool:
    """Write an error with the end of its stack, else alone, else its beginning."""
    title, error = f"### {_title(run)}", run.error
    if error is None:
        return page.add(title)
    cut = page.cut_values
    said = _fenced(_cut(page, f"{error.type}: {error.message}", 0.5))
    if error.stack:
        stack = "Stack, its end:\n" + _fenced(_safe(error.stack)[-_STACK:])
        has_room = page.counter.count(stack) <= page.left * _STACK_SHARE
        if has_room and page.add(f"{title}\n{said}\n{stack}"):
            return True
    if page.add(f"{title}\n{said}"):
        page.cut_values += bool(error.stack)  # its stack is missing
        return True
    page.cut_values = cut
    return False


def _outline(page: _Page, trace: Trace) -> str:
    """Names in tree order, as far as a fifth of the budget reaches."""
    depth: dict[str, int] = {}
    lines: list[str] = []
    room = page.left // 5
    for number, run in enumerate(trace.runs):
        depth[run.run_id] = depth.get(run.parent_id or "", -1) + 1
        took = "" if run.duration_ms is None else f" {run.duration_ms:.0f} ms"
        mark = " FAILED" if run.is_failed else ""
        line = f"{'  ' * min(depth[run.run_id], 20)}- {_title(run)}{took}{mark}"
        cost = page.counter.count(line) + 1
        if cost > room:
            lines.append(f"- … {len(trace.runs) - number} more")
            break
        room -= cost
        lines.append(line)
    return "\n".join(lines)


def _by_importance(trace: Trace) -> list[Run]:
    """Root, failed runs and what is around them, then dear and slow ones, then the rest."""
    root = trace.root
    failed = {run.run_id for run in trace.runs if run.is_failed}
    near = failed | {run.parent_id for run in trace.runs if run.run_id in failed}
    slowest = max((run.duration_ms or 0 for run in trace.runs), default=0) or 1

    def rank(item: tuple[int, Run]) -> tuple[int, float, int]:
        number, run = item
        if root is not None and run.run_id == root.run_id:
            return (0, 0, number)
        if run.run_id in failed:
            return (1, 0, -number)
        if run.run_id in near:
            return (2, 0, number)
        if run.kind in (RunKind.LLM, RunKind.TOOL, RunKind.RETRIEVER):
            return (3, -(run.duration_ms or 0) / slowest, number)
        return (4, 0, number)

    return [run for _, run in sorted(enumerate(trace.runs), key=rank)]


def _payloads(page: _Page, run: Run) -> bool:
    """Write what went in and came out of a run; False when there is no room."""
    lines = [f"\n### {_title(run)}{_facts(run)}"]
    cut = page.cut_values
    for title, value in (("in", run.inputs), ("out", run.outputs), ("why", run.reasoning)):
        if value not in (None, {}, [], ""):
            lines.append(f"{title}:\n" + _fenced(_cut(page, value, _LARGEST_SHARE)))
    if page.add("\n".join(lines)):
        page.shown += 1
        return True
    page.cut_values = cut
    return False


def _facts(run: Run) -> str:
    facts = [run.model_responded or run.model_requested or ""]
    usage = run.usage
    if usage is not None and usage.total is not None:
        facts.append(f"{usage.total} tokens")
    said = ", ".join(_line(fact) for fact in facts if fact)
    return f" ({said})" if said else ""


def _cut(page: _Page, value: Json, share: float) -> str:
    """A value as text, cut to its share of what is left."""
    cleaned = redact(value)[0]
    text = (
        cleaned
        if isinstance(cleaned, str)
        else json.dumps(cleaned, ensure_ascii=False, indent=1, default=str)
    )
    text = visible(text)
    room = max(30, int(page.left * share))
    if page.counter.count(text) <= room:
        return text
    low, high = 0, min(len(text), room * 8)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        if page.counter.count(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    page.cut_values += 1
    return f"{text[:low]}\n[… {len(text) - low} of {len(text)} characters left out]"


def _fenced(text: str) -> str:
    """A text between fences that nothing inside it can close."""
    longest = max((len(found) for found in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _safe(text: str) -> str:
    return visible(str(redact(text)[0]))


def _title(run: Run) -> str:
    return f"{run.kind or 'run'} {_line(run.name or run.run_id)}"


def _line(text: str | None, length: int = 100) -> str:
    """A name on one line."""
    if not text:
        return "-"
    return " ".join(_safe(text[:length]).split())
