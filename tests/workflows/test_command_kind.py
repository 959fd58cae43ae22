"""Which commands recorders can be put into."""

import sys
from pathlib import Path

import pytest

from refinery.workflows.command_kind import is_recordable_python


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of programs as package managers write them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    heads = {
        "console": f"#!{sys.executable}\nimport app",
        "by-env": "#!/usr/bin/env -S python3 -u\nimport app",
        "long-path": "#!/bin/sh\n'''exec' \"/a very/long path/python\" \"$0\" \"$@\"\n' '''\n",
        "isolated": "#!/usr/bin/python3 -I\nimport app",
        "shell": "#!/bin/sh\npython app.py\n",
        "node-tool": "#!/usr/bin/env node\n",
        "binary": "\x7fELF",
    }
    for name, head in heads.items():
        (folder / name).write_text(head)
        (folder / name).chmod(0o755)
    return folder


PYTHON = [
    "python app.py",
    "python3 -m app",
    "/usr/bin/python3.12 app.py -I",
    "python3.13t app.py",
    "pypy3 app.py",
    "python -W ignore -u app.py",
    "python -X dev app.py -E",
    "python -c pass -S",
    ".venv/bin/python -",
    "env -i A=1 python app.py",
    "timeout -k 5 10 python app.py",
    "nice -n 5 nohup python app.py",
    "uv run app.py",
    "uv run --with openai -m app",
    "uv run python app.py",
    "poetry run python app.py",
    "poetry run serve-my-agent",
    "conda run -n prod python app.py",
    "console --option",
    "by-env",
    "long-path",
    "pdm run console",
]
OTHERS = [
    "node app.js",
    "curl http://x",
    "bash -c 'python app.py'",
    "python -I app.py",
    "python -S app.py",
    "python -uE app.py",
    "python3 -Im app",
    "uv run python -I app.py",
    "uv sync",
    "isolated",
    "shell",
    "node-tool",
    "binary",
    "uv run node-tool",
    "missing",
    "env",
    "pythonic app.py",
]


@pytest.mark.parametrize("line", PYTHON)
def test_python_programs_are_known(line: str, tools: Path) -> None:
    assert is_recordable_python(line.split(), {"PATH": str(tools)})


@pytest.mark.parametrize("line", OTHERS)
def test_anything_else_goes_through_the_gateway(line: str, tools: Path) -> None:
    assert not is_recordable_python(line.split(), {"PATH": str(tools)})


def test_no_command_is_no_python() -> None:
    assert not is_recordable_python([], {})
