"""Splits a multipart body (RFC 2046 section 5.1.1) that is in memory already."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from refinery.errors import TraceFormatError

_BOUNDARY = re.compile(r';[ \t]*boundary=(?:"([^"]{1,200})"|([^;,\s"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb'(?i:content-disposition):[^\r\n]*?;[ \t]*name="([^"\r\n]*)"')
_TYPE = re.compile(rb"(?im:^content-type):[ \t]*([^\r\n;]*)")
_USUAL = re.compile(
    rb'Content-Disposition: form-data; name="([^"\r\n]{1,1000})"\r\n'
    rb"Content-Type: ([A-Za-z/+.-]{1,100})\r\nContent-Length: ([0-9]{1,10})\r\n\r\n"
)
"""Headers as LangSmith's clients write them, in their order (SDK 0.14, Python)."""


class NoBoundaryError(TraceFormatError):
    """The content type names no boundary."""


class TooManyPartsError(TraceFormatError):
    """A body has more parts than are taken."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most that is read of one body."""

    parts: int = 20_000
    header_bytes: int = 8192
    """Headers of one part."""


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
    bounds: Bounds
    is_whole: bool = False
    """Whether the body has its closing delimiter; else its last part is missing."""
    nameless: int = 0
    """Parts whose headers cannot be read."""

    def __iter__(self) -> Iterator[Part]:
        """Split the body.

        Raises:
            TooManyPartsError: it has more parts than allowed.
        """
        opening = b"--" + self.boundary
        delimiter = b"\r\n" + opening
        start = self._opening(opening)
        count = 0
        while start is not None:
            count += 1
            found = self._usual(start, delimiter) or self._any(start, delimiter)
            if found is None:
                return
            part, following = found
            if count > self.bounds.parts:
                raise TooManyPartsError(
                    f"the body has more than {self.bounds.parts:,} parts",
                    hint="send smaller batches",
                )
            if part is not None:
                yield part
            start = following

    def _usual(self, start: int, delimiter: bytes) -> tuple[Part, int | None] | None:
        """A part with the usual headers and the length they tell, and where the next begins.

        None when it is not as they say: then only its delimiter tells where it ends.
        """
        headers = _USUAL.match(self.body, start)
        if headers is None:
            return None
        begin = headers.end()
        end = begin + int(headers[3])
        after = end + len(delimiter)
        # The first delimiter ends a part, whatever length it tells; a line break before the
        # content may be its first.
        if (
            not self.body.startswith(delimiter, end)
            or self.body.find(delimiter, begin - 2, end) >= 0
        ):
            return None
        following = self._after(after)
        if following is None and not self.body.startswith(b"--", after):
            return None
        content_type = headers[2].decode("latin-1")
        part = Part(headers[1].decode("utf-8", "replace"), content_type, self.body[begin:end])
        return part, following

    def _any(self, start: int, delimiter: bytes) -> tuple[Part | None, int | None] | None:
        """A part whatever its headers, and where the next begins; None when it does not end."""
        end, following = self._end(start, delimiter)
        return None if end is None else (self._part(start, end), following)

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
        if self.body.startswith(b"\r\n", at):
            return at + 2
        if self.body.startswith(b"--", at):
            self.is_whole = True
            return None
        line_end = self.body.find(b"\r\n", at, at + 256)
        if line_end < 0 or self.body[at:line_end].strip(b" \t"):
            return None
        return line_end + 2

    def _part(self, start: int, end: int) -> Part | None:
        split = self.body.find(b"\r\n\r\n", start, min(end, start + self.bounds.header_bytes))
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


def split(body: bytes, content_type: str, bounds: Bounds = Bounds()) -> Parts:  # frozen
    """The parts of a body.

    Raises:
        NoBoundaryError: the content type names no boundary.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise NoBoundaryError(
            "the content type names no boundary", hint="send it as the client made it"
        )
    return Parts(body, (found[1] or found[2]).encode("latin-1", "replace"), bounds)
