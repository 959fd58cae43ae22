"""Which repository a trace belongs to."""

from pathlib import Path

from refinery import home
from refinery.errors import InputError
from refinery.model.trace import EntryPoint, Trace
from refinery.replay import tape


def entry_point(trace: Trace) -> EntryPoint | None:
    """How the traced program was started; None when the trace does not say."""
    return tape.entry_point(trace.root) if trace.root else None


def find(named: Path | None) -> Path | None:
    """The repository to use: the named one, else that of the working directory.

    The one a trace names is never used unasked: a trace may come from anybody.
    """
    return named if named is not None else home.project_root(Path.cwd())


def choose(named: Path | None, trace: Trace) -> Path:
    """Like `find`, for work that needs a repository.

    Raises:
        InputError: there is none; the hint tells where the trace says it was recorded.
    """
    folder = find(named)
    if folder is None:
        recorded = entry_point(trace)
        place = recorded.repository if recorded and recorded.repository else "DIR"
        raise InputError(
            "this folder is not in a repository", hint=f"add --repo {place}, if that is yours"
        )
    return folder
