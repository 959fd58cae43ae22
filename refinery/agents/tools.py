"""Read-only tools of the analyst: runs, text search, located source. None of them writes."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from refinery.agents.digest import Handles, describe_run
from refinery.llm.router import Tool
from refinery.model.failure import SourceLocation
from refinery.model.trace import Trace
from refinery.model.walk import texts
from refinery.safety.redact import redact
from refinery.safety.untrusted import fence

PAGE = 12_000
"""Characters one call returns at most."""
MAX_HITS = 20
MAX_SOURCE_BYTES = 400_000
MAX_SOURCE_LINES = 250
_CONTEXT = 120
_SECRET_NAMES = (".pem", ".key", ".p12", ".pfx", ".keystore")


class Reader:
    """What the analyst may read; remembers what it did.

    Args:
        trace: the trace under analysis.
        handles: of the same trace.
        root: the repository; None offers no source.
        located: places in it that are worth reading first.
    """

    def __init__(
        self,
        trace: Trace,
        handles: Handles,
        root: Path | None,
        located: Sequence[SourceLocation] = (),
    ) -> None:
        self._trace = trace
        self._handles = handles
        self._root = root.resolve() if root else None
        self._located = located
        self._texts: dict[str, str] = {}
        self.extents: dict[str, str] = {}
        """`whole` or `part` by run id, for the runs that were read with a tool."""

    def tools(self) -> tuple[Tool, ...]:
        """The tools, as a model is offered them."""
        text = {"type": "string"}
        number = {"type": "integer"}
        found = [
            _tool(
                "read_run",
                "Read one run in full, by its handle. Long runs come in pages: pass `offset`.",
                {"run": text, "offset": number},
                self.read_run,
            ),
            _tool(
                "search_trace",
                "Find every place in the trace where a text occurs, ignoring case.",
                {"text": text},
                self.search_trace,
            ),
        ]
        if self._root:
            places = ", ".join(f"{p.file}:{p.line_start}" for p in self._located[:8])
            hint = f" Places tied to the trace: {places}." if places else ""
            found.append(
                _tool(
                    "read_source",
                    f"Read lines of a file of the agent's repository.{hint}",
                    {"path": text, "first_line": number, "last_line": number},
                    self.read_source,
                )
            )
        return tuple(found)

    def read_run(self, arguments: Mapping[str, Any]) -> str:
        """A page of a run, fenced."""
        run = self._handles.run(str(arguments.get("run", "")))
        if run is None:
            return f"There is no such run; handles go from R1 to R{len(self._handles)}."
        if run.run_id not in self._texts:
            self._texts[run.run_id] = describe_run(run, self._handles)
        whole = self._texts[run.run_id]
        offset = min(max(_number(arguments.get("offset"), 0), 0), len(whole))
        end = min(offset + PAGE, len(whole))
        if offset == 0 and end == len(whole):
            self.extents[run.run_id] = "whole"
        else:
            self.extents.setdefault(run.run_id, "part")
        rest = f"\n{len(whole) - end} characters follow; offset {end}." if end < len(whole) else ""
        return fence(whole[offset:end]) + rest

    def search_trace(self, arguments: Mapping[str, Any]) -> str:
        """Where a text occurs, fenced."""
        wanted = str(arguments.get("text", "")).strip().lower()
        if not wanted:
            return "Say which text to find."
        hits = (
            f"{self._handles.name(run.run_id)} {path}: …{_around(text, wanted)}…"
            for run in self._trace.runs
            for path, text in texts(run)
            if wanted in text.lower()
        )
        lines = list(islice(hits, MAX_HITS + 1))
        if not lines:
            return "It occurs nowhere in the trace."
        more = "\nThere are more; search for something longer." if len(lines) > MAX_HITS else ""
        return fence(str(redact("\n".join(lines[:MAX_HITS]))[0])) + more

    def read_source(self, arguments: Mapping[str, Any]) -> str:
        """Numbered lines of a file, fenced."""
        if self._root is None:
            return "There is no repository to read."
        name = str(arguments.get("path", ""))
        source = readable_source(self._root, name)
        if source is None:
            return f"{name!r} is no text file of the repository that may be read."
        first = max(_number(arguments.get("first_line"), 1), 1)
        last = _number(arguments.get("last_line"), first + MAX_SOURCE_LINES - 1)
        return fence(numbered(source, first, min(last, first + MAX_SOURCE_LINES - 1)), "source")


def readable_source(root: Path, name: str) -> str | None:
    """Text of a repository file, secrets redacted; None when it may not be read.

    Refused are paths out of the root (also through symbolic links), hidden files and folders,
    key files, files over `MAX_SOURCE_BYTES` and files that are not UTF-8 text.
    """
    try:
        home = root.resolve()
        path = (home / name).resolve()
        inside = path.relative_to(
            home
        ).as_posix()  # a link may lead to another name, so check both
        if not (may_be_shown(name) and may_be_shown(inside) and path.is_file()):
            return None
        if path.stat().st_size > MAX_SOURCE_BYTES:
            return None
        return shown_source(path.read_bytes())
    except (OSError, ValueError):
        return None


def may_be_shown(name: str) -> bool:
    """Whether a model may see a file of this name: relative, nothing hidden, no key file."""
    path = Path(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not (path.is_absolute() or hidden or path.suffix.lower() in _SECRET_NAMES)


def shown_source(content: bytes) -> str | None:
    """Text of a file with secrets redacted; None when it is too large or no UTF-8 text."""
    if len(content) > MAX_SOURCE_BYTES or b"\0" in content:
        return None
    try:
        return str(redact(content.decode("utf-8"))[0])
    except UnicodeDecodeError:
        return None


def numbered(source: str, first: int, last: int) -> str:
    """Lines `first` to `last` of a text, from 1 and inclusive, with their numbers."""
    lines = source.splitlines()[first - 1 : last]
    return "\n".join(f"{number:4} | {line}" for number, line in enumerate(lines, start=first))


def _tool(
    name: str,
    description: str,
    properties: Mapping[str, Any],
    run: Callable[[Mapping[str, Any]], str],
) -> Tool:
    first = next(iter(properties))
    schema = {"type": "object", "properties": dict(properties), "required": [first]}
    return Tool(name, description, schema, run)


def _number(value: object, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return default
    try:
        return int(value)
    except (ValueError, OverflowError):
        return default


def _around(text: str, wanted: str) -> str:
    at = text.lower().find(wanted)
    cut = text[max(at - _CONTEXT, 0) : at + len(wanted) + _CONTEXT]
    return " ".join(cut.split())
