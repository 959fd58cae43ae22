"""Asks LangSmith's read API through its SDK: version 2 first, version 1 where there is no other.

Two traps of version 2 (SDK 0.14, `types/run_query_v2_params.py`) lose runs without an error:
without `selects` only ids come back, and without `min_start_time` only the last 24 hours. Every
query here sets both.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from refinery.errors import CredentialsError, InputError, NotFoundError, RefineryError
from refinery.model.trace import Json

if TYPE_CHECKING:
    from langsmith import Client

LIGHT = (
    *("id", "name", "run_type", "status", "start_time", "end_time", "first_token_time"),
    *("error", "metadata", "parent_run_ids", "project_id", "trace_id", "dotted_order", "tags"),
    *("total_tokens", "prompt_tokens", "completion_tokens", "total_cost"),
    *("prompt_token_details", "completion_token_details"),
)
"""Fields of a run without what went in and out, in the words of version 2."""

FULL = (*LIGHT, "inputs", "outputs", "events", "extra", "attachments")

_NAMES_V1 = {
    "project_id": ("session_id",),
    "parent_run_ids": ("parent_run_ids", "parent_run_id"),
    "metadata": ("extra",),
    "inputs": ("inputs", "inputs_s3_urls"),
    "outputs": ("outputs", "outputs_s3_urls"),
    "attachments": ("s3_urls",),
}
"""Fields that version 1 calls otherwise."""

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_PAGE = 100
_MAX_RUNS = 50_000
"""Most runs one query may answer; a service that never ends its pages is stopped here."""

_NO_KEY = "none"
_NO_SUCH_ROUTE = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Query:
    """Which runs to ask for."""

    project_ids: tuple[str, ...] = ()
    """Version 1 asks all projects when there are none; version 2 needs at least one."""
    trace_id: str | None = None
    run_id: str | None = None
    only_roots: bool = False
    only_failed: bool = False
    since: datetime | None = None
    until: datetime | None = None
    limit: int = _MAX_RUNS
    fields: Sequence[str] = FULL


class NoVersion2Error(InputError):
    """The service does not know version 2 of the read API."""


class Api:
    """One service and one key."""

    def __init__(self, api_url: str | None) -> None:
        import langsmith

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK warns of keys needed for tracing only
            self.client: Client = langsmith.Client(api_url=api_url, auto_batch_tracing=False)
        if not self.client.api_key and getattr(self.client, "_profile_auth", None) is None:
            # Without any key the SDK raises before it asks; let the service decide.
            self.client.api_key = _NO_KEY

    @property
    def url(self) -> str:
        """Address of the service."""
        return self.client.api_url

    def query_v2(self, query: Query) -> list[dict[str, Json]]:
        """Matching runs as version 2 writes them, all pages.

        Raises:
            NoVersion2Error: the service has only version 1.
            CredentialsError, InputError: see `explained`.
        """
        wanted: dict[str, Any] = {
            "project_ids": list(query.project_ids),
            "selects": [name.upper() for name in query.fields],
            "min_start_time": query.since or _LONG_AGO,
            "max_start_time": query.until or datetime.now(tz=UTC) + timedelta(days=1),
            "page_size": min(_PAGE, query.limit),
        }
        if query.trace_id:
            wanted["trace_id"] = query.trace_id
        if query.run_id:
            wanted["ids"] = [query.run_id]
        if query.only_roots:
            wanted["is_root"] = True
        if query.only_failed:
            wanted["has_error"] = True
        return self._pages_v2(wanted, query.limit)

    def _pages_v2(self, wanted: dict[str, Any], limit: int) -> list[dict[str, Json]]:
        found: list[dict[str, Json]] = []
        seen: set[str] = set()
        while True:
            with explained(self.url):
                answer = self._v2().runs.with_raw_response.query_v2(**wanted)
                page = json.loads(answer.read())
            found += _objects(page, "items")
            cursor = page.get("next_cursor") if isinstance(page, Mapping) else None
            if not isinstance(cursor, str) or cursor in seen or len(found) >= limit:
                return found[:limit]
            seen.add(cursor)
            wanted = {**wanted, "cursor": cursor}

    def _v2(self) -> Any:
        """The SDK's blocking client of version 2; its public accessor is for coroutines only."""
        return self.client._get_langsmith_api_sync()

    def query_v1(self, query: Query) -> list[dict[str, Json]]:
        """Matching runs as version 1 writes them, all pages.

        Raises:
            NotFoundError, CredentialsError, InputError: see `explained`.
        """
        body: dict[str, Json] = {
            "session": list(query.project_ids) or None,
            "trace": query.trace_id,
            "id": [query.run_id] if query.run_id else None,
            "is_root": True if query.only_roots else None,
            "error": True if query.only_failed else None,
            "start_time": query.since.isoformat() if query.since else None,
            "select": [n for name in query.fields for n in _NAMES_V1.get(name, (name,))],
            "limit": min(_PAGE, query.limit),
        }
        body = {name: value for name, value in body.items() if value is not None}
        return self._pages_v1("/runs/query", body, query.limit)

    def shared_v1(self, token: str) -> list[dict[str, Json]]:
        """All runs of a shared trace, as version 1 writes them."""
        return self._pages_v1(f"/public/{token}/runs/query", {}, _MAX_RUNS)

    def shared_v2(self, token: str) -> list[dict[str, Json]]:
        """All runs of a shared trace: the list, then each with what went in and out."""
        runs = self._v2().public.runs.with_raw_response
        with explained(self.url):
            answer = runs.query(token, selects=[name.upper() for name in LIGHT])
            listed = _objects(json.loads(answer.read()), "items")[:_MAX_RUNS]
            found = []
            for item in listed:
                whole = runs.retrieve(
                    str(item.get("id") or ""),
                    share_token=token,
                    selects=[name.upper() for name in FULL],
                    start_time=item.get("start_time") or _LONG_AGO,
                )
                found.append(item | dict(json.loads(whole.read())))
            return found

    def read_v1(self, run_id: str) -> dict[str, Json]:
        """One run by id alone.

        Raises:
            NotFoundError: there is none.
        """
        answer = self._request("GET", f"/runs/{run_id}")
        return dict(answer) if isinstance(answer, Mapping) else {}

    def project_id(self, name: str) -> str:
        """Id of a project by name.

        Raises:
            NotFoundError: there is none.
        """
        with explained(self.url):
            return str(self.client.read_project(project_name=name).id)

    def project_ids(self) -> list[str]:
        """Ids of all projects."""
        with explained(self.url):
            return [str(project.id) for project in self.client.list_projects()]

    def close(self) -> None:
        """Release the connections."""
        self._v2().close()
        self.client.session.close()

    def _pages_v1(self, path: str, body: dict[str, Json], limit: int) -> list[dict[str, Json]]:
        found: list[dict[str, Json]] = []
        seen: set[str] = set()
        while True:
            answer = self._request("POST", path, json.dumps(body).encode())
            page = _objects(answer, "runs")
            found += page
            cursors = answer.get("cursors") if page else None
            cursor = cursors.get("next") if isinstance(cursors, Mapping) else None
            if not isinstance(cursor, str) or cursor in seen or len(found) >= limit:
                return found[:limit]
            seen.add(cursor)
            body = {**body, "cursor": cursor}

    def _request(self, method: Any, path: str, content: bytes | None = None) -> Json:
        with explained(self.url):
            given = {"data": content} if content is not None else {}
            return self.client.request_with_retries(method, path, request_kwargs=given).json()


