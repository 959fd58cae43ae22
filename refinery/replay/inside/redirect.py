"""Sends the agent's model requests to the gateway, and refuses every other connection.

Base-URL variables reach most clients; code may also hard-code an address, so the transports of
`httpx` and `httpx2` (which the OpenAI and Anthropic SDKs use) are re-aimed by path. Connections
to anything but the gateway are noted and refused in every tier, also without a sandbox.
"""

import ipaddress
import os
import sys
from types import ModuleType
from typing import Any

from refinery.replay.inside import after_import

_ENDINGS = ("/chat/completions", "/responses", "/messages", "/completions", "/embeddings")
RAISE_HEADER = "x-refinery-raise"
"""Names the exception to raise, as the recorded request met it."""
_KEYS = ("authorization", "x-api-key", "api-key")


class Redirect:
    """Where model requests go, and as whom; one a process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = ""
        """Says which case is asking; set before each case."""
        self.refused: list[str] = []
        """Other addresses the agent wanted to reach, each once, in order."""

    def install(self) -> None:
        """Change the process: variables, transports (also of later imports), connections."""
        self.set_variables("refinery-replay")
        after_import.apply({"httpx": self._change, "httpx2": self._change})
        sys.addaudithook(self._audit)

    def begin(self, token: str) -> None:
        """Make the requests from now on those of one case."""
        self.token = token
        self.set_variables(token)

    def set_variables(self, key: str) -> None:
        """Point the variables of both vendors' clients to the gateway."""
        url = f"http://127.0.0.1:{self.port}"
        os.environ |= {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_URL": url,
            "ANTHROPIC_API_KEY": key,
        }

    def aim(self, request: Any) -> Any:
        """Re-aim an httpx request that is a model request; others pass unchanged."""
        path = request.url.path.rstrip("/")
        is_ours = request.url.host == "127.0.0.1" and request.url.port == self.port
        ending = next((end for end in _ENDINGS if path.endswith(end)), None)
        if ending and request.method == "POST" and not is_ours:
            request.url = request.url.copy_with(
                scheme="http", host="127.0.0.1", port=self.port, path="/v1" + ending
            )
            request.headers["host"] = f"127.0.0.1:{self.port}"
            for name in _KEYS:
                request.headers.pop(name, None)
            is_ours = True
        if is_ours and self.token:
            request.headers["x-refinery-token"] = self.token
        return request

    def _change(self, module: ModuleType) -> None:
        plain, asynchronous = module.HTTPTransport, module.AsyncHTTPTransport
        send, asend = plain.handle_request, asynchronous.handle_async_request

        def handle_request(transport: Any, request: Any) -> Any:
            response = send(transport, self.aim(request))
            if name := response.headers.get(RAISE_HEADER):
                response.close()
                raise _error(module, name, request)
            return response

        async def handle_async_request(transport: Any, request: Any) -> Any:
            response = await asend(transport, self.aim(request))
            if name := response.headers.get(RAISE_HEADER):
                await response.aclose()
                raise _error(module, name, request)
            return response

        plain.handle_request = handle_request
        asynchronous.handle_async_request = handle_async_request

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            if isinstance(address, tuple) and not self._is_gateway(address):
                self._refuse(f"{address[0]}:{address[1]}")
        elif event == "socket.getaddrinfo":
            host = arguments[0]
            if isinstance(host, bytes):
                host = host.decode("ascii", "replace")
            if host is not None and not _is_loopback(str(host)):
                self._refuse(str(host))

    def _is_gateway(self, address: tuple[Any, ...]) -> bool:
        return _is_loopback(str(address[0])) and address[1] == self.port

    def _refuse(self, place: str) -> None:
        if place not in self.refused and len(self.refused) < 100:
            self.refused.append(place)
        raise ConnectionRefusedError(f"a replay has no network: {place} was not reached")


def _error(module: ModuleType, name: str, request: Any) -> Exception:
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, module.TransportError)):
        kind = module.ConnectError
    error: Exception = kind("the recorded request met no response", request=request)
    return error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
