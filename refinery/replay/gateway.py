"""The loopback model API a replayed agent talks to: recorded replies first, its own model next.

It listens on a TCP port of 127.0.0.1 and on a Unix socket, for both kinds of sandbox. Each case
has a token, given to the agent as its API key or in the header `x-refinery-token`; the token
says which tape answers, so cases that run at the same time never mix.
"""

import json
import secrets
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from refinery.errors import InputError
from refinery.model import codec
from refinery.model.trace import Json
from refinery.model.verdict import Fidelity, StepFidelity
from refinery.replay import answers, wire
from refinery.replay.exchange import Api, ModelRequest
from refinery.replay.patience import Client
from refinery.replay.session import Rules, Session
from refinery.replay.tape import RecordedCall, Tape
from refinery.replay.varying import CannotVaryError, Varied

TOKEN_HEADER = "x-refinery-token"  # noqa: S105  # the name of a header, not a secret
DESCRIBED = "/refinery/run"
"""Path of calls that are described, not sent; `inside.models.PATH`."""
UNANSWERED = 424
"""HTTP status of a request nobody can answer (RFC 4918 section 11.4, failed dependency); no SDK
retries it."""
MAX_REQUEST_BYTES = 64 << 20
_AGENTS_OWN = frozenset({400, 413, 422})
"""Statuses of an endpoint that blame the request, so they are an answer to it."""


