"""Brings the prefixes clients put before a path to one form."""

from collections.abc import Iterator

OTLP = ("/v1/traces", "/v1/logs", "/v1/metrics")
"""OTLP/HTTP 1.x, section "OTLP/HTTP Request"."""

_LANGSMITH = ("/api/v1", "/api", "/v1")
"""What LANGSMITH_ENDPOINT may end with: the client adds `/runs/…` to it as it is."""

_OTLP_BEFORE = ("", "/otel", "/public/otel", "/api", "/api/otel")
"""LangSmith's and Langfuse's prefixes of OTLP, and those of a client set to the wrong one."""


def plain(path: str) -> str:
    """The path without the prefixes that mean nothing; `/api/v2/…` stays as it is.

    >>> plain("/api/v1/runs/query"), plain("/api/public/otel/v1/traces"), plain("/api/v2/runs/x")
    ('/runs/query', '/v1/traces', '/api/v2/runs/x')
    """
    for rest in _without_prefix(path):
        if rest.startswith("/api/v2/"):
            return rest
        for before in _OTLP_BEFORE:
            if rest.startswith(before) and rest[len(before) :].rstrip("/") in OTLP:
                return rest[len(before) :].rstrip("/")
    *_, shortest = _without_prefix(path)
    return shortest


def _without_prefix(path: str) -> Iterator[str]:
    """The path, and what follows a prefix of LangSmith's when there is one."""
    yield path
    for prefix in _LANGSMITH:
        if path.startswith(f"{prefix}/"):
            yield path[len(prefix) :]
            return
