"""Whether a command runs Python in a way that recorders can be put into.

`refinery record -- COMMAND` reaches Python programs through `sitecustomize`; every other program
is reached through the gateway.
"""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

_PYTHON = re.compile(r"^(?:python|pypy)(?:w|\d+(?:\.\d+)*t?)?(?:\.exe)?$")
_RUNNERS = frozenset({"uv", "poetry", "pdm", "hatch", "pipenv", "rye", "conda", "mamba", "pixi"})
"""Programs that run another one in a Python environment when their first word is `run`."""
_WRAPPERS = frozenset({"env", "nice", "nohup", "time", "timeout", "stdbuf", "setsid", "ionice"})
"""Programs that run another one as it is."""
_WITH_VALUE = frozenset("cmWX")
"""Python's short options that take a value, which ends a bundle of them (`-Wignore`)."""
_DEAF = frozenset("IES")
"""Python's options that ignore `PYTHONPATH` or `sitecustomize`."""
_RUNNER_VALUES = frozenset(
    {"--with", "--python", "-p", "--extra", "--group", "--env-file", "--project", "--directory"}
    | {"-n", "--name", "--with-requirements", "--package", "-e", "--environment", "-C"}
)
"""Options of the runners that take a value."""
HEAD_BYTES = 512
"""Bytes read of a program to see what interprets it."""


def is_recordable_python(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether recorders will be started inside a command.

    Known are `python…` and `pypy…` (but not with `-I`, `-E` or `-S`), programs whose first line
    names one, console scripts of pip and uv, `uv run`, `poetry run`, `pdm run`, `hatch run`,
    `pipenv run`, `rye run`, `conda run` of a Python program, and all of these behind `env`,
    `nice`, `nohup`, `time`, `timeout`, `stdbuf`, `setsid` or `ionice`. Nothing is run to find out.
    """
    words = list(command)
    for _ in range(8):
        if not words:
            return False
        name = Path(words[0]).name
        if _PYTHON.match(name):
            return not _is_deaf(words[1:])
        if name in _WRAPPERS:
            words = _wrapped(name, words[1:])
        elif name in _RUNNERS and "run" in words[1:3]:
            words = _run_by(words[words.index("run") + 1 :])
            if words and _is_runners_own(words[0], environment):
                return True
        else:
            return _is_script(words[0], environment)
    return False


def _is_deaf(options: Sequence[str]) -> bool:
    """Whether Python's options keep `sitecustomize` of `PYTHONPATH` from being imported."""
    is_value = False
    for option in options:
        if is_value:
            is_value = False
            continue
        if not option.startswith("-") or option == "-":
            return False
        if option.startswith("--"):
            continue
        for place, letter in enumerate(option[1:]):
            if letter in _DEAF:
                return True
            if letter in _WITH_VALUE:
                if letter in "cm":
                    return False  # what follows is the program's
                is_value = place == len(option) - 2
                break
    return False


def _wrapped(name: str, words: list[str]) -> list[str]:
    """The command behind `env` and its kin."""
    while words and (words[0].startswith("-") or (name == "env" and "=" in words[0])):
        takes_value = words[0] in ("-n", "-u", "-s", "-k", "-c", "-i", "-o", "-e", "-S")
        is_flag = name == "env" and words[0] == "-i"
        words = words[2 if takes_value and not is_flag and len(words) > 1 else 1 :]
    return words[1:] if name == "timeout" else words


def _run_by(words: list[str]) -> list[str]:
    """The command behind `uv run` and its kin, without the runner's options."""
    while words and words[0].startswith("-"):
        if words[0] in ("-m", "--module"):
            return ["python", *words]
        words = words[2 if words[0] in _RUNNER_VALUES else 1 :]
    return words


def _is_runners_own(program: str, environment: Mapping[str, str]) -> bool:
    """Whether it is a script, or a tool of the environment that the runner will make."""
    if program.endswith(".py"):
        return True
    is_python = _PYTHON.match(Path(program).name) is not None
    return not is_python and _found(program, environment) is None


def _found(program: str, environment: Mapping[str, str]) -> Path | None:
    found = shutil.which(program, path=environment.get("PATH", os.defpath))
    return Path(found) if found else None


def _is_script(program: str, environment: Mapping[str, str]) -> bool:
    """Whether a program is a text that a Python without deaf options interprets."""
    path = _found(program, environment)
    if path is None:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    if not head.startswith(b"#!"):
        return False
    first, _, rest = head[2:].decode("utf-8", "replace").partition("\n")
    words = first.split()
    if words and Path(words[0]).name == "sh" and rest.startswith("'''exec'"):
        # What pip and uv write when the interpreter's path is too long for a first line.
        words = _quoted(rest.partition("\n")[0].removeprefix("'''exec'"))
    if words and Path(words[0]).name == "env":
        words = _wrapped("env", [word for word in words[1:] if word != "-S"])
    return bool(words) and bool(_PYTHON.match(Path(words[0]).name)) and not _is_deaf(words[1:])


def _quoted(line: str) -> list[str]:
    """Words of a line of shell; none when its quotes do not match."""
    try:
        return shlex.split(line)
    except ValueError:
        return []
