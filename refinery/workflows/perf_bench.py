"""Runs the user's own functions through the standard scenarios of the benchmark."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refinery.errors import InputError
from refinery.performance.benchmark import BenchmarkFixture, BenchmarkResult
from refinery.performance.scenarios import SCENARIOS


def bench(
    names: Sequence[str], scenario: str, *, warm_up: int = 3, repeats: int = 30
) -> BenchmarkResult:
    """Compare functions named `module:function`, the first being what others are held against.

    They are imported from the working directory and run in this process.

    Raises:
        InputError: a function cannot be found, is named twice or raised, or there is no such
            scenario.
    """
    if scenario not in SCENARIOS:
        raise InputError(f"no scenario {scenario!r}", hint=f"one of: {', '.join(SCENARIOS)}")
    if len(set(names)) < len(names):
        raise InputError("a function is named twice", hint="name each function once")
    implementations = _load(names)
    try:
        return BenchmarkFixture(warm_up=warm_up, repeats=repeats).compare(
            implementations, scenario
        )
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's functions raise
        raise InputError(
            f"a function cannot take the scenario {scenario!r}: {type(error).__name__}: {error}",
            hint=f"it is given {SCENARIOS[scenario].description}",
        ) from error


def _load(names: Sequence[str]) -> Mapping[str, Callable[[Any], Any]]:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return {name: _function(name) for name in names}


def _function(name: str) -> Callable[[Any], Any]:
    module_name, _, qualname = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module of the user's may raise anything
        raise InputError(
            f"cannot find {name!r}: {type(error).__name__}: {error}", hint="write module:function"
        ) from error
    if not callable(found):
        raise InputError(f"{name!r} is not a function", hint="write module:function")
    function: Callable[[Any], Any] = found
    return function
