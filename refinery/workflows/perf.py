"""What runs cost, over the whole store: reports and SQL."""

from dataclasses import dataclass

from refinery.errors import InputError
from refinery.performance import sql as asking
from refinery.performance.costly_paths import CostlyPath, costly_paths
from refinery.performance.critical_path import Paths, critical_paths
from refinery.performance.error_patterns import ErrorPattern, error_patterns
from refinery.performance.figures import Figures, figures
from refinery.performance.frames import Frame, group_sql
from refinery.performance.regressions import Regression, regressions
from refinery.ports import Analysing, Store


@dataclass(frozen=True, slots=True)
class Report:
    """What the runs of a frame cost."""

    frame: Frame
    group: str
    figures: tuple[Figures, ...]
    errors: tuple[ErrorPattern, ...]
    paths: Paths
    costs: tuple[CostlyPath, ...]
    regressions: tuple[Regression, ...]
    """Against the other frame; empty when none was given, or no group is in both."""
    against: Frame | None = None
    """The other frame."""


def report(
    store: Store,
    frame: Frame,
    group: str = "name",
    *,
    against: Frame | None = None,
    limit: int = 30,
) -> Report:
    """Figures, error patterns, critical paths and, against another frame, regressions.

    Args:
        store: holds the runs.
        frame: which runs.
        group: one of `frames.GROUPS`.
        against: what the frame is compared with.
        limit: most lines of each part.

    Raises:
        InputError: there is no such group, a frame ends before it begins, or the store keeps no
            copy for SQL.
        StoreError: the copy is in use by another program.
    """
    group_sql(group)
    for one in (frame, against):
        if one is not None:
            one.check()
    with asking.open_reader(analysing(store).analytics()) as reader:
        return Report(
            frame,
            group,
            tuple(figures(reader, frame, group, limit)),
            tuple(error_patterns(reader, frame, limit)),
            critical_paths(reader, frame),
            tuple(costly_paths(reader, frame, limit)),
            tuple(regressions(reader, against, frame, group)[:limit]) if against else (),
            against,
        )


def ask(
    store: Store, sql: str, *, max_rows: int = asking.MAX_ROWS, timeout_s: float = asking.TIMEOUT_S
) -> asking.Table:
    """The answer to one SELECT over `runs`, `traces`, `feedback` and `model_calls`.

    Raises:
        RefusedError: it is not one SELECT, or reaches for other files.
        InputError: it is not SQL, or names what is not there.
        BudgetError: it took too long or too much memory.
    """
    with asking.open_reader(analysing(store).analytics()) as reader:
        return reader.ask(sql, max_rows=max_rows, timeout_s=timeout_s)


def analysing(store: Store) -> Analysing:
    """The store as one that keeps a copy for SQL.

    Raises:
        InputError: it keeps none.
    """
    if not isinstance(store, Analysing):
        raise InputError("this store keeps no copy for SQL", hint="use a SQLite or a hybrid store")
    return store
