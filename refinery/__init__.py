"""Find out why an LLM agent failed, mend it, and prove the mend."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refinery.errors import ExitCode, RefineryError
    from refinery.recorders.langchain import RefineryCallbackHandler
    from refinery.recorders.switch import record

__version__ = "0.1.0"
__all__ = ["ExitCode", "RefineryCallbackHandler", "RefineryError", "__version__", "record"]

_HOME = {
    "ExitCode": "refinery.errors",
    "RefineryCallbackHandler": "refinery.recorders.langchain",
    "RefineryError": "refinery.errors",
    "record": "refinery.recorders.switch",
}


def __getattr__(name: str) -> object:
    if home := _HOME.get(name):
        return getattr(import_module(home), name)
    raise AttributeError(f"module 'refinery' has no attribute {name!r}")
