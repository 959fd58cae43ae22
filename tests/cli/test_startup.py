import subprocess
import sys

import pytest

from tests.cli.help_pages import pages

HEAVY = {
    "anthropic",
    "chromadb",
    "detect_secrets",
    "git",
    "langchain",
    "langchain_core",
    "langgraph",
    "langsmith",
    "libcst",
    "numpy",
    "openai",
    "re2",
    "rich",
    "ruamel",
    "scipy",
    "tomlkit",
}
PROGRAM = """
import io, sys
from contextlib import redirect_stdout
from refinery.cli.main import main
for arguments in {calls!r}:
    sys.argv = ["refinery", *arguments]
    try:
        with redirect_stdout(io.StringIO()):
            main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
    # Typer itself imports pydantic to convert the options of a command, not for the root.
    unwanted = {heavy!r} | ({{"pydantic"}} if len(arguments) == 1 else set())
    loaded = sorted(unwanted & set(sys.modules))
    assert not loaded, (arguments, loaded)
"""


@pytest.mark.slow
def test_help_and_version_start_without_heavy_libraries() -> None:
    calls = [["--version"], *([*arguments, "--help"] for arguments in pages().values())]
    program = PROGRAM.format(calls=calls, heavy=HEAVY)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
