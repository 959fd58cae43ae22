"""The web pages: one shell for every address below `/ui`, and the files it is made of."""

from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from refinery.server.answers import RequestError, to_json
from refinery.server.tokens import PAGES

FOLDER = Path(__file__).parent / "ui" / "static"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""What is served, and as what: the machine's own table may be wrong (IANA media types)."""

_CLOSED = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Refinery</title></head>
<body><h1>This page is locked</h1><p>{reason}.</p>
<p>Start <code>refinery serve</code> again if the terminal is gone: it prints a new one.</p>
</body></html>
"""


async def to_pages(request: Request) -> Response:
    """The front door leads to the pages."""
    return RedirectResponse(f"{PAGES}/", 307)


async def health(request: Request) -> Response:
    """Whether the server runs; for programs that wait for it, so it asks for no token."""
    return to_json({"schema_version": 1, "status": "ok"})


async def shell(request: Request) -> Response:
    """The one page that draws every address below `/ui` itself."""
    return _file(FOLDER / "index.html", request)


async def static(request: Request) -> Response:
    """A file of the pages."""
    wanted = FOLDER / request.path_params["path"]
    # Nothing outside the folder, whatever dots or links the path holds.
    if "\x00" in str(wanted) or not wanted.resolve().is_relative_to(FOLDER.resolve()):
        raise RequestError(404, "there is no such file")
    return _file(wanted, request)


def refused(error: RequestError) -> Response:
    """The page for who comes without the token, or to what is not there."""
    if error.status != 401:
        return Response(error.reason, error.status, dict(error.headers), media_type="text/plain")
    page = _CLOSED.format(reason=escape(error.reason))
    return Response(page, error.status, dict(error.headers), media_type="text/html")


def _file(path: Path, request: Request) -> Response:
    """The file, or nothing but its tag when the browser has it as it is (RFC 9110, 304)."""
    kind = TYPES.get(path.suffix)
    if kind is None or not path.is_file():
        raise RequestError(404, "there is no such file")
    response = FileResponse(path, media_type=kind, stat_result=path.stat())
    tag = response.headers["etag"]
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return response


ROUTES = (
    Route("/", to_pages),
    Route("/health", health),
    Route(f"{PAGES}/static/{{path:path}}", static),
    Route(PAGES, shell),
    Route(f"{PAGES}/{{path:path}}", shell),
)
