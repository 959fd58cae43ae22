"""Looks at everything a fix needs and says what to do where something is missing."""

import ast
import importlib.util
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from refinery import home, plugins, syntax
from refinery.errors import InputError, RefineryError
from refinery.recorders.spool_file import spool_files
from refinery.settings import Settings
from refinery.workflows import wiring

GIT_VERSION = (2, 36)
"""First git with `core.fsync`, which keeps a commit whole over a power cut."""


EXTRAS = {"server": "fastapi", "analytics": "duckdb", "lance": "lancedb", "mcp": "mcp"}
"""A module of each extra; what an extra adds says `pyproject.toml`."""


class State(StrEnum):
    """How one check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Examination:
    """What one check saw."""

    name: str
    state: State
    detail: str
    fix: str = ""
    """What to do; empty when the state is ok."""


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    settings: Settings

    @property
    def root(self) -> Path:
        """The repository, or the folder itself outside of one."""
        return home.project_root(self.folder) or self.folder


_Check = Callable[[_Place], Examination]


def examine(folder: Path, flags: dict[str, object] | None = None) -> list[Examination]:
    """Run every check; nothing in the repository is run or changed.

    A probe of the sandbox starts child processes. The `.refinery` folder is not created.

    Args:
        folder: the repository, or a folder inside it.
        flags: settings of the command line.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="name the agent's repository")
    folder = folder.resolve()
    try:
        settings = wiring.load_settings(folder, flags)
    except RefineryError as error:
        return [*_without_settings(folder), _failed("settings", error)]
    place = _Place(folder, settings)
    return [*_without_settings(folder), *(_run(name, check, place) for name, check in _CHECKS)]


def _run(name: str, check: _Check, place: _Place) -> Examination:
    try:
        return check(place)
    except RefineryError as error:
        return _failed(name, error)


def _failed(name: str, error: RefineryError) -> Examination:
    return Examination(name, State.FAIL, str(error), error.hint)


def _without_settings(folder: Path) -> Iterator[Examination]:
    version = _git("--version", folder=folder)
    numbers = re.search(r"(\d+)\.(\d+)", version or "")
    if not numbers:
        yield Examination("git", State.FAIL, "git is not installed", "install git 2.36 or newer")
        return
    if (int(numbers[1]), int(numbers[2])) < GIT_VERSION:
        detail = f"{version} does not know core.fsync"
        yield Examination("git", State.WARN, detail, "install git 2.36 or newer")
    else:
        yield Examination("git", State.OK, version or "")
    yield _identity(folder)


def _identity(folder: Path) -> Examination:
    name = os.environ.get("GIT_AUTHOR_NAME") or _git("config", "user.name", folder=folder)
    email = os.environ.get("GIT_AUTHOR_EMAIL") or _git("config", "user.email", folder=folder)
    if name and email:
        return Examination("git identity", State.OK, f"{name} <{email}>")
    fix = "git config --global user.name NAME && git config --global user.email ADDRESS"
    missing = "name" if email else "e-mail address" if name else "name and no e-mail address"
    return Examination("git identity", State.FAIL, f"git knows no {missing} for commits", fix)


def _settings(place: _Place) -> Examination:
    files = sorted(
        {o for o in place.settings.origins.values() if o not in ("environment", "flag")}
    )
    return Examination("settings", State.OK, ", ".join(files) or "no settings file, defaults only")


def _repository(place: _Place) -> Examination:
    from refinery.codebase.repository import Repository

    repository = Repository.open(place.root)
    dirty = len(repository.dirty_paths())
    state = f"{dirty} changed files" if dirty else "clean"
    branch = repository.branch() or "no branch"
    return Examination("repository", State.OK, f"{repository.root} ({branch}, {state})")


def _store(place: _Place) -> Examination:
    url = place.settings.values.store
    path = place.settings.home / "traces.db"
    if url is None and not path.exists():
        return Examination("store", State.OK, f"{path} (made with the first trace)")
    store = wiring.open_store(url or str(path))
    try:
        stats = store.stats()
    finally:
        store.close()
    return Examination("store", State.OK, f"{stats.get('traces')} traces in {stats.get('url')}")


def _spool(place: _Place) -> Examination:
    folder = place.settings.home / "spool"
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        fix = "change its owner, or set REFINERY_HOME to a folder you own"
        return Examination("spool", State.FAIL, f"{existing} cannot be written to", fix)
    waiting = len(spool_files(folder)) if folder.is_dir() else 0
    detail = f"{waiting} recordings wait to be taken in" if waiting else "nothing waits"
    return Examination("spool", State.OK, detail)


def _private(place: _Place) -> Examination:
    """Whether somebody else on this machine could read what was recorded."""
    folder = place.settings.home
    if not folder.is_dir():
        return Examination("private files", State.OK, f"{folder} (made with the first trace)")
    if folder.stat().st_mode & 0o077 == 0:
        return Examination("private files", State.OK, f"{folder} is yours alone")
    fix = f"chmod -R go-rwx {folder}"
    return Examination("private files", State.WARN, f"others may look into {folder}", fix)


