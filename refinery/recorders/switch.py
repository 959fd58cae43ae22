"""Turns recording on and off for the whole process: `refinery.record()`.

Nothing is imported until LangChain is: the handler is put in place when
`langchain_core.tracers.context`, which every root run passes through, is imported. It is offered
through a context variable with a default value, so threads started later see it too.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refinery.recorders._book import Book
    from refinery.recorders.langchain import RefineryCallbackHandler

GATE = "langchain_core.tracers.context"
"""The module whose import means that LangChain is about to run something."""

LIBRARY = "langchain_core"
"""The package whose import means that the state of the code is worth reading now."""

_OFF = ("0", "false", "no", "off")
_lock = threading.RLock()


class _State:
    """What is switched on in this process."""

    __slots__ = ("book", "handler", "is_on", "target")

    def __init__(self) -> None:
        self.is_on: bool = False
        self.target: tuple[Path, str] | None = None
        """Spool folder and project, as they were when `record` was called."""
        self.book: Book | None = None
        self.handler: RefineryCallbackHandler | None = None


_state = _State()


def is_enabled() -> bool:
    """Whether recording is allowed: `REFINERY_RECORD=0` forbids it."""
    return os.environ.get("REFINERY_RECORD", "1").lower() not in _OFF


def record(*, project: str | None = None, folder: Path | None = None) -> None:
    """Record every LangChain and LangGraph run of this process from now on.

    Calls of `openai` and `anthropic` clients outside of LangChain's models are recorded too.
    Safe to call again, before or after these are imported or even installed; does nothing
    when `REFINERY_RECORD=0`. Never raises.

    Args:
        project: name the traces are filed under; default: the project folder's name.
        folder: the `.refinery` folder to write to; default: the nearest one, or a new one
            beside the repository's root.
    """
    if not is_enabled():
        return
    try:
        with _lock:
            if _state.target is None:
                _state.target = _target(project, folder)
            _state.is_on = True
            if _state.handler is not None:
                _state.handler.active = True
            else:
                on_import(GATE, _install)
            on_import("openai", _install_openai)
            on_import("anthropic", _install_anthropic)
    except Exception as error:  # noqa: BLE001  # the recorder never breaks the host
        with contextlib.suppress(Exception):
            sys.stderr.write(f"refinery: recording is off ({type(error).__name__}: {error})\n")


def record_by_hand(*, project: str | None = None, folder: Path | None = None) -> bool:
    """Record code instrumented by hand from now on, without listening to LangChain.

    The first of this and `record` decides where the process's traces go. Does nothing when
    `REFINERY_RECORD=0`. Never raises.

    Args:
        project: as for `record`.
        folder: as for `record`.

    Returns:
        Whether that is where the process's traces go now.
    """
    if not is_enabled():
        return False
    try:
        with _lock:
            if _state.target is None:
                _state.target = _target(project, folder)
            _state.is_on = True
            if project is None and folder is None:
                return True
            where, name = _target(project, folder)
            return _state.target == (where, name if project else _state.target[1])
    except Exception as error:  # noqa: BLE001  # the recorder never breaks the host
        with contextlib.suppress(Exception):
            sys.stderr.write(f"refinery: recording is off ({type(error).__name__}: {error})\n")
        return False


def was_decided() -> bool:
    """Whether anybody has yet switched recording on, be it off again or not."""
    return _state.target is not None


def stop() -> None:
    """Stop recording and write what is queued; a sink that writes nothing is given up."""
    with _lock:
        _state.is_on = False
        if _state.handler is not None:
            _state.handler.active = False
        _watch.waiting.clear()
        _disarm()
    if _state.book is not None:
        from refinery.recorders.sink import close_all

        close_all()


def current_book() -> "Book | None":
    """The open runs of this process, for recorders beside LangChain's; None when off."""
    state = _state
    if not state.is_on:
        return None
    if state.book is None and state.target is not None:
        from refinery.recorders._book import Book
        from refinery.recorders.sink import shared_sink

        with _lock:
            folder, project = state.target
            state.book = state.book or Book(shared_sink(folder), project=project or None)
    return state.book


def _target(project: str | None, folder: Path | None) -> tuple[Path, str]:
    """Where traces go and what they are filed under; both depend on the working directory."""
    from refinery import home
    from refinery.recorders._folder import spool_folder

    here = Path.cwd()
    name = project or os.environ.get("REFINERY_PROJECT") or (home.project_root(here) or here).name
    return spool_folder(folder), name


def _prepare() -> None:
    """Begin to ask git about the repository while LangChain is being imported."""
    try:
        if book := current_book():
            book.origin.begin()
    except Exception as error:  # noqa: BLE001  # the recorder never breaks the host
        sys.stderr.write(f"refinery: recording may fail ({type(error).__name__}: {error})\n")


def _install() -> None:
    """Offer one handler to every callback manager LangChain makes from now on."""
    from langchain_core.tracers.context import register_configure_hook

    from refinery.recorders.langchain import RefineryCallbackHandler

    with _lock:
        book = current_book()
        if _state.handler is None and book is not None:
            handler = RefineryCallbackHandler(book=book)
            offered: ContextVar[Any] = ContextVar("refinery_recorder", default=handler)
            register_configure_hook(offered, inheritable=True, handle_class=type(handler))
            _state.handler = handler
            book.origin.begin()


def _install_openai() -> None:
    from refinery.recorders._vendors import arm_openai

    arm_openai(current_book)


def _install_anthropic() -> None:
    from refinery.recorders._vendors import arm_anthropic

    arm_anthropic(current_book)


def _is_importing(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


class _Watch:
    """Waits for the import of modules, and tells who asked when they are there."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Callable[[], None]]] = {}
        """What is called once a module has been imported, by the module's name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec the other finders give, with a loader that tells us when it is done."""
        if fullname == LIBRARY:
            _prepare()
        if fullname not in self.waiting:
            return None
        for finder in [entry for entry in sys.meta_path if entry is not self]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find else None
            if spec is not None:
                if spec.loader is not None:
                    # Not an `importlib.abc.Loader`: importing that takes 10 ms.
                    spec.loader = _Telling(spec.loader, fullname)  # type: ignore[assignment]
                return spec
        return None

    def tell(self, name: str) -> None:
        """Call whoever waits for a module; an error of theirs stays here."""
        for install in self.waiting.pop(name, ()):
            _guarded(install)
        if not self.waiting:
            _disarm()


class _Telling:
    """A loader that runs another one, then tells that the module is there."""

    def __init__(self, real: Any, name: str) -> None:
        self._real = real
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module the real loader makes."""
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then tell."""
        self._real.exec_module(module)
        _watch.tell(self._name)


_watch = _Watch()


def on_import(module_name: str, install: Callable[[], None]) -> None:
    """Call `install` as soon as a module is imported; at once when it is already.

    It is called once; an exception of it is told in one line and goes no further. `stop` forgets
    those that still wait.
    """
    if module_name in sys.modules and not _is_importing(module_name):
        _guarded(install)
        return
    with _lock:
        waiting = _watch.waiting.setdefault(module_name, [])
        if install not in waiting:
            waiting.append(install)
        if _watch not in sys.meta_path:
            sys.meta_path.insert(0, _watch)


def _guarded(install: Callable[[], None]) -> None:
    try:
        install()
    except Exception as error:  # noqa: BLE001  # the recorder never breaks the host
        with contextlib.suppress(Exception):
            sys.stderr.write(f"refinery: recording is off ({type(error).__name__}: {error})\n")


def _disarm() -> None:
    with contextlib.suppress(ValueError):
        sys.meta_path.remove(_watch)
