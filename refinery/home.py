"""The `.refinery` folder: where traces, sessions, the ledger and the journal of a project live."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = ".refinery"


def find(start: Path) -> Path | None:
    """The nearest `.refinery` folder in `start` or above it; None when there is none."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return None


def project_root(start: Path) -> Path | None:
    """The nearest folder at or above `start` with a `.git` entry or a `refinery.toml`."""
    for folder in (start, *start.parents):
        if (folder / ".git").exists() or (folder / "refinery.toml").is_file():
            return folder
    return None


def user_home() -> Path:
    """The folder used outside any project, following the XDG base directory specification."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "refinery"
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "refinery"


def locate(start: Path | None = None) -> Path:
    """The folder to use from `start` (default: the working directory); it may not exist yet.

    `REFINERY_HOME` wins, then the nearest `.refinery`, then a new one beside the nearest
    `.git` or `refinery.toml`, then the user's data folder.
    """
    if chosen := os.environ.get("REFINERY_HOME"):
        return Path(chosen)
    start = (start or Path.cwd()).resolve()
    root = project_root(start)
    return find(start) or (root / FOLDER if root else user_home())


def prepare(folder: Path) -> Path:
    """Create the folder, private to the user and invisible to git, and return it.

    Raises:
        OSError: the folder cannot be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.touch(mode=0o600)
        ignore.write_text("*\n", encoding="utf-8")
    return folder


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add one JSON line to a file only its user may read, whole even when several write.

    Raises:
        OSError: the file cannot be written.
    """
    line = json.dumps(value, separators=(",", ":")) + "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; lines that cannot be read are left out."""
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value
