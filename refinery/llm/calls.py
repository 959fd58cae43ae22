"""The log of model calls: one JSON line each, without their content."""

from dataclasses import asdict, dataclass
from pathlib import Path

from refinery import home
from refinery.errors import InputError

CACHED, NOT_CACHED = "cached", "not cached"
"""Outcomes of lines that are no call: a kept answer was looked up."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to call a model."""

    time_ns: int
    """When it began, nanoseconds UTC."""
    model: str
    """`provider:model` as the user named it."""
    purpose: str
    """What it was for, e.g. `analyse`, `generate`."""
    input_tokens: int
    output_tokens: int
    tokens_source: str
    """`reported` by the model, or `bound`: the most the call can have used."""
    cost_usd: float | None
    """Estimated from the price table; None when the price is unknown."""
    outcome: str
    """`ok`, `ok, no usage`, `timeout`, `connection`, `unreadable`, e.g. `status 429`, or
    one of `CACHED` and `NOT_CACHED`."""
    duration_s: float


def append(log: Path | None, call: Call) -> None:
    """Write one line, whole even when several processes write; None writes nothing.

    Raises:
        InputError: the file cannot be written; spending without a record is not wanted.
    """
    if log is None:
        return
    try:
        home.append_line(log, asdict(call))
    except OSError as error:
        raise InputError(
            f"the log of model calls cannot be written: {error}",
            hint="check that its folder can be written and the disk is not full",
        ) from error
