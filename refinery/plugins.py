"""Finds plug-ins by file name and imports only the one asked for.

A room is a package whose every public file is one plug-in: `refinery.adapters` holds
`langsmith.py`, so `load("adapters", "langsmith")` imports that file and no other. Other
distributions join a room through an entry point of the group `refinery.<room>`, and the user's own
files through a folder named with `add_folder`.
"""

import ast
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from refinery.errors import PluginError

_ALIKE = 0.7
"""How alike a mistyped name and a plug-in's must be; at the usual 0.6 `nope` is `openai`."""


@cache
def _files(room: str) -> dict[str, Path]:
    """File of each built-in plug-in in a room, by name; nothing but the room is imported."""
    spec = find_spec(f"refinery.{room}")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return {
        found.name: Path(folder, found.name + ".py")
        for folder in folders
        for found in iter_modules([folder])
        if not found.ispkg and not found.name.startswith("_")
    }


@cache
def _guests(room: str) -> dict[str, EntryPoint]:
    """Plug-ins that other distributions add to a room, by name."""
    return {point.name: point for point in entry_points(group=f"refinery.{room}")}


_OWN: dict[str, dict[str, Path]] = {}
"""Files of the user's own by room and name."""


def add_folder(room: str, folder: Path) -> None:
    """Let the Python files of a folder be plug-ins of a room, in place of those added before.

    They are imported, so the folder must be the user's own. Names that are taken stay with those
    who have them; files that begin with `_` are left out. A folder that is missing adds nothing.
    """
    files = sorted(folder.glob("*.py")) if folder.is_dir() else []
    taken = {*_files(room), *_guests(room)}
    _OWN[room] = {
        path.stem: path
        for path in files
        if path.stem not in taken and path.stem.isidentifier() and path.stem[0] != "_"
    }


@cache
def _load_own(path: Path, changed_ns: int) -> ModuleType:
    """Import a file of the user's; anew when it was changed."""
    del changed_ns
    spec = spec_from_file_location(f"refinery_own_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # the file ends in .py
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(room: str) -> list[str]:
    """Names of all plug-ins in a room, in alphabetical order."""
    return sorted({*_files(room), *_guests(room), *_OWN.get(room, ())})


def summary(room: str, name: str) -> str:
    """First docstring line of a built-in plug-in, read without importing it."""
    path = _files(room).get(name)
    if path is None:
        return ""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    if first.startswith('"""') and first.count('"""') == 1:
        return first[3:].rstrip(".")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0].rstrip(".")


def load(room: str, name: str) -> ModuleType:
    """Import one plug-in.

    Raises:
        PluginError: no plug-in has that name, or a library it needs is missing.
    """
    try:
        if name in _files(room):
            return import_module(f"refinery.{room}.{name}")
        if name in _guests(room):
            module: ModuleType = _guests(room)[name].load()
            return module
        if own := _OWN.get(room, {}).get(name):
            return _own(own)
    except ModuleNotFoundError as error:
        raise PluginError(
            f"{room}/{name} needs the library {error.name!r}, which is not installed",
            hint=f"pip install {error.name}, or: pip install 'refinery[all]'",
        ) from error
    close = get_close_matches(name, names(room), n=1, cutoff=_ALIKE)
    raise PluginError(
        f"no {room} plug-in named {name!r}",
        hint=f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(names(room))}",
    )


def missing(what: str, error: ModuleNotFoundError, extra: str) -> PluginError:
    """The error of a part that is not installed.

    Args:
        what: what cannot be done, e.g. a command.
        error: as the import raised it.
        extra: what the installation lacks, as in `refinery[extra]`.
    """
    return PluginError(
        f"{what} needs the library {error.name!r}, which is not installed",
        hint=f"pip install 'refinery[{extra}]'",
    )


def _own(path: Path) -> ModuleType:
    try:
        return _load_own(path, path.stat().st_mtime_ns)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise PluginError(
            f"{path} cannot be imported: {type(error).__name__}: {error}",
            hint="mend the file, or move it elsewhere",
        ) from error


def load_all(room: str) -> dict[str, ModuleType]:
    """Import every plug-in of a room, by name in alphabetical order.

    Raises:
        PluginError: a plug-in needs a library that is missing.
    """
    return {name: load(room, name) for name in names(room)}
