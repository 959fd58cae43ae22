"""Answers: JSON with a reason, never a stack trace, always with the same protective headers."""

import json
from collections.abc import Mapping

import orjson
from starlette.responses import Response

from refinery.model.codec import encode
from refinery.model.trace import Json

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer, so that no page can frame, sniff or embed it (OWASP secure headers)."""


PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content security policy of the pages: our own files only, nothing inline (W3C CSP level 3)."""

CODES = {
    400: "input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "content_type",
    422: "input",
    429: "busy",
    503: "store",
}
"""Stable names of errors that are no `RefineryError`, by HTTP status."""


class RequestError(Exception):
    """A request is not taken; the answer says why.

    Attributes:
        status: HTTP status of the answer.
        reason: one sentence for people; never holds what a client sent as a secret.
        headers: of the answer.
    """

    def __init__(
        self, status: int, reason: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def to_bytes(document: Json) -> bytes:
    """Compact JSON in UTF-8 of anything a store holds, also what orjson refuses."""
    try:
        return orjson.dumps(document, default=str)
    except (TypeError, ValueError, RecursionError):  # e.g. integers beyond 64 bits, surrogates
        return json.dumps(encode(document), separators=(",", ":")).encode()


def problem(
    status: int,
    message: str,
    *,
    code: str = "",
    hint: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as our own API writes it."""
    error = {"code": code or CODES.get(status, "bug"), "message": message, "hint": hint}
    return to_json({"schema_version": 1, "error": error}, status, headers)


def to_json(
    document: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer in JSON."""
    return Response(
        orjson.dumps(document, default=str),
        status,
        dict(headers or {}),
        media_type="application/json",
    )


def refusal(error: RequestError) -> Response:
    """The answer to a refused request, `{"detail": reason}` as FastAPI writes it."""
    return to_json({"detail": error.reason}, error.status, error.headers)
