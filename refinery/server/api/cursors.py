"""Cursors of trace lists as text: the place behind which the next page begins."""

import base64
import binascii
import re

from refinery.errors import InputError
from refinery.model.trace import TraceSummary

_FORM = re.compile(r"(?:(-?[0-9]{1,19})|n)\.(.{1,500})", re.DOTALL)


def after(summary: TraceSummary) -> str:
    """The cursor of the page behind a trace."""
    start = "n" if summary.start_ns is None else str(summary.start_ns)
    text = f"{start}.{summary.trace_id}"
    return base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")


def place(cursor: str | None) -> tuple[int | None, str] | None:
    """What a cursor means; None for the first page.

    Raises:
        InputError: it is none of ours.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), b"-_", validate=True).decode()
        found = _FORM.fullmatch(text)
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise InputError(
            "the cursor is none of this list", hint="leave it out to start from the first page"
        )
    return (int(found[1]) if found[1] else None, found[2])
