"""Which repository a trace belongs to."""

from pathlib import Path

from refinery import home
from refinery.errors import InputError
from refinery.model.trace import EntryPoint, Trace
from refinery.replay import tape


def entry_point(trace: Trace) -> EntryPoint | None:
    """How the traced program was started; None when the trace does not say."""
    return tape.entry_point(trace.root) if trace.root else None


def find(named: Path | None, trace: Trace) -> Path | None:
    """The repository to use: the named one, that of the working directory, or the recorded one.

    Returns None when there is none.
    """
    if named is not None:
        return named
    here = home.project_root(Path.cwd())
    if here is not None:
        return here
    recorded = entry_point(trace)
    folder = Path(recorded.repository) if recorded and recorded.repository else None
    return folder if folder and folder.is_dir() else None


def choose(named: Path | None, trace: Trace) -> Path:
    """Like `find`, for work that needs a repository.

    Raises:
        InputError: there is none.
    """
    folder = find(named, trace)
    if folder is None:
        raise InputError(
            "no repository to fix: this folder is not in one and the trace names none",
            hint="add --repo DIR",
        )
    return folder
