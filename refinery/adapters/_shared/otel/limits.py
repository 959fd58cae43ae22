"""Most of a request that is read; what is left out is said in the run it belongs to."""

from collections.abc import Mapping
from typing import Final

from refinery.errors import TraceFormatError
from refinery.model.trace import Json

MAX_ITEMS: Final = 100_000
"""Spans or log records of one request. Chosen by us: exporters send 512 at a time."""

MAX_ATTRIBUTE_CHARS: Final = 8 * 2**20
"""Longest text of one attribute; OpenTelemetry itself sets no limit."""

MAX_VALUE_DEPTH: Final = 60
"""Deepest nesting of one value, also of JSON in a text: what reads it recurses. Chosen by us,
above what protobuf's own readers take (100 messages, of which a level needs two or three)."""

MAX_ENTRIES: Final = 10_000
"""Attributes, events or links of one span, each."""

_CUT = "… [cut: {} characters in all]"


class Budget:
    """Counts what a request holds, and notes what was cut from the span being read."""

    def __init__(self) -> None:
        self._items = 0
        self._cut: list[str] = []
        self._dropped: dict[str, int] = {}
        self._name = ""

    def count_item(self) -> None:
        """One more span or record.

        Raises:
            TraceFormatError: there are more than `MAX_ITEMS`.
        """
        self._items += 1
        if self._items > MAX_ITEMS:
            raise TraceFormatError(
                f"the request holds more than {MAX_ITEMS} spans or records",
                hint="send smaller batches",
            )

    def begin(self) -> None:
        """The next span or record: nothing of it is cut yet."""
        self._cut, self._dropped = [], {}

    def notes(self) -> dict[str, Json]:
        """What was cut or left out since `begin`."""
        notes: dict[str, Json] = {}
        if self._cut:
            notes["cut"] = list(self._cut)
        if self._dropped:
            notes["left_out"] = dict(self._dropped)
        return notes

    def limited(self, entries: Json, what: str) -> list[Json]:
        """At most `MAX_ENTRIES` of a list; the number left out is noted under `what`."""
        if not isinstance(entries, list):
            return []
        if len(entries) > MAX_ENTRIES:
            self._dropped[what] = len(entries) - MAX_ENTRIES
            return entries[:MAX_ENTRIES]
        return entries

    def named(self, name: str, value: Json) -> Json:
        """The value; if it was cut, the note says under which name."""
        if self._cut and self._cut[-1] == "":
            self._cut[-1] = name
        return value

    def text(self, text: str) -> str:
        """Text no longer than `MAX_ATTRIBUTE_CHARS`, without lone surrogates."""
        if len(text) > MAX_ATTRIBUTE_CHARS:
            self._cut.append("")
            text = text[:MAX_ATTRIBUTE_CHARS] + _CUT.format(len(text))
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def is_too_deep(self, depth: int) -> bool:
        """Whether values this deep are cut."""
        if depth <= MAX_VALUE_DEPTH:
            return False
        self._cut.append("")
        return True

    def plain(self, value: Json, depth: int = 0) -> Json:
        """Plain JSON with long texts and deep nesting cut."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return number(value)
        if isinstance(value, Mapping | list) and self.is_too_deep(depth):
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): self.plain(item, depth + 1) for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.plain(item, depth + 1) for item in value]
        return value


def number(value: float) -> Json:
    """A number any JSON writer takes; as text when it is too large, or not finite."""
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else f"{value:#x}"
    return value if value - value == 0 else str(value)
