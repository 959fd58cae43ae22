"""Bounds of what is sent to the API: its bodies are options and texts, never traces."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refinery.server.answers import problem

MAX_BODY_BYTES = 4 * 2**20
"""Room for 16 prompts of 200,000 characters; chosen by us."""


class Bounded:
    """ASGI middleware: refuses a body that is too large, before it is read or while it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its body counted."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "0")
        if not told.isdecimal() or int(told[:20]) > MAX_BODY_BYTES:
            await problem(413, _REASON)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, _REASON)
            return message

        await self.app(scope, counted, send)


_REASON = f"the body is larger than {MAX_BODY_BYTES // 2**20} MiB"
