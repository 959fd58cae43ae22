"""Writes answers of the API: every document with its version, every error with code and hint."""

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from refinery.errors import (
    ConflictError,
    CredentialsError,
    InputError,
    NotFoundError,
    RefineryError,
    RefusedError,
    StoreError,
)
from refinery.model.codec import encode
from refinery.model.trace import Json
from refinery.server.answers import RequestError, problem, to_bytes
from refinery.server.api.shapes import ErrorShape
from refinery.server.limits import STORE_RETRY_AFTER_S
from refinery.server.tokens import CALLER, Caller

SCHEMA_VERSION = 1
"""Version of every document of the API."""

_STATUSES: tuple[tuple[type[RefineryError], int], ...] = (
    (StoreError, 503),
    (NotFoundError, 404),
    (ConflictError, 409),
    (RefusedError, 409),
    (CredentialsError, 409),
    (InputError, 400),
)
"""HTTP status of our errors, the special ones first; any other is 400."""

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorShape, "description": text}
    for status, text in {
        400: "The question cannot be answered as it was asked.",
        401: "The token is missing.",
        403: "A foreign page, a foreign host, or no CSRF value.",
        404: "There is none.",
        409: "Refused, or not in this state.",
        413: "The body is too large.",
        415: "The body must be JSON.",
        422: "A parameter or the body is not as described.",
        429: "Too much is waiting.",
        503: "The store cannot be used now.",
    }.items()
}
"""What every operation may answer besides its document."""


def reply(document: Mapping[str, Json], status: int = 200) -> Response:
    """A document as the answer."""
    content = to_bytes({"schema_version": SCHEMA_VERSION, **document})
    return Response(content, status, media_type="application/json")


async def on_own_error(request: Request, error: Exception) -> Response:
    """The answer to an error of the floors below."""
    if not isinstance(error, RefineryError):
        raise error
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
    headers = {"retry-after": str(STORE_RETRY_AFTER_S)} if status == 503 else None
    caller: Caller | None = request.scope.get(CALLER)
    if status == 503 and (caller is None or caller.grant is not None):
        # What is wrong with a store names its place, and may name what others have in it.
        return problem(status, "the store cannot be used now", code=error.code, headers=headers)
    return problem(
        status,
        str(encode(str(error))),
        code=error.code,
        hint=str(encode(error.hint)),
        headers=headers,
    )


async def on_request_error(request: Request, error: Exception) -> Response:
    """The answer to a request that is not taken."""
    if not isinstance(error, RequestError):
        raise error
    return problem(error.status, error.reason, headers=error.headers)


async def on_http_error(request: Request, error: Exception) -> Response:
    """The answer to what the framework refuses, e.g. an unknown path or method."""
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def on_bug(request: Request, error: Exception) -> Response:
    """The answer to what nobody expected; the gate writes it to the log."""
    return problem(500, "the server failed", hint="its log says more")


async def on_invalid(request: Request, error: Exception) -> Response:
    """The answer to parameters or a body that are not as described."""
    if not isinstance(error, RequestValidationError):
        raise error
    told = []
    for one in error.errors()[:5]:
        where = ".".join(str(part) for part in one["loc"])
        told.append(f"{where}: {one['msg']}")
    message = str(encode("; ".join(told)[:2_000]))
    return problem(422, message, hint="see the description at /docs")
