"""One HTTP exchange that passed the recording gateway, and the tape kept of it.

A tape is a JSON document, `{"format": "refinery.tape", "version": 1, …}`: the request line, the
headers without the values of those that carry secrets, the body's bytes in base64, and the
response with the time each piece of it came. Pieces are the bytes as they came, still compressed
when the server compressed them. A text with a secret in it is kept redacted and says so.
"""

import base64
import hashlib
import json
import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

import zstandard

from refinery import clock
from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.safety.redact import redact

FORMAT = "refinery.tape"
VERSION = 1
MAX_BODY_BYTES = 16 << 20
"""Most bytes kept of a request's body and of a response's; chosen by us, above any model's."""
MAX_PIECES = 20_000
"""Most pieces a response is kept in; later bytes are added to the last."""
WITHHELD = "[withheld]"
"""Stands for the value of a header or a query parameter that carries a secret."""
_SECRET_NAME = re.compile(r"auth|cookie|key|token|secret|credential|signature|password", re.I)
_HARMLESS_NAME = re.compile(r"ratelimit|^idempotency-key$|max[-_]tokens", re.I)


class Outcome(StrEnum):
    """How an exchange ended."""

    DONE = "done"
    CLIENT_LEFT = "client_left"
    UPSTREAM_FAILED = "upstream_failed"
    GATEWAY_CLOSED = "gateway_closed"


