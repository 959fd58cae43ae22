"""Answers: JSON with a reason, never a stack trace, always with the same protective headers."""

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from refinery.model.trace import Json

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer, so that no page can frame, sniff or embed it (OWASP secure headers)."""


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