class Gateway:
    """Serves model requests until its `with` block ends."""

    def __init__(self, socket_path: Path) -> None:
        """Prepare the listeners.

        Args:
            socket_path: where the Unix socket is made; at most about 100 characters long.
        """
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self.socket_path = socket_path
        handler = _handler(self)
        self._tcp = _TcpServer(("127.0.0.1", 0), handler)
        self._unix = _UnixServer(str(socket_path), handler)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            for server in (self._tcp, self._unix)
        ]

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._tcp.server_address[1])

    def open(self, tape: Tape, rules: Rules) -> tuple[str, Session]:
        """Begin a case; returns its token and its state."""
        token = secrets.token_hex(16)
        session = Session(tape, rules)
        with self._lock:
            self._sessions[token] = session
        return token, session

    def close(self, token: str) -> None:
        """End a case: its token is worth nothing any more."""
        with self._lock:
            self._sessions.pop(token, None)

    def session(self, token: str) -> Session | None:
        """The case of a token; None when it is unknown or over."""
        with self._lock:
            return self._sessions.get(token)

    def __enter__(self) -> "Gateway":
        """Start to listen."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        """Stop listening and remove the socket."""
        for server in (self._tcp, self._unix):
            server.shutdown()
            server.server_close()
        with self._lock:
            self._sessions.clear()  # connections that are still open get no more answers
        self.socket_path.unlink(missing_ok=True)


class _TcpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


@dataclass(frozen=True, slots=True)
class _Asked:
    """Why a request is asked of the live model."""

    told: str = ""
    run_id: str | None = None
    """The recorded call it was, or would have been."""
    is_varied: bool = False


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        owner = gateway

    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection of an agent."""

    owner: Gateway
    protocol_version = "HTTP/1.1"
    timeout = 600

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: steps are logged by the session."""

    def do_GET(self) -> None:
        """List the recorded models."""
        session = self._session()
        if session is None:
            return
        names = {str(call.request.fields.get("model", "recorded")) for call in session.tape.calls}
        models = [
            {"id": name, "object": "model", "type": "model", "created": 0, "owned_by": "tape"}
            for name in sorted(names)
        ]
        body = json.dumps({"object": "list", "data": models, "has_more": False}).encode()
        self._send(200, wire.JSON_TYPE, body)

    def do_POST(self) -> None:
        """Answer one model request."""
        raw = self._body()
        session = self._session()
        if session is None or raw is None:
            return
        if self.path == DESCRIBED:
            self._described(session, raw)
            return
        if self.path.partition("?")[0].endswith("/embeddings"):
            self._embeddings(session, raw)
            return
        api = wire.api_of(self.path)
        if api is None:
            self._live(session, None, raw, self.path.rpartition("/")[2] or "request")
            return
        try:
            request = wire.parse_request(self.path, _json(raw))
        except InputError as error:
            self._refuse(api, 400, "invalid_request_error", str(error))
            return
        try:
            varied = session.vary(request)
        except CannotVaryError as error:
            session.log(StepFidelity(request.model, "llm", Fidelity.UNANSWERED, None, str(error)))
            self._refuse(api, UNANSWERED, "refinery_unanswered", str(error))
            return
        if varied is not None:
            request, raw = varied.sent, json.dumps(varied.sent.body).encode()
        self._answer(session, (api, request, raw), varied)

    def _answer(
        self, session: Session, asked: tuple[Api, ModelRequest, bytes], varied: Varied | None
    ) -> None:
        """Answer from the tape, or ask on."""
        api, request, raw = asked
        client = Client.read(self.headers.get)
        why, was = ("", "") if varied else session.outlasted(request, client)
        found = None
        if not why:
            found = session.find(request, is_varied=varied is not None, attempt=client.attempt)
        if found is not None:
            self._recorded(found[0], request, may_retry=not session.rules.is_unchanged)
            return
        session.miss(request)
        reason = _Asked(why or session.beyond, was or None)
        if varied:
            reason = _Asked(varied.told, varied.run_id, is_varied=True)
        self._live(session, api, raw, request.model, reason)

    def _embeddings(self, session: Session, raw: bytes) -> None:
        """Answer a request for embeddings, which has no reply but the recorded vectors."""
        try:
            request = wire.parse_embeddings(_json(raw))
        except InputError as error:
            self._refuse(None, 400, "invalid_request_error", str(error))
            return
        found = session.find(request, attempt=self._attempt())
        if found is None or (found[0].reply and not wire.is_body(request.api, found[0].body)):
            session.miss(request)
            self._live(session, None, raw, request.model)
        else:
            self._recorded(found[0], request)

    def _described(self, session: Session, raw: bytes) -> None:
        """Answer a call that was described instead of sent (`inside.models`)."""
        try:
            run = codec.decode_run(_json(raw))
            session.vary(run)
            found = session.find(run)
        except CannotVaryError as error:
            session.log(StepFidelity("model", "llm", Fidelity.UNANSWERED, None, str(error)))
            answer: Json = {"error": {"type": "UnansweredError", "message": str(error)}}
            self._send(200, wire.JSON_TYPE, json.dumps(answer).encode())
            return
        except (InputError, ValueError) as error:
            self._refuse(None, 400, "invalid_request_error", str(error))
            return
        if found is None:
            self._refuse(None, 404, "not_recorded", "no recorded call is equal")
            return
        answer = answers.of_description(found[0], codec.encode(found[0].reply))
        self._send(200, wire.JSON_TYPE, json.dumps(answer).encode())

    def _recorded(
        self, call: RecordedCall, request: ModelRequest, *, may_retry: bool = False
    ) -> None:
        """Send what was recorded; a changed client may decide to try again after a failure."""
        answer = answers.of_call(call, request, self._attempt())
        headers = {**answer.headers, "x-should-retry": str(answer.is_retried).lower()}
        if may_retry and call.reply is None and not answer.is_retried:
            headers |= {"x-should-retry": "", "retry-after-ms": "1"}
        self._send(answer.status, answer.content_type, answer.body, headers)

    def _attempt(self) -> int:
        """How often the client has tried this request before, as both vendors' SDKs say."""
        return Client.read(self.headers.get).attempt

    def _live(
        self,
        session: Session,
        api: Api | None,
        raw: bytes,
        name: str,
        asked: "_Asked | None" = None,
    ) -> None:
        """Ask the agent's own model; without one the step stays unanswered."""
        asked = asked or _Asked()
        upstream = session.upstream
        headers = {key.lower(): value for key, value in self.headers.items()}
        reason = "no live model may be asked"
        if upstream is not None:
            answer = upstream.ask(self.path, raw, headers)
            if not isinstance(answer, str) and (
                answer.status < 300 or answer.status in _AGENTS_OWN
            ):
                told = [asked.told] if asked.told else []
                told += [] if answer.status < 300 else [f"refused with HTTP {answer.status}"]
                detail, was = "; ".join(told), asked.run_id
                step = StepFidelity(name, _kind(api), Fidelity.LIVE, was, detail)
                session.log(step)
                self._send(answer.status, answer.content_type, answer.body)
                return
            reason = answer if isinstance(answer, str) else f"it answered HTTP {answer.status}"
        if asked.told and not asked.is_varied:
            reason = f"it {asked.told}, and {reason}"
        session.log(StepFidelity(name, _kind(api), Fidelity.UNANSWERED, None, reason))
        message = f"not recorded, and {reason}"
        self._refuse(api, UNANSWERED, "refinery_unanswered", message)

    def _session(self) -> Session | None:
        """The case this request belongs to; answers 401 itself when there is none."""
        bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        offered = (self.headers.get(TOKEN_HEADER), self.headers.get("x-api-key"), bearer)
        for token in offered:
            found = self.owner.session(token) if token else None
            if found is not None:
                return found
        self._refuse(None, 401, "authentication_error", "no replay has this token")
        return None

    def _body(self) -> bytes | None:
        """The body; None, after an answer, when its length is missing or too large."""
        try:
            size = int(self.headers.get("content-length") or "")
        except ValueError:
            size = -1
        if 0 <= size <= MAX_REQUEST_BYTES:
            return self.rfile.read(size)
        self.close_connection = True
        self._refuse(None, 413, "invalid_request_error", "a body needs a length below 64 MB")
        return None

    def _refuse(self, api: Api | None, status: int, kind: str, message: str) -> None:
        self._send(status, wire.JSON_TYPE, wire.render_error(api, status, kind, message))

    def _send(
        self,
        status: int,
        content_type: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        told = {"x-should-retry": "false", **(headers or {})}  # both vendors' SDKs obey it
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _kind(api: Api | None) -> str:
    return "llm" if api else "model request"


def _json(raw: bytes) -> Json:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}") from error