@dataclass(slots=True)
class Body:
    """Bytes of a body with the times they came, bounded."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    """Nanoseconds since the exchange began, and the bytes."""
    size_bytes: int = 0
    """Of all that passed, kept or not."""
    _kept_bytes: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, at_ns: int, piece: bytes) -> None:
        """Note bytes that passed."""
        self.size_bytes += len(piece)
        self._digest.update(piece)
        kept = piece[: max(0, MAX_BODY_BYTES - self._kept_bytes)]
        if not kept:
            return
        self._kept_bytes += len(kept)
        if len(self.pieces) >= MAX_PIECES:
            last_ns, last = self.pieces[-1]
            self.pieces[-1] = (last_ns, last + kept)
        else:
            self.pieces.append((at_ns, kept))

    @property
    def is_cut(self) -> bool:
        """Whether more passed than was kept."""
        return self.size_bytes > self._kept_bytes

    @property
    def content(self) -> bytes:
        """The bytes that were kept."""
        return b"".join(piece for _, piece in self.pieces)

    @property
    def sha256(self) -> str:
        """Of all bytes that passed, hexadecimal."""
        return self._digest.hexdigest()


Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Exchange:
    """A request that passed the gateway and what came back."""

    vendor: str
    """`openai` or `anthropic`: whose base URL the program used."""
    upstream: str
    """Scheme, host and port it was forwarded to."""
    method: str
    target: str
    """Path and query as sent."""
    headers: Headers
    recorded: str | None = None
    """`trace id/run id` of a recorder in the program that records the call itself."""
    exchange_id: str = field(default_factory=clock.new_uuid)
    start_ns: int = field(default_factory=clock.now_ns)
    body: Body = field(default_factory=Body)
    status: int | None = None
    """None: no response came."""
    reason: str = ""
    response_headers: Headers = field(default_factory=list)
    response: Body = field(default_factory=Body)
    outcome: Outcome | None = None
    """None: still going on."""
    error: str | None = None
    """Why the upstream gave no whole response, in words."""
    end_ns: int | None = None
    _began: int = field(default_factory=time.monotonic_ns)

    def elapsed_ns(self) -> int:
        """Time since the exchange began, by a clock that never jumps."""
        return time.monotonic_ns() - self._began

    def end(self, outcome: Outcome, error: str | None = None) -> None:
        """Close the exchange; a second time it does nothing."""
        if self.outcome is None:
            self.outcome, self.error = outcome, error
            self.end_ns = self.start_ns + self.elapsed_ns()


def header(headers: Headers, name: str) -> str | None:
    """The first value of a header; None when there is none."""
    return next((value for key, value in headers if key.lower() == name), None)


def is_secret(name: str) -> bool:
    """Whether a header or query parameter of this name may carry a secret."""
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def safe_target(target: str) -> str:
    """A path and query without the values of parameters that carry secrets."""
    path, mark, query = target.partition("?")
    if not any(is_secret(part.partition("=")[0]) for part in query.split("&")):
        return target
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [(name, WITHHELD if is_secret(name) else value) for name, value in pairs]
    return path + mark + urlencode(kept, safe="[]")


def tape(
    exchange: Exchange, *, is_redacted: bool = True, withhold_response: bool = False
) -> bytes:
    """The tape of an exchange, as JSON.

    Args:
        exchange: an ended exchange.
        is_redacted: whether secrets in bodies are taken out too.
        withhold_response: leave the response's bytes out.
    """
    request_coding = header(exchange.headers, "content-encoding")
    coding = header(exchange.response_headers, "content-encoding")
    answer: dict[str, Json] | None = None
    if exchange.status is not None:
        answer = {
            "status": exchange.status,
            "reason": exchange.reason,
            "headers": _safe(exchange.response_headers),
            **_kept(exchange.response, coding, is_redacted),
        }
        if withhold_response:
            answer |= {"pieces": [], "is_withheld": True}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "vendor": exchange.vendor,
        "upstream": exchange.upstream,
        "started_ns": exchange.start_ns,
        "ended_ns": exchange.end_ns,
        "outcome": exchange.outcome,
        "error": exchange.error,
        "request": {
            "method": exchange.method,
            "target": safe_target(exchange.target),
            "headers": _safe(exchange.headers),
            **_kept(exchange.body, request_coding, is_redacted),
        },
        "response": answer,
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def read_tape(content: bytes) -> dict[str, Json]:
    """A tape with the bytes of its pieces decoded: each piece is `(nanoseconds, bytes)`.

    Raises:
        InputError: it is no tape, or of a later version.
    """
    try:
        document = json.loads(content)
        if document["format"] != FORMAT or document["version"] > VERSION:
            raise InputError("this is no tape of a known version", hint="update refinery")
        for side in (document["request"], document["response"]):
            if side is not None:
                pieces = [
                    (item["at_ns"], base64.b64decode(item["body"])) for item in side["pieces"]
                ]
                side["pieces"] = pieces
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("this is no tape") from error
    else:
        return dict(document)


def _safe(headers: Headers) -> list[list[str]]:
    return [[name, WITHHELD if is_secret(name) else redact(value)[0]] for name, value in headers]


def _kept(body: Body, coding: str | None, is_redacted: bool) -> dict[str, Json]:
    pieces: Sequence[tuple[int, bytes]] = body.pieces
    replaced = _redacted(body.content, coding) if is_redacted and pieces else None
    if replaced is not None:
        pieces = [(pieces[0][0], replaced)]
    return {
        "pieces": [
            {"at_ns": at_ns, "body": base64.b64encode(piece).decode()} for at_ns, piece in pieces
        ],
        "size_bytes": body.size_bytes,
        "sha256": body.sha256,
        "is_cut": body.is_cut,
        "is_redacted": replaced is not None,
    }


def _redacted(content: bytes, coding: str | None) -> bytes | None:
    """The text of a body without its secrets, not compressed; None when it has none."""
    plain = decoded(content, coding)
    if plain is None:
        return None
    text = plain.decode("utf-8", "replace")
    try:
        clean, counts = redact(json.loads(text))
        written = json.dumps(clean, ensure_ascii=False)
    except (ValueError, RecursionError):
        written, counts = redact(text)
    return written.encode("utf-8", "replace") if counts else None


def decoded(content: bytes, coding: str | None) -> bytes | None:
    """A body without its compression, at most `MAX_BODY_BYTES`; None when it is unknown."""
    kind = (coding or "identity").strip().lower()
    try:
        if kind == "identity":
            return content
        if kind in ("gzip", "x-gzip", "deflate"):
            return _inflated(content)
        if kind == "zstd":
            reader = zstandard.ZstdDecompressor().stream_reader(content)
            return reader.read(MAX_BODY_BYTES)
    except (zlib.error, zstandard.ZstdError):
        return None
    return None


def _inflated(content: bytes) -> bytes:
    """What was compressed with gzip, zlib or bare deflate (RFC 9110 section 8.4.1)."""
    try:
        return zlib.decompressobj(47).decompress(content, MAX_BODY_BYTES)
    except zlib.error:
        return zlib.decompressobj(-15).decompress(content, MAX_BODY_BYTES)


def readable_codings(accepted: str) -> str:
    """An `Accept-Encoding` without the compressions we could not read back."""
    offers = [offer.strip() for offer in accepted.split(",")]
    known = ("gzip", "x-gzip", "deflate", "zstd", "identity")
    kept = [offer for offer in offers if offer.partition(";")[0].strip().lower() in known]
    return ", ".join(kept) or "identity"
