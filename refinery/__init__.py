"""Find out why an LLM agent failed, mend it, and prove the mend."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refinery.errors import ExitCode, RefineryError
    from refinery.recorders.anthropic import wrap_anthropic
    from refinery.recorders.instrument import instrument, track
    from refinery.recorders.langchain import RefineryCallbackHandler
    from refinery.recorders.openai import wrap_openai
    from refinery.recorders.switch import record
    from refinery.recorders.xray import XRay

__version__ = "0.1.0"
__all__ = [
    "ExitCode",
    "RefineryCallbackHandler",
    "RefineryError",
    "XRay",
    "__version__",
    "instrument",
    "record",
    "track",
    "wrap_anthropic",
    "wrap_openai",
]

_HOME = {
    "ExitCode": "refinery.errors",
    "RefineryCallbackHandler": "refinery.recorders.langchain",
    "RefineryError": "refinery.errors",
    "XRay": "refinery.recorders.xray",
    "instrument": "refinery.recorders.instrument",
    "record": "refinery.recorders.switch",
    "track": "refinery.recorders.instrument",
    "wrap_anthropic": "refinery.recorders.anthropic",
    "wrap_openai": "refinery.recorders.openai",
}


def __getattr__(name: str) -> object:
    if home := _HOME.get(name):
        return getattr(import_module(home), name)
    raise AttributeError(f"module 'refinery' has no attribute {name!r}")