def _objects(answer: Json, name: str) -> list[dict[str, Json]]:
    """The objects in one list of an answer; none when it is not there."""
    items = answer.get(name) if isinstance(answer, Mapping) else None
    return [dict(item) for item in items or () if isinstance(item, Mapping)]


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what the SDK raises inside into our errors.

    Raises:
        NoVersion2Error: there is no such route (version 2).
        NotFoundError: there is no such thing (version 1).
        CredentialsError: the key is missing or was refused.
        InputError: the service cannot be reached, asks to wait, or answers nonsense.
    """
    import requests
    from langsmith import utils

    # The errors of the SDK's version 2 client have no public name yet.
    from langsmith._exceptions import APIConnectionError, APIStatusError, LangsmithError

    try:
        yield
    except APIStatusError as error:
        if error.status_code in _NO_SUCH_ROUTE:
            raise NoVersion2Error(f"{url} has no read API of version 2") from error
        raise _refused(url, error.status_code, error) from error
    except utils.LangSmithNotFoundError as error:
        raise NotFoundError(
            f"{url} has nothing of that name or id", hint="check the project and the id"
        ) from error
    except utils.LangSmithAuthError as error:
        raise _refused(url, 401, error) from error
    except utils.LangSmithRateLimitError as error:
        raise _refused(url, 429, error) from error
    except (APIConnectionError, utils.LangSmithConnectionError) as error:
        raise _unreachable(url, error) from error
    except (utils.LangSmithError, requests.RequestException) as error:
        response = getattr(error.__context__, "response", None)
        status = getattr(response, "status_code", None)
        raise (_refused(url, status, error) if status else _unreachable(url, error)) from error
    except (LangsmithError, ValueError) as error:
        raise InputError(
            f"{url} answered something that cannot be read: {error}",
            hint="is LANGSMITH_ENDPOINT the address of a LangSmith API?",
        ) from error


def _refused(url: str, status: int, error: Exception) -> RefineryError:
    if status in (401, 403):
        return CredentialsError(
            f"{url} refused the key (HTTP {status})",
            hint="set LANGSMITH_API_KEY; a key of an organisation also needs "
            "LANGSMITH_WORKSPACE_ID",
        )
    if status == 429:
        return InputError(f"{url} asks to wait (HTTP 429)", hint="try again in a minute")
    return InputError(f"{url} answered HTTP {status}: {str(error)[:300]}", hint="try again later")


def _unreachable(url: str, error: Exception) -> InputError:
    return InputError(
        f"{url} cannot be reached: {str(error)[:300]}",
        hint="check LANGSMITH_ENDPOINT and the network",
    )
