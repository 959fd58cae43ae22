"""What a failed call means: whether to try again, how long to wait, and our error for it."""

import re

from refinery.errors import CredentialsError, ModelError

MAX_WAIT_S = 20.0
"""Longest wait between two attempts, whatever `Retry-After` says."""


def outcome_of(error: Exception) -> str:
    """The failure in a word for the log: `timeout`, `connection`, `unreadable`, `status 429`."""
    status = getattr(error, "status_code", None)
    if status:
        return f"status {status}"
    names = {kind.__name__ for kind in type(error).__mro__}
    if "APITimeoutError" in names:
        return "timeout"
    return "connection" if "APIConnectionError" in names else "unreadable"


def is_passing(error: Exception) -> bool:
    """Whether trying again may help: overload and no connection, never a timeout."""
    status = getattr(error, "status_code", None) or 0
    return status in (408, 409, 429) or status >= 500 or outcome_of(error) == "connection"


def is_free(error: Exception) -> bool:
    """Whether a failed call certainly costs nothing: refused with a status, or never sent."""
    if getattr(error, "status_code", None) is not None:
        return True
    cause: BaseException | None = error
    while cause is not None and type(cause).__name__ != "ConnectError":
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def wait_s(error: Exception, attempt: int) -> float:
    """Seconds to wait: what the server says, else 0.5, 1, 2 …, at most `MAX_WAIT_S`."""
    response = getattr(error, "response", None)
    said = response.headers.get("retry-after", "") if response is not None else ""
    wait = float(said) if re.fullmatch(r"\d+(\.\d+)?", said) else 0.5 * 2.0 ** (attempt - 1)
    return min(wait, MAX_WAIT_S)


def ours(error: Exception, spec: str, base_url: str | None) -> CredentialsError | ModelError:
    """Our error for one of a vendor's library."""
    outcome = outcome_of(error)
    place = base_url or "its vendor"
    if outcome in ("status 401", "status 403"):
        return CredentialsError(
            f"{spec} at {place} refused the key ({outcome})",
            hint="check REFINERY_MODEL_API_KEY",
        )
    said = " ".join(str(error).split())[:300]
    messages = {
        "timeout": "did not answer in time",
        "connection": f"could not be reached: {said}",
        "status 404": f"is not known there: {said}",
        "status 429": f"keeps limiting our rate: {said}",
        "unreadable": f"gave an answer that cannot be used: {said}",
    }
    what = messages.get(outcome, f"failed with {outcome}: {said}")
    return ModelError(
        f"{spec} at {place} {what}",
        hint="check REFINERY_MODEL and REFINERY_MODEL_BASE_URL, or go on without a model",
    )
