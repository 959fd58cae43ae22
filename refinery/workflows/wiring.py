"""The only place where settings become real stores, models and folders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinery import home, plugins, settings
from refinery.errors import InputError
from refinery.ports import Store

if TYPE_CHECKING:
    from refinery.knowledge.library import Library
    from refinery.llm.purse import Purse
    from refinery.llm.router import Model


LESSONS = "lessons.jsonl"
"""File of the lessons in a `.refinery` folder."""
PROJECT = "project"
"""Origin of guides that lie in `.refinery/guides`."""
OWN_ROOMS = ("detectors", "adapters", "embedders", "agents.playbook")
"""Rooms that take files of the user's own from a folder of their last name in `.refinery`."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """What a workflow needs: settings, the store, and the project's state folder."""

    settings: settings.Settings
    store: Store
    home: Path
    """The `.refinery` folder; created when the store is opened."""


def load_settings(
    start: Path | None = None, flags: Mapping[str, Any] | None = None
) -> settings.Settings:
    """Settings seen from a folder, with values of the command line on top.

    Raises:
        InputError: a settings file or variable is wrong.
    """
    return settings.load(start, flags)


def state_folder(start: Path | None = None) -> Path:
    """The `.refinery` folder seen from a folder, checked and created.

    What a repository brings along under that name is somebody else's: sessions, a journal or a
    store in it would be taken for the user's own, and links would lead writing elsewhere.

    Raises:
        InputError: it is a link, holds links, is tracked by git, or cannot be created.
    """
    folder = home.locate(start)
    _refuse_foreign(folder)
    try:
        return home.prepare(folder)
    except OSError as error:
        raise InputError(
            f"cannot create {folder}: {error}", hint="set REFINERY_HOME to a folder"
        ) from error


def _refuse_foreign(folder: Path) -> None:
    links = [folder, *folder.iterdir()] if folder.is_dir() else [folder]
    link = next((path for path in links if path.is_symlink()), None)
    if link is not None:
        raise InputError(
            f"{link} is a link; Refinery keeps its own files there and follows none",
            hint="remove the link, or set REFINERY_HOME to a folder",
        )
    if not folder.is_dir():
        return
    from refinery.codebase.repository import is_tracked

    if is_tracked(folder):
        raise InputError(
            f"{folder} is tracked by git, so what is in it came with the repository",
            hint="git rm -r --cached .refinery and look at its files, or set REFINERY_HOME",
        )


def open_workspace(start: Path | None = None, flags: Mapping[str, Any] | None = None) -> Workspace:
    """Open the project's store, taking in what recorders have left in the spool.

    Raises:
        InputError: a setting is wrong.
        StoreError: the store cannot be used.
    """
    resolved = load_settings(start, flags)
    folder = state_folder(start)
    for room in OWN_ROOMS:
        plugins.add_folder(room, folder / room.rpartition(".")[2])
    store = open_store(resolved.values.store or str(folder / "traces.db"))
    workspace = Workspace(resolved, store, folder)
    from refinery.workflows.spool import drain

    drain(folder / "spool", store)
    return workspace


def open_store(url: str) -> Store:
    """Open a store by URL: `sqlite:///path`, a bare path, or `<plug-in>://…`.

    Raises:
        PluginError: no store plug-in of that scheme.
        StoreError: the store cannot be used.
    """
    scheme = url.partition("://")[0] if "://" in url else "sqlite"
    opened: Store = plugins.load("stores", scheme).open_store(url)
    return opened


def open_library(workspace: Workspace) -> "Library":
    """Open the guides and lessons, with the embedder of the settings.

    Raises:
        PluginError: no embedder of that name.
        InputError: a guide of the project's own cannot be read.
    """
    from refinery.knowledge.lessons import Lessons
    from refinery.knowledge.library import Library
    from refinery.knowledge.passages import read_guides

    name, _, option = workspace.settings.values.embedder.partition(":")
    embedder = plugins.load("embedders", name).create(option)
    library = Library(workspace.home / "knowledge", embedder)
    library.teach(Lessons(workspace.home / LESSONS).passages())
    try:
        library.teach(read_guides(workspace.home / "guides", PROJECT), PROJECT)
    except (OSError, UnicodeDecodeError) as error:
        library.close()
        raise InputError(
            f"a guide in {workspace.home / 'guides'} cannot be read: {error}",
            hint="guides are UTF-8 texts in markdown",
        ) from error
    return library


def connect_model(
    workspace: Workspace,
    spec: str | None = None,
    *,
    budget_usd: float | None = None,
    purse: "Purse | None" = None,
) -> "Model | None":
    """Connect to the model of the analysis; None when none is named anywhere.

    One command connects once: everything it asks the model for counts against one budget.

    Args:
        workspace: settings and the folder of the call log.
        spec: `provider:model`; None: the one of the settings.
        budget_usd: most it may cost; None: the setting.
        purse: money the model shares with others, in place of a budget of its own.

    Raises:
        InputError: the spec cannot be read.
        CredentialsError: the model needs a key and the settings have none.
    """
    values = workspace.settings.values
    chosen = spec or values.model
    if chosen is None:
        return None
    from refinery.llm.router import ModelChoice, connect

    key = values.model_api_key
    return connect(
        ModelChoice(
            spec=chosen,
            base_url=values.model_base_url,
            api_key=key.get_secret_value() if key else None,
            budget_usd=values.budget_usd if budget_usd is None else budget_usd,
            log=workspace.home / "model-calls.jsonl",
        ),
        purse,
    )
