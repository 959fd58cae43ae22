"""The help pages as they should be; `python -m tests.cli.help_pages` writes them anew."""

from pathlib import Path

from refinery import plugins
from tests.cli.calling import call

GOLDEN = Path(__file__).parent / "golden"


def pages() -> dict[str, tuple[str, ...]]:
    """Arguments that print each help page, by the name of its file."""
    names = [name.rstrip("_").replace("_", "-") for name in plugins.names("cli.commands")]
    return {
        "refinery": (),
        **{name: (name,) for name in names},
        "config-show": ("config", "show"),
        "checks-add": ("checks", "add"),
        "checks-try": ("checks", "try"),
        "checks-list": ("checks", "list"),
    }


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
