"""OTLP over HTTP (OpenTelemetry protocol 1.x): traces and logs; metrics are dropped."""

from starlette.routing import Route

ROUTES: tuple[Route, ...] = ()