def _extras(_: _Place) -> Examination:
    missing = [name for name, module in EXTRAS.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return Examination("extras", State.OK, ", ".join(EXTRAS))
    fix = f"pip install 'refinery[{','.join(missing)}]'"
    return Examination("extras", State.WARN, f"not installed: {', '.join(missing)}", fix)


def _sandbox(place: _Place) -> Examination:
    from refinery.safety.sandbox import strongest

    tier = strongest()
    if tier == "full":
        return Examination("sandbox", State.OK, "full (bubblewrap, seccomp, limits)")
    detail = f"{tier} (Landlock, seccomp, limits): no namespaces of its own"
    return Examination("sandbox", State.WARN, detail, "apt install bubblewrap")


def _entry_point(place: _Place) -> Examination:
    """Look for the entry point in the source; its module is not imported, which would run it."""
    target = place.settings.values.agent.entrypoint
    if target is None:
        fix = "refinery init, or set [agent] entrypoint in refinery.toml"
        return Examination("entry point", State.WARN, "none is set", fix)
    module, _, attribute = target.partition(":")
    found = next(_files_of(module, place), None)
    if found is None:
        fix = 'correct [agent] entrypoint; in a src layout add "PYTHONPATH=src" to [agent] env'
        return Examination("entry point", State.FAIL, f"no file for {module!r}", fix)
    where = found.relative_to(place.root).as_posix()
    line = _line_of(found, attribute.partition(".")[0])
    if line is None:
        fix = "correct [agent] entrypoint in refinery.toml"
        detail = f"{where} defines no {attribute!r} at its top level"
        return Examination("entry point", State.FAIL, detail, fix)
    return Examination("entry point", State.OK, f"{target} ({where}:{line}, not run)")


def _files_of(module: str, place: _Place) -> Iterator[Path]:
    """Files a module may be in: below the project, or an entry of the agent's PYTHONPATH."""
    listed = [
        e.partition("=")[2] for e in place.settings.values.agent.env if e[:11] == "PYTHONPATH="
    ]
    parts = ["", *(part for entry in listed for part in entry.split(os.pathsep) if part)]
    for part in parts:
        file = (place.root / part).joinpath(*module.split("."))
        for path in (file.with_suffix(".py"), file / "__init__.py"):
            if path.is_file() and path.is_relative_to(place.root):
                yield path


def _line_of(path: Path, name: str) -> int | None:
    """Line of a top-level definition; None when the file has none or cannot be parsed."""
    try:
        tree = syntax.parse_module(path.read_bytes())
    except (OSError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found = node.name == name and node in tree.body
        elif isinstance(node, ast.alias):
            found = name in (node.asname, node.name)
        else:
            found = isinstance(node, ast.Name) and node.id == name and _is_stored(node)
        if found and isinstance(node, ast.stmt | ast.expr | ast.alias):
            return node.lineno
    return None


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _interpreter(place: _Place) -> Examination:
    python = place.settings.values.agent.python
    if python is None:
        return Examination("interpreter", State.OK, "the one that runs refinery")
    path = place.root / python
    if not os.access(path, os.X_OK):
        fix = "correct [agent] python in refinery.toml"
        return Examination("interpreter", State.FAIL, f"{path} cannot be run", fix)
    return Examination("interpreter", State.OK, str(path))


def _model(place: _Place) -> Examination:
    values = place.settings.values
    if values.model is None:
        return Examination("model", State.OK, "none: detectors and offline playbook")
    where = f" at {values.model_base_url}" if values.model_base_url else ""
    if values.model_api_key is None and not values.model_base_url:
        fix = "set REFINERY_MODEL_API_KEY"
        return Examination("model", State.FAIL, f"{values.model} has no key", fix)
    return Examination("model", State.OK, f"{values.model}{where} (not called)")


def _embedder(place: _Place) -> Examination:
    name, _, option = place.settings.values.embedder.partition(":")
    embedder = plugins.load("embedders", name).create(option)
    return Examination("embedder", State.OK, f"{embedder.name}, {embedder.dimensions} dimensions")


_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("settings", _settings),
    ("repository", _repository),
    ("interpreter", _interpreter),
    ("entry point", _entry_point),
    ("store", _store),
    ("spool", _spool),
    ("private files", _private),
    ("extras", _extras),
    ("sandbox", _sandbox),
    ("model", _model),
    ("embedder", _embedder),
)


def _git(*arguments: str, folder: Path) -> str | None:
    """First line of what git prints; None when it fails or is not installed."""
    from refinery.codebase.git import program

    try:
        done = subprocess.run(
            [program(), *arguments], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired, RefineryError):
        return None
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else None
