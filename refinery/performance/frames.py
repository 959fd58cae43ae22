"""Which runs a figure is of: time, session, project and the like, as SQL with parameters."""

from dataclasses import dataclass, fields
from typing import Any

from refinery.errors import InputError


def _told(column: str) -> str:
    """What a run says of it, else its trace: many tell session and user at the root alone."""
    return (
        f"coalesce(one.{column}, (SELECT max(whole.{column}) FROM traces AS whole "  # noqa: S608  # our own names
        "WHERE whole.trace_id = one.trace_id))"
    )


GROUPS: dict[str, str] = {
    "name": "name",
    "layer": "layer",
    "kind": "kind",
    "variant": "variant",
    "session": _told("session_id"),
    "user": _told("user_id"),
    "project": "project",
    "model": "model",
    "source": "source",
    "hour": "strftime(make_timestamp(start_ns // 1000), '%Y-%m-%dT%H:00Z')",
    "day": "strftime(make_timestamp(start_ns // 1000), '%Y-%m-%d')",
}
"""What runs can be grouped by, as SQL over `runs` or `model_calls` under the name `one`."""

_OF_SESSION = (
    "(session_id = ? OR session_id IS NULL "
    "AND trace_id IN (SELECT trace_id FROM traces WHERE session_id = ?))"
)
_COLUMNS = {
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
    """Of the run, or of its trace when the run names none."""
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
                parameters.append(clean(value))
        if self.session is not None:
            clauses.append(_OF_SESSION)
            parameters += [clean(self.session)] * 2
        for clause, bound in (("start_ns >= ?", self.since_ns), ("start_ns < ?", self.until_ns)):
            if bound is not None:
                clauses.append(clause)
                parameters.append(max(-(2**63), min(2**63 - 1, bound)))
        return " AND ".join(clauses), parameters

    def check(self) -> None:
        """Say when no run can be in it.

        Raises:
            InputError: it ends before it begins.
        """
        bounds = (self.since_ns, self.until_ns)
        if bounds[0] is not None and bounds[1] is not None and bounds[0] >= bounds[1]:
            raise InputError(
                "the time frame ends before it begins", hint="give the earlier time first"
            )

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


def clean(text: str) -> str:
    """A text as a parameter; what is no Unicode becomes a question mark, as in the copy."""
    return text.encode("utf-8", "replace").decode()
