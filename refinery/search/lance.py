"""The tables of the observability store in LanceDB; `register` says which of their rows count.

Filters are expressions whose values are literals of the library, never text put into a statement.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refinery.search.interactions import Cycle, Interaction
from refinery.search.query import FAILED, Query

os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings would go to the user's terminal
import lancedb  # reads the variable when imported
from lancedb.expr import Expr, col, lit
from lancedb.index import BTree, IvfFlat

Floats = NDArray[np.float32]
INTERACTIONS, CYCLES, USERS, SESSIONS = "interactions", "react_cycles", "users", "sessions"
_INT64 = 2**63
_KEPT = timedelta(minutes=1)
"""How long older versions of a table stay for those who are reading them."""
_PANICS = ("PanicException", "RustPanic")
"""What its Rust parts raise when they give up; not all of it is an `Exception`."""
_SAMPLES = 64
"""Vectors a part of the index is learnt from: a quarter of the library's default costs a quarter
of the time; recall is measured afterwards, not assumed."""
_STEP = 500
"""Numbers named in one condition."""
_ABOUT = [
    ("trace_id", pa.string()),
    ("run_id", pa.string()),
    ("user_id", pa.string()),
    ("session_id", pa.string()),
    ("project", pa.string()),
    ("source", pa.string()),
    ("name", pa.string()),
    ("status", pa.string()),
    ("label", pa.string()),
    ("kinds", pa.string()),
    ("start_ns", pa.int64()),
    ("end_ns", pa.int64()),
    ("asked", pa.string()),
    ("answered", pa.string()),
    ("error", pa.string()),
    ("context", pa.string()),
]
_CYCLE = pa.schema(
    [
        ("interaction", pa.int64()),
        ("trace_id", pa.string()),
        ("run_id", pa.string()),
        ("parent_id", pa.string()),
        ("user_id", pa.string()),
        ("position", pa.int64()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("status", pa.string()),
        ("start_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("reasoning", pa.string()),
        ("context", pa.string()),
    ]
)
_SPAN = [
    ("interactions", pa.int64()),
    ("errors", pa.int64()),
    ("tokens", pa.int64()),
    ("first_ns", pa.int64()),
    ("last_ns", pa.int64()),
]
_USER = pa.schema([("user_id", pa.string()), ("sessions", pa.int64()), *_SPAN])
_SESSION = pa.schema([("session_id", pa.string()), ("user_id", pa.string()), *_SPAN])


class DamagedTablesError(Exception):
    """The tables cannot be read; build them again. Never leaves the search room."""


@dataclass(frozen=True, slots=True)
class Near:
    """One interaction and how near it is."""

    number: int
    similarity: float
    """Cosine of the angle between the vectors, -1 to 1."""


class Tables:
    """Open tables in one folder."""

    def __init__(self, folder: Path, dimensions: int, *, new: bool = False) -> None:
        self._schema = pa.schema(
            [("number", pa.int64()), *_ABOUT, ("vector", pa.list_(pa.float32(), dimensions))]
        )
        with _explained():
            self._db: Any = lancedb.connect(str(folder))
            if new:
                self._db.create_table(INTERACTIONS, schema=self._schema)
                self._db.create_table(CYCLES, schema=_CYCLE)
                self._db.create_table(USERS, schema=_USER)
                self._db.create_table(SESSIONS, schema=_SESSION)
            self._interactions: Any = self._db.open_table(INTERACTIONS)
            self._cycles: Any = self._db.open_table(CYCLES)

    def write(self, given: Sequence[tuple[int, Interaction]], vectors: Floats) -> None:
        """Write interactions under their numbers, in place of what stood there.

        Args:
            given: interactions and their numbers.
            vectors: (interactions, dimensions) float32, unit length or zero.
        """
        self.remove([number for number, _ in given])
        rows = [_row(number, one) for number, one in given]
        columns = {name: [row[name] for row in rows] for name in ("number", *dict(_ABOUT))}
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        cycles = [_cycle(number, one, cycle) for number, one in given for cycle in one.cycles]
        with _explained():
            if cycles:
                self._cycles.add(pa.Table.from_pylist(cycles, schema=_CYCLE))
            self._interactions.add(pa.table(columns, schema=self._schema))

    def remove(self, numbers: Sequence[int]) -> None:
        """Take interactions out, with their cycles."""
        for start in range(0, len(numbers), _STEP):
            named = ", ".join(str(int(one)) for one in numbers[start : start + _STEP])
            with _explained():
                self._cycles.delete(f"interaction IN ({named})")
                self._interactions.delete(f"number IN ({named})")

    def numbers(self) -> list[int]:
        """Numbers of all rows, in no order."""
        with _explained():
            found = self._interactions.search().select(["number"]).limit(None).to_arrow()
        return list(found["number"].to_pylist())

    def count(self) -> int:
        """Number of interactions."""
        with _explained():
            return int(self._interactions.count_rows())

    def rows(self, numbers: Sequence[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
        """Some columns of some interactions, by number."""
        found: dict[int, dict[str, Any]] = {}
        for start in range(0, len(numbers), _STEP):
            named = ", ".join(str(int(one)) for one in numbers[start : start + _STEP])
            with _explained():
                part = self._interactions.search().where(f"number IN ({named})")
                got = part.select(["number", *columns]).limit(_STEP).to_arrow()
            found.update({row["number"]: row for row in got.to_pylist()})
        return found

    def nearest(
        self, vector: Floats, query: Query, limit: int, probes: int | None = None
    ) -> list[Near]:
        """The interactions nearest to a vector that pass the filters, nearest first.

        Args:
            vector: (dimensions,) float32, unit length.
            query: its filters; its text and limit are not used.
            limit: most interactions.
            probes: parts of the vector index that are read; None: compare with every vector.
        """
        with _explained():
            asked = self._interactions.search(vector, vector_column_name="vector")
            asked = asked.distance_type("dot").select(["number", "_distance"]).limit(limit)
            condition = _condition(query)
            if condition is not None:
                asked = asked.where(condition, prefilter=True)
            asked = asked.bypass_vector_index() if probes is None else asked.nprobes(probes)
            found = asked.to_arrow()
        pairs = zip(found["number"].to_pylist(), found["_distance"].to_pylist(), strict=True)
        return [Near(number, 1.0 - distance) for number, distance in pairs]

    def containing(self, text: str, query: Query, limit: int) -> list[int]:
        """Numbers of interactions whose question or answer holds a text, in no order."""
        with _explained():
            holds = col("asked").contains(lit(text)) | col("answered").contains(lit(text))
            condition = _condition(query)
            asked = self._interactions.search().select(["number"]).limit(limit)
            asked = asked.where(holds if condition is None else holds & condition)
            return list(asked.to_arrow()["number"].to_pylist())

    def count_matching(self, query: Query, most: int) -> int:
        """Number of interactions that pass the filters, counted up to a limit."""
        condition = _condition(query)
        with _explained():
            if condition is None:
                return min(most, int(self._interactions.count_rows()))
            asked = self._interactions.search().where(condition).select(["number"])
            return int(asked.limit(most).to_arrow().num_rows)

    def sample(self, count: int) -> list[dict[str, Any]]:
        """Question and vector of some interactions, evenly spread over the table."""
        total = self.count()
        places = sorted({int(place) for place in np.linspace(0, total - 1, min(count, total))})
        with _explained():
            found = self._interactions.take_offsets(places).select(["asked", "vector"]).to_arrow()
        return list(found.to_pylist())

    def write_people(
        self, users: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]]
    ) -> None:
        """Write the tables of users and sessions anew."""
        with _explained():
            for name, schema, rows in ((USERS, _USER, users), (SESSIONS, _SESSION, sessions)):
                table = pa.Table.from_pylist([_clean_row(row) for row in rows], schema=schema)
                self._db.create_table(name, table, mode="overwrite")

    def people(self, name: str) -> list[dict[str, Any]]:
        """Rows of the table of users or sessions."""
        with _explained():
            return list(self._db.open_table(name).to_arrow().to_pylist())

    def make_scalar_indexes(self) -> None:
        """Index the columns that filters name."""
        with _explained():
            for column in ("number", "user_id", "start_ns"):
                self._interactions.create_index(column, config=BTree(), replace=True)
            self._cycles.create_index("interaction", config=BTree(), replace=True)

    def make_vector_index(self, parts: int) -> None:
        """Sort the vectors, whole as they are, into so many parts of near ones (IVF)."""
        with _explained():
            config = IvfFlat(distance_type="dot", num_partitions=parts, sample_rate=_SAMPLES)
            self._interactions.create_index("vector", config=config, replace=True)

    def unindexed(self) -> int:
        """Interactions the vector index does not hold; all of them when there is no index."""
        with _explained():
            found = self._interactions.index_stats("vector_idx")
            return self.count() if found is None else int(found.num_unindexed_rows)

    def tidy(self, *, forget: bool = False) -> None:
        """Join small files; with `forget`, erase what was deleted from the disk as well."""
        age = timedelta(0) if forget else _KEPT
        with _explained(), warnings.catch_warnings():
            # It warns that readers of older versions fail: they say so, and read again.
            warnings.simplefilter("ignore", UserWarning)
            for name in (INTERACTIONS, CYCLES, USERS, SESSIONS):
                table = self._db.open_table(name)
                table.optimize(cleanup_older_than=age, delete_unverified=forget)
            self._interactions.checkout_latest()
            self._cycles.checkout_latest()


def _condition(query: Query) -> Expr | None:
    """The filters of a query as an expression; None when it has none."""
    parts: list[Expr] = []
    for column, value in (
        ("user_id", query.user),
        ("session_id", query.session),
        ("project", query.project),
    ):
        if value is not None:
            parts.append(col(column) == lit(_clean(value)))
    if query.status == FAILED:
        parts.append((col("status") == lit("error")) | (col("label") == lit("fail")))
    elif query.status is not None:
        parts.append(col("status") == lit(query.status))
    if query.kind is not None:
        parts.append(col("kinds").contains(lit(f",{query.kind},")))
    if query.since_ns is not None:
        parts.append(col("start_ns") >= lit(_bounded(query.since_ns)))
    if query.until_ns is not None:
        parts.append(col("start_ns") < lit(_bounded(query.until_ns)))
    joined: Expr | None = None
    for part in parts:
        joined = part if joined is None else joined & part
    return joined


def _row(number: int, one: Interaction) -> dict[str, Any]:
    about = one.summary
    return _clean_row(
        {
            "number": number,
            "trace_id": about.trace_id,
            "run_id": one.run_id,
            "user_id": about.user_id,
            "session_id": about.session_id,
            "project": about.project,
            "source": about.source,
            "name": about.name,
            "status": str(about.status),
            "label": about.label,
            "kinds": f",{','.join(sorted(one.kinds))},",
            "start_ns": about.start_ns,
            "end_ns": about.end_ns,
            "asked": one.asked,
            "answered": one.answered,
            "error": one.error,
            "context": one.context,
        }
    )


def _cycle(number: int, one: Interaction, cycle: Cycle) -> dict[str, Any]:
    return _clean_row(
        {
            "interaction": number,
            "trace_id": one.summary.trace_id,
            "run_id": cycle.run_id,
            "parent_id": cycle.parent_id,
            "user_id": one.summary.user_id,
            "position": cycle.position,
            "name": cycle.name,
            "kind": cycle.kind,
            "status": cycle.status,
            "start_ns": cycle.start_ns,
            "end_ns": cycle.end_ns,
            "reasoning": cycle.reasoning,
            "context": cycle.context,
        }
    )


def _clean_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with text Arrow accepts, and None for times it cannot hold."""
    cleaned: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str):
            cleaned[name] = _clean(value)
        elif isinstance(value, int) and not -_INT64 <= value < _INT64:
            cleaned[name] = None
        else:
            cleaned[name] = value
    return cleaned


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _bounded(value: int) -> int:
    return max(-_INT64, min(_INT64 - 1, value))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the library raises over damaged files into one error."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise DamagedTablesError(f"{type(error).__name__}: {error}"[:500]) from error
    except BaseException as error:
        if type(error).__name__ not in _PANICS:
            raise
        raise DamagedTablesError(f"the library gave up: {error}"[:500]) from error
