"""The help pages as they should be; `python -m tests.cli.help_pages` writes them anew."""

import functools
import importlib.util
import json
from pathlib import Path
from types import ModuleType

from refinery.cli.documents import DOCUMENTS, schema
from tests.cli.calling import call

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"


@functools.cache
def pages() -> dict[str, tuple[str, ...]]:
    """Arguments that print each help page, by the name of its file."""
    found = {name.replace(" ", "-"): tuple(name.split(" ")) for name, _ in hooks().commands()}
    return {"refinery": (), **found}


@functools.cache
def hooks() -> ModuleType:
    """The module of the documentation that knows all commands."""
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(arguments: tuple[str, ...]) -> str:
    """One help page, 80 columns wide."""
    called = call(*arguments, "--help")
    assert called.code == 0, called.stderr
    return "\n".join(line.rstrip() for line in called.stdout.splitlines()) + "\n"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    for name, arguments in pages().items():
        (GOLDEN / f"{name}.txt").write_text(page(arguments), encoding="utf-8")
    schemas = GOLDEN / "schemas"
    schemas.mkdir(exist_ok=True)
    for old in schemas.glob("*.json"):
        old.unlink()
    for name in DOCUMENTS:
        text = json.dumps(schema(name), indent=1, sort_keys=True) + "\n"
        (schemas / f"{name.replace(' ', '-')}.json").write_text(text, encoding="utf-8")
    for name, write in hooks().KEPT.items():
        (ROOT / name).write_text(write(), encoding="utf-8")
