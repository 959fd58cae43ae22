"""Holds a patch that changes what gets installed."""

import json
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

_LINES = ("*requirements*.txt", "*requirements*.in", "constraints*.txt", "environment*.y*ml",
          "pipfile", "setup.cfg", "apt*.txt", "packages.txt", "dockerfile*",
          "containerfile*", "uv.toml", "poetry.toml", "pdm.toml", "pixi.toml", "gemfile",
          "*.gemspec", "go.mod", "cargo.toml", "pom.xml", "build.gradle*", "composer.json",
          "deno.json*", "bower.json", "meta.yaml", "recipe.yaml", "*.nix", "brewfile",
          "aptfile", "conanfile*", "vcpkg.json", "*compose*.y*ml", "mcp*.json", "*.bazel",
          "workspace", "galaxy.yml", "pip*.txt", "*dependencies*.txt", "*dependencies*.y*ml",
          "pre-requirements*", "*requirements*.y*ml")  # fmt: skip
"""Files whose every line may install something; a changed line is held as it is."""
_WORDS = ("dependencies", "requires", "dependency-groups", "sources", "source", "index", "scripts",
          "entry-points", "build-backend", "backend-path", "extras")  # fmt: skip
"""Tables of pyproject.toml and package.json that decide what is installed or run."""


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each requirement that is new or different."""
    for change in given.changes:
        path = PurePosixPath(change.path.lower())
        if any(fnmatchcase(path.name, name) for name in _LINES) or (
            path.parent.name == "requirements" and path.suffix == ".txt"
        ):
            new = _lines(change.after) - _lines(change.before)
        elif path.name in ("pyproject.toml", "package.json", "langgraph.json"):
            new = _declared(path.suffix, change.after) - _declared(path.suffix, change.before)
        elif _change.is_python(change.path):
            new = _inline(change.after) - _inline(change.before)
        else:
            continue
        for one in sorted(new)[:20]:
            yield Remark("new_dependency", Outcome.HOLD, f"requires {one[:200]!r}", change.path)


def _lines(content: bytes | None) -> set[str]:
    lines = (line.partition(" #")[0].strip() for line in _change.text(content).splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def _inline(content: bytes | None) -> set[str]:
    """Lines of the script metadata that installers read from comments (PEP 723)."""
    found: set[str] = set()
    is_inside = False
    for line in _change.text(content).splitlines():
        starts = line.startswith("# ///") and line.strip() != "# ///"
        is_inside = line.startswith("#") and (is_inside or starts) and line.strip() != "# ///"
        found |= {line} if is_inside else set()
    return found


def _declared(suffix: str, content: bytes | None) -> set[str]:
    """Everything below the tables that install things, as `place = value` texts."""
    text = _change.text(content)
    try:
        value = tomllib.loads(text) if suffix == ".toml" else json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {text}
    found: set[str] = set()
    _collect(value, "", False, found)
    return found


def _collect(value: Any, place: str, is_inside: bool, found: set[str]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            name = str(key)
            inside = is_inside or any(word in name.lower() for word in _WORDS)
            _collect(item, f"{place}.{name}" if place else name, inside, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, place, is_inside, found)
    elif is_inside:
        found.add(f"{place} = {value}")


def _given(path: str, before: str, after: str) -> GuardInput:
    return GuardInput((FileChange(path, before.encode(), after.encode()),), Path("/"))


_PROJECT = '[project]\nname = "a"\ndependencies = ["rich"]\n'

PASSES = [
    _given("requirements.txt", "rich\nhttpx\n", "rich  # tables\n"),
    _given("pyproject.toml", _PROJECT, _PROJECT.replace('"a"', '"b"')),
    _given("a.py", "", "import httpx\n"),
]
REFUSED = [
    _given("requirements.txt", "rich\n", "rich\nhttpx\n"),
    _given("requirements/dev.txt", "rich\n", "rich @ https://example.com/rich.whl\n"),
    _given("pyproject.toml", _PROJECT, _PROJECT.replace('"rich"', '"rich", "richh"')),
    _given("pyproject.toml", _PROJECT, _PROJECT + '[project.scripts]\na = "a:main"\n'),
    _given("package.json", "{}", '{"dependencies": {"left-pad": "1"}}'),
    _given("Dockerfile", "FROM a\n", "FROM b\n"),
    _given("Cargo.toml", "[dependencies]\n", '[dependencies]\na = "1"\n'),
    _given("docker-compose.yml", "a: b\n", "a: c\n"),
    _given("a.py", "", '# /// script\n# dependencies = ["rich"]\n# ///\n'),
]
