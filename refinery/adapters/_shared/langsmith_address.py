"""What a person may write to name a trace in LangSmith, and where its service is."""

import re
import uuid
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from refinery.errors import InputError

CLOUDS = {
    "smith.langchain.com": "https://api.smith.langchain.com",
    "eu.smith.langchain.com": "https://eu.api.smith.langchain.com",
    "aws.smith.langchain.com": "https://aws.api.smith.langchain.com",
    "apac.smith.langchain.com": "https://apac.api.smith.langchain.com",
}
"""Services of the vendor, by the host of their pages. The key is sent nowhere else unasked."""

_RUN_PATH = re.compile(r"/o/[^/]+/projects/p/(?P<project>[^/]+)(?:/r/(?P<run>[^/]+))?")
_SHARED_PATH = re.compile(r"/public/(?P<token>[^/]+)/r(?:/(?P<run>[^/]+))?")


@dataclass(frozen=True, slots=True)
class Reference:
    """One trace, as named by a person."""

    run_id: str | None = None
    """Of any run of the trace; None for a shared trace named by its token alone."""
    trace_id: str | None = None
    project_id: str | None = None
    share_token: str | None = None
    host: str | None = None
    """Host of the page the address is of, with its port; None for a bare id."""


def parse(text: str) -> Reference:
    """Read an id or an address of a page of LangSmith.

    Raises:
        InputError: it is neither.
    """
    if is_uuid(text):
        return Reference(run_id=_canonical(text))
    try:
        parts = urlsplit(text)
        query = parse_qs(parts.query)
    except ValueError as error:
        raise _unreadable(text) from error
    if parts.scheme not in ("http", "https"):
        raise _unreadable(text)
    if shared := _SHARED_PATH.search(parts.path):
        _require(text, shared["token"], *([shared["run"]] if shared["run"] else []))
        return Reference(run_id=shared["run"], share_token=shared["token"], host=parts.netloc)
    found = _RUN_PATH.search(parts.path)
    run = (found["run"] if found else None) or next(iter(query.get("peek", ())), None)
    trace = next(iter(query.get("trace_id", ())), None)
    if found is None or not (run or trace):
        raise _unreadable(text)
    ids = [value for value in (run, trace, found["project"]) if value]
    _require(text, *ids)
    return Reference(run or trace, trace, found["project"], host=parts.netloc)


def endpoint(reference: Reference, configured: str | None) -> str | None:
    """The service to ask; None: the client's own default.

    Args:
        reference: what is asked for.
        configured: `LANGSMITH_ENDPOINT`, if set.

    Raises:
        InputError: the address is of a host the key must not be sent to unasked.
    """
    if reference.host is None:
        return configured
    if configured:
        ours, theirs = _host(configured), _host(f"//{reference.host}")
        if theirs != ours and not ours.endswith(f".{theirs}") and theirs not in _pages_of(ours):
            raise InputError(
                f"the address is on {theirs}, but LANGSMITH_ENDPOINT is {configured}",
                hint="set LANGSMITH_ENDPOINT to the API of that host",
            )
        return configured
    cloud = CLOUDS.get(reference.host)
    if cloud is None:
        raise InputError(
            f"{reference.host} is not a host of LangSmith's cloud",
            hint="for a self-hosted LangSmith set LANGSMITH_ENDPOINT to its API",
        )
    return cloud


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _pages_of(api_host: str) -> list[str]:
    return [page for page, api in CLOUDS.items() if _host(api) == api_host]


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in any of its spellings."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _canonical(text: str) -> str:
    return str(uuid.UUID(text))


def _require(text: str, *ids: str) -> None:
    if not all(is_uuid(value) for value in ids):
        raise _unreadable(text)


def _unreadable(text: str) -> InputError:
    return InputError(
        f"{text!r} names no LangSmith run",
        hint="give a run id, or an address like "
        "https://smith.langchain.com/o/<org>/projects/p/<project>/r/<run>",
    )
