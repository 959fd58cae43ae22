"""Exceptions as data: what is taken on the host's thread, and written out on the writer's.

An exception that passes through many recorded functions is taken once in each. So only code and
line of its frames are noted on the way, and of a deep recursion only both ends; the writer looks
up the source and makes the text Python's own traceback would print.
"""

import functools
import linecache
import traceback
from collections.abc import Iterator
from types import CodeType, TracebackType

from refinery.model.trace import RunError
from refinery.recorders._snapshot import HOSTILE

MAX_STACK = 100_000
"""Longest text kept of a message and of a traceback, in characters."""
FIRST_FRAMES, LAST_FRAMES = 20, 80
"""Frames kept of one traceback: the outermost, and those next to where it was raised."""
MAX_CHAIN = 10
"""Most exceptions kept that led to one; the latest are."""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_Frames = tuple[tuple[CodeType, int] | int, ...]
"""Code and line, outermost first; a number stands for so many frames left out."""


class Failure:
    """An exception as it was when it was taken; holds no frame, so it keeps nothing alive."""

    __slots__ = ("_links", "message", "type")

    def __init__(self, error: BaseException) -> None:
        self.type = type(error).__name__
        self.message = _message(error)[:MAX_STACK]
        self._links = tuple(_links(error, self.message))

    def told(self) -> RunError:
        """The exception as a run tells it; reads source files."""
        text = "".join(
            f"{joint}{_frames_text(frames)}{line}\n" for joint, frames, line in self._links
        )
        return RunError(self.type, self.message, text[-MAX_STACK:])


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except HOSTILE:
        return "<the error's text could not be read>"


def _links(error: BaseException, message: str) -> Iterator[tuple[str, _Frames, str]]:
    """The exceptions that led to one, the first first: words before it, frames, last line."""
    chain: list[tuple[str, _Frames, str]] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen and len(chain) < MAX_CHAIN:
        seen.add(id(at))
        said = message if at is error else _message(at)[:MAX_STACK]
        cause = at.__cause__
        above = cause or (None if at.__suppress_context__ else at.__context__)
        joint = (_CAUSE if cause is not None else _CONTEXT) if above is not None else ""
        if isinstance(at, SyntaxError | BaseExceptionGroup):
            chain.append((joint, *_by_python(at, said)))
        else:
            chain.append((joint, _frames(at.__traceback__), _last_line(at, said)))
        at = above
    first = chain.pop()
    yield ("", *first[1:])
    yield from reversed(chain)


def _frames(found: TracebackType | None) -> _Frames:
    """Both ends of a traceback."""
    nodes = []
    while found is not None:
        nodes.append(found)
        found = found.tb_next
    left_out = len(nodes) - FIRST_FRAMES - LAST_FRAMES
    if left_out <= 0:
        return tuple([(node.tb_frame.f_code, node.tb_lineno) for node in nodes])
    first = [(node.tb_frame.f_code, node.tb_lineno) for node in nodes[:FIRST_FRAMES]]
    last = [(node.tb_frame.f_code, node.tb_lineno) for node in nodes[-LAST_FRAMES:]]
    return (*first, left_out, *last)


def _last_line(error: BaseException, message: str) -> str:
    """Type and message, and notes the host added (PEP 678)."""
    cls = type(error)
    module = getattr(cls, "__module__", None)
    name = getattr(cls, "__qualname__", cls.__name__)
    if isinstance(module, str) and module not in ("builtins", "__main__"):
        name = f"{module}.{name}"
    line = f"{name}: {message}" if message else name
    notes = getattr(error, "__notes__", None)
    told = [note for note in notes if type(note) is str] if type(notes) is list else []
    return "\n".join([line, *told])


def _by_python(error: BaseException, message: str) -> tuple[_Frames, str]:
    """What Python itself prints of errors with more to tell than a message; these are rare."""
    try:
        lines = traceback.format_exception(
            type(error), error, error.__traceback__, limit=-LAST_FRAMES, chain=False
        )
    except HOSTILE:
        return (), _last_line(error, message)
    return (), "".join(lines)[-MAX_STACK:].rstrip("\n")


def _frames_text(frames: _Frames) -> str:
    if not frames:
        return ""
    return "Traceback (most recent call last):\n" + "".join(map(_frame_text, frames))


def _frame_text(frame: tuple[CodeType, int] | int) -> str:
    if isinstance(frame, int):
        return f"  [{frame} frames are left out]\n"
    code, line = frame
    return _place_text(code.co_filename, line, code.co_name)


@functools.lru_cache(maxsize=4096)
def _place_text(file: str, line: int, name: str) -> str:
    source = linecache.getline(file, line).strip()
    told = f'  File "{file}", line {line}, in {name}\n'
    return f"{told}    {source}\n" if source else told
