"""Splits a multipart body (RFC 2046 section 5.1.1) that is in memory already."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from refinery.server.answers import RequestError
from refinery.server.limits import Limits

_BOUNDARY = re.compile(r';[ \t]*boundary=(?:"([^"]{1,200})"|([^;,\s"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb'(?i:content-disposition):[^\r\n]*?;[ \t]*name="([^"\r\n]*)"')
_TYPE = re.compile(rb"(?im:^content-type):[ \t]*([^\r\n;]*)")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the body."""

    name: str
    content_type: str
    content: bytes


@dataclass(slots=True)
class Parts:
    """The parts of a body in order; `is_whole` is known once they have been read."""

    body: bytes
    boundary: bytes
    limits: Limits
    is_whole: bool = False
    """Whether the body has its closing delimiter; else its last part is missing."""
    nameless: int = 0
    """Parts whose headers cannot be read."""

    def __iter__(self) -> Iterator[Part]:
        """Split the body.

        Raises:
            RequestError: it has more parts than allowed.
        """
        delimiter = b"--" + self.boundary
        start = self._opening(delimiter)
        count = 0
        while start is not None:
            end, following = self._end(start, b"\r\n" + delimiter)
            if end is None:
                return
            count += 1
            if count > self.limits.parts:
                raise RequestError(413, f"the body has more than {self.limits.parts:,} parts")
            part = self._part(start, end)
            if part is not None:
                yield part
            start = following

    def _opening(self, delimiter: bytes) -> int | None:
        """Where the first part begins; None when there is none."""
        at = 0 if self.body.startswith(delimiter) else self.body.find(b"\r\n" + delimiter) + 2
        if at < len(delimiter) and at != 0:
            return None
        return self._after(at + len(delimiter))

    def _end(self, start: int, delimiter: bytes) -> tuple[int | None, int | None]:
        """Where a part's content ends and the next part begins."""
        at = start - 2  # an empty part may end with the line break that opened it
        while (at := self.body.find(delimiter, at)) >= 0:
            after = at + len(delimiter)
            if self.body.startswith(b"--", after):
                self.is_whole = True
                return at, None
            if (following := self._after(after)) is not None:
                return at, following
            at = after  # a longer line that only begins like the delimiter
        return None, None

    def _after(self, at: int) -> int | None:
        """Past the blanks and the line break that end a delimiter; None when it does not end."""
        if self.body.startswith(b"--", at):
            self.is_whole = True
            return None
        line_end = self.body.find(b"\r\n", at, at + 256)
        if line_end < 0 or self.body[at:line_end].strip(b" \t"):
            return None
        return line_end + 2

    def _part(self, start: int, end: int) -> Part | None:
        split = self.body.find(b"\r\n\r\n", start, min(end, start + self.limits.part_header_bytes))
        named = _NAME.search(self.body, start, split) if split >= 0 else None
        if named is None:
            self.nameless += 1
            return None
        kind = _TYPE.search(self.body, start, split)
        return Part(
            named[1].decode("utf-8", "replace"),
            kind[1].decode("latin-1").strip() if kind else "",
            self.body[split + 4 : end],
        )


def split(body: bytes, content_type: str, limits: Limits) -> Parts:
    """The parts of a body.

    Raises:
        RequestError: the content type names no boundary.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise RequestError(400, "the content type names no boundary")
    return Parts(body, (found[1] or found[2]).encode("latin-1", "replace"), limits)
