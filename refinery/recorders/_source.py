"""Which of the user's code a run executes: found from the calling frame, described later.

Callbacks do not carry the object that runs, but they are called (inline) from one of its methods:
the first frame above LangChain's callback manager has it as `self`. The host's thread only picks
up the function behind it; its source is read and hashed on the writer thread, once a function.
"""

import functools
import hashlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

from refinery.model.trace import CodeReference

_MANAGERS = ("langchain_core.callbacks.", "refinery.recorders.")
_FRAMES = 12
"""Frames looked at above a callback; the deepest chain seen (asyncio) is seven."""
_METHODS = {
    "tool": ("_run", "_arun"),
    "retriever": ("_get_relevant_documents", "_aget_relevant_documents"),
    "llm": ("_generate", "_agenerate", "_call"),
    "chain": ("invoke", "ainvoke"),
}
"""Methods a user's own subclass writes, by the kind of the run."""
_HELD = ("func", "coroutine", "afunc", "_transform", "_atransform")
"""Attributes under which LangChain and LangGraph keep a user's function."""
_STANDARD = tuple(
    {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")}
)


_MOST_KNOWN = 4096
_FUNCTIONS = (FunctionType, MethodType)
_managers: dict[int, tuple[CodeType, bool]] = {}
_of_libraries: set[tuple[type, str]] = set()
"""Classes, and kinds of runs, behind whose methods is no function of the user's."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The function or method a run executes, not yet described."""

    function: Any
    code: CodeType


def owner(skipped: int = 0) -> Any:
    """The object whose method fired the callback being handled; None when there is none.

    It is `self` of the first method above LangChain's callback manager.

    Args:
        skipped: frames above the caller's that are known to be ours.
    """
    frame: FrameType | None = sys._getframe(skipped + 1)
    for _ in range(_FRAMES):
        if frame is None:
            return None
        code = frame.f_code
        known = _managers.get(id(code))
        if not (known[1] if known is not None else _is_manager(frame, code)):
            found = frame.f_locals.get("self")
            if found is not None or not code.co_name.startswith("<"):
                return found  # a comprehension has no `self`: its method is the next frame
        frame = frame.f_back
    return None


def _is_manager(frame: FrameType, code: CodeType) -> bool:
    """Whether a frame is of LangChain's callback manager, or ours."""
    is_manager = str(frame.f_globals.get("__name__", "")).startswith(_MANAGERS)
    if len(_managers) < _MOST_KNOWN:
        # By id, for a code object is hashed anew each time; it is kept, so the id stays its own.
        _managers[id(code)] = (code, is_manager)
    return is_manager


def subject_of(runs: Any, kind: str) -> Subject | None:
    """The user's function behind a runnable, a tool, a retriever or a plain function."""
    cls = type(runs)
    own = getattr(runs, "__dict__", None)
    if (cls, kind) in _of_libraries and own is not None and own.keys().isdisjoint(_HELD):
        return None
    found = _found(runs, kind)
    if found is None and _is_told_by_class(cls, kind):
        if len(_of_libraries) >= _MOST_KNOWN:
            _of_libraries.clear()
        _of_libraries.add((cls, kind))
    return found


def _is_told_by_class(cls: type, kind: str) -> bool:
    """Whether an object of a class, unless it holds a function itself, runs methods only."""
    if cls in _FUNCTIONS or cls.__module__.startswith("langgraph."):
        return False
    known = _class_names(cls)
    named = (name for name in (*_HELD, *_METHODS.get(kind, ())) if name in known)
    return all(type(getattr(cls, name, None)) is FunctionType for name in named)


def _found(runs: Any, kind: str) -> Subject | None:
    for candidate in _candidates(runs, kind):
        function = _bare(candidate)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType) and is_users(code.co_filename):
            return Subject(function, code)
    return None


def _candidates(runs: Any, kind: str, depth: int = 0) -> Iterator[Any]:
    cls = type(runs)
    # Looking for what is not there costs several µs on a pydantic model: ask its class once.
    own = getattr(runs, "__dict__", None)
    known = _class_names(cls)  # type: ignore[arg-type]  # classes are hashable
    for name in _HELD:
        if (own is not None and name in own) or name in known:
            held = getattr(runs, name, None)
            if callable(held):
                yield held
    for name in _METHODS.get(kind, ()):
        if name in known:
            yield getattr(cls, name, None)
    # A graph's node is a sequence of the user's step and LangGraph's writers.
    if cls.__module__.startswith("langgraph.") and depth < 3:
        steps = getattr(runs, "steps", None)
        if isinstance(steps, list) and steps:
            yield from _candidates(steps[0], kind, depth + 1)
    if inspect.isfunction(runs) or inspect.ismethod(runs):
        yield runs


@functools.lru_cache(maxsize=4096)
def _class_names(cls: type) -> frozenset[str]:
    """Which of the attributes looked for a class or one of its bases defines."""
    wanted = {*_HELD, *(name for names in _METHODS.values() for name in names)}
    return frozenset(name for name in wanted if any(name in vars(base) for base in cls.__mro__))


def _bare(function: Any) -> Any:
    """The function inside partials, bound methods, wrappers and callable objects."""
    for _ in range(16):
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif callable(wrapped := getattr(function, "__wrapped__", None)):
            function = wrapped
        else:
            break
    if not hasattr(function, "__code__") and not isinstance(function, type):
        return inspect.getattr_static(type(function), "__call__", function)
    return function


@functools.lru_cache(maxsize=4096)
def is_users(filename: str) -> bool:
    """Whether a file is the user's: not of the standard library nor an installed package."""
    if filename.startswith("<"):
        return False
    path = os.path.realpath(filename)
    parts = Path(path).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    return not path.startswith(_STANDARD)


def describe(
    subject: Subject, root: str | None, commit: str | None, dirty: bool | None
) -> CodeReference:
    """The code reference of a subject, relative to a repository's root when it lies in it."""
    code = subject.code
    try:
        variant = _variant(code, subject.function)
    except Exception:  # noqa: BLE001  # source may be gone, or not be Python
        variant = None
    file = relative(code.co_filename, root)
    is_inside = not Path(file).is_absolute()
    return CodeReference(
        module=_text(getattr(subject.function, "__module__", None)),
        qualname=_text(getattr(subject.function, "__qualname__", None)) or code.co_qualname,
        file=file,
        line=code.co_firstlineno,
        commit=commit if is_inside else None,
        dirty=dirty if is_inside else None,
        variant=variant,
    )


@functools.lru_cache(maxsize=4096)
def relative(filename: str, root: str | None) -> str:
    """A file's path relative to a root with forward slashes; absolute when outside it."""
    path = os.path.realpath(filename)
    base = os.path.realpath(root) + os.sep if root else None
    if base and path.startswith(base):
        path = path[len(base) :]
    return path.replace(os.sep, "/")


_variants: dict[tuple[str, int, str], str] = {}


def _variant(code: CodeType, function: Any) -> str:
    """SHA-256 of the function's source text."""
    key = (code.co_filename, code.co_firstlineno, code.co_qualname)
    known = _variants.get(key)
    if known is None:
        source = inspect.getsource(function)
        known = hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()
        _variants[key] = known
    return known


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
