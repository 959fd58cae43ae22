"""Which runs a figure is of: time, session, project and the like, as SQL with parameters."""

from dataclasses import dataclass, fields
from typing import Any

from refinery.errors import InputError

GROUPS: dict[str, str] = {
    "name": "name",
    "layer": "layer",
    "kind": "kind",
    "variant": "variant",
    "session": "session_id",
    "user": "user_id",
    "project": "project",
    "model": "model",
    "source": "source",
    "hour": "strftime(make_timestamp(start_ns // 1000), '%Y-%m-%dT%H:00Z')",
    "day": "strftime(make_timestamp(start_ns // 1000), '%Y-%m-%d')",
}
"""What runs can be grouped by, as SQL over `runs`."""

_COLUMNS = {
    "session": "session_id",
    "project": "project",
    "name": "name",
    "layer": "layer",
    "kind": "kind",
    "variant": "variant",
    "source": "source",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Which runs to look at; None leaves a field open."""

    since_ns: int | None = None
    until_ns: int | None = None
    """Half-open: since <= start < until, nanoseconds UTC."""
    session: str | None = None
    project: str | None = None
    name: str | None = None
    layer: str | None = None
    kind: str | None = None
    variant: str | None = None
    source: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """A condition on `runs` and its parameters."""
        clauses = ["true"]
        parameters: list[Any] = []
        for field, column in _COLUMNS.items():
            if (value := getattr(self, field)) is not None:
                clauses.append(f"{column} = ?")
                parameters.append(_clean(value))
        for clause, bound in (("start_ns >= ?", self.since_ns), ("start_ns < ?", self.until_ns)):
            if bound is not None:
                clauses.append(clause)
                parameters.append(max(-(2**63), min(2**63 - 1, bound)))
        return " AND ".join(clauses), parameters

    def said(self) -> dict[str, Any]:
        """The fields that are not open, for JSON."""
        return {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) is not None
        }


def group_sql(group: str) -> str:
    """SQL of what runs are grouped by.

    Raises:
        InputError: nothing of that name.
    """
    try:
        return GROUPS[group]
    except KeyError:
        raise InputError(
            f"runs cannot be grouped by {group!r}", hint=f"one of: {', '.join(GROUPS)}"
        ) from None


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
