"""Calls a function once a module has been imported, whoever imports it and whenever."""

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Change = Callable[[ModuleType], None]


def apply(changes: dict[str, Change]) -> None:
    """Run each change on its module: now when it is imported already, else right after."""
    waiting = dict(changes)
    for name in list(waiting):
        module = sys.modules.get(name)
        if module is not None:
            waiting.pop(name)(module)
    if waiting:
        sys.meta_path.insert(0, _Finder(waiting))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, waiting: dict[str, Change]) -> None:
        self._waiting = waiting

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec the other finders give, with a loader that runs the change afterwards."""
        if fullname not in self._waiting:
            return None
        for finder in [entry for entry in sys.meta_path if entry is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._waiting.pop(fullname))
                return spec
        return None


class _Loader(importlib.abc.Loader):
    def __init__(self, real: Any, change: Change) -> None:
        self._real = real
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module the real loader makes."""
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then change it."""
        self._real.exec_module(module)
        self._change(module)
