"""Evidence: quotes that are known to stand verbatim in the run they are taken from."""

from refinery.model.failure import Evidence
from refinery.model.trace import Run
from refinery.model.walk import occurs

MAX_QUOTE = 240
"""Characters of one quote; chosen by us, a quote is read by people."""


def evidence(run: Run, *candidates: str) -> tuple[Evidence, ...]:
    """Evidence from the first candidate that stands verbatim in the run; empty when none does."""
    for candidate in candidates:
        quote = candidate.strip()[:MAX_QUOTE].strip()
        where = occurs(run, quote) if quote else None
        if where is not None:
            return (Evidence(run.run_id, quote, where),)
    return ()


def around(text: str, start: int, end: int) -> str:
    """The sentence or line around a place in a text, at most `MAX_QUOTE` characters."""
    marks = ("\n", ". ", "! ", "? ")
    begins = [at + len(mark) for mark in marks if (at := text.rfind(mark, 0, start)) >= 0]
    left = max([0, *begins])
    ends = [
        at + len(mark.rstrip()) for mark in (". ", "! ", "? ") if (at := text.find(mark, end)) >= 0
    ]
    newline = text.find("\n", end)
    right = min([*ends, newline if newline >= 0 else len(text), len(text)])
    if right - left > MAX_QUOTE:
        left = max(left, start - MAX_QUOTE // 3)
        right = min(right, left + MAX_QUOTE)
    return text[left : max(right, min(end, left + MAX_QUOTE))].strip()


def first_line(text: str) -> str:
    """The first line that is not empty."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def shortened(text: str, limit: int = 60) -> str:
    """One line of at most `limit` characters, for titles."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
