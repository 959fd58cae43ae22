"""Reads and unpacks a request's body, within bounds of size, ratio, time and memory."""

import asyncio
import threading
import zlib
from types import TracebackType

import zstandard
from starlette.requests import ClientDisconnect, Request

from refinery.server.answers import RequestError
from refinery.server.limits import RETRY_AFTER_S, Limits

_SLICE = 1024
"""Compressed bytes given to zstandard at once: it unfolds what it is given whole, at most
32,768-fold (a block of 4 bytes may stand for 128 KiB; RFC 8878 section 3.1.1.2)."""

_MAX_WINDOW = 2**27
"""Largest zstd window: 128 MiB, what `zstd` itself takes without being asked (its manual)."""

_PIECE = 2**20


class Memory:
    """What all requests hold together at a time."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()

    def change(self, by_bytes: int, own_bytes: int) -> None:
        """Take more, or give back.

        Args:
            by_bytes: how much; negative to give back.
            own_bytes: what the same request holds already: one alone may exceed the limit.

        Raises:
            RequestError: 429, others hold so much that it does not fit.
        """
        with self._lock:
            others = self.held_bytes - own_bytes
            if by_bytes > 0 and others > 0 and self.held_bytes + by_bytes > self.limit_bytes:
                raise RequestError(
                    429,
                    "more requests are being read than fit into memory",
                    headers={"retry-after": str(RETRY_AFTER_S)},
                )
            self.held_bytes += by_bytes


class Body:
    """A body on its way in; holds its share of the memory until the `with` block ends."""

    def __init__(self, memory: Memory, limits: Limits) -> None:
        self.memory = memory
        self.limits = limits
        self.size_bytes = 0

    def __enter__(self) -> "Body":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.memory.change(-self.size_bytes, self.size_bytes)

    def hold(self, size_bytes: int) -> None:
        """Count bytes as held by this request.

        Raises:
            RequestError: 429, as `Memory.change` says.
        """
        self.memory.change(size_bytes, self.size_bytes)
        self.size_bytes += size_bytes

    async def read(self, request: Request) -> bytes:
        """The body as sent.

        Raises:
            RequestError: it is too large (413), too slow (408), or more than fits (429).
        """
        told = request.headers.get("content-length", "")
        if told.isdecimal() and int(told[:20]) > self.limits.body_bytes:
            raise self._too_large(self.limits.body_bytes)
        try:
            async with asyncio.timeout(self.limits.body_s):
                return await self._pieces(request)
        except TimeoutError as error:
            raise RequestError(408, "the body came too slowly") from error
        except ClientDisconnect as error:
            raise RequestError(400, "the client went away") from error

    async def _pieces(self, request: Request) -> bytes:
        pieces: list[bytes] = []
        stream = request.stream().__aiter__()
        size = 0
        while True:
            async with asyncio.timeout(self.limits.idle_s):
                piece = await anext(stream, None)
            if piece is None:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if piece:
                size += len(piece)
                if size > self.limits.body_bytes:
                    raise self._too_large(self.limits.body_bytes)
                self.hold(len(piece))
                pieces.append(piece)

    def unpack(self, packed: bytes, encoding: str) -> bytes:
        """The body as it was before its `Content-Encoding` was applied.

        Raises:
            RequestError: unknown encoding (415), damaged (400), too large (413), or more than
                fits (429).
        """
        coding = encoding.strip().lower()
        if coding in ("", "identity"):
            return packed
        try:
            if coding == "zstd":
                return self._zstd(packed)
            if coding in ("gzip", "x-gzip"):
                return self._zlib(packed, 31)
            if coding == "deflate":
                return self._zlib(packed, 15 if _has_zlib_header(packed) else -15)
        except (zlib.error, zstandard.ZstdError) as error:
            raise RequestError(
                400, f"the body is no {coding}: it is damaged or cut off"
            ) from error
        raise RequestError(415, "the content encoding must be zstd, gzip, deflate or none")

    def _zstd(self, packed: bytes) -> bytes:
        """Several frames may follow each other (RFC 8878 section 3)."""
        unpacked = bytearray()
        rest = memoryview(packed)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        while rest:
            frame = decompressor.decompressobj()
            while not frame.eof:
                if not rest:
                    raise zstandard.ZstdError("cut off")
                self._add(unpacked, frame.decompress(rest[:_SLICE]))
                rest = rest[min(_SLICE, len(rest)) - len(frame.unused_data) :]
        return bytes(unpacked)

    def _zlib(self, packed: bytes, window_bits: int) -> bytes:
        """Several gzip members may follow each other (RFC 1952 section 2.2)."""
        unpacked = bytearray()
        rest = packed
        while rest:
            member = zlib.decompressobj(window_bits)
            while not member.eof:
                piece = member.decompress(rest, _PIECE)
                rest = member.unconsumed_tail
                if not piece and not rest and not member.eof:
                    raise zlib.error("cut off")
                self._add(unpacked, piece)
            rest = member.unused_data
        return bytes(unpacked)

    def _add(self, unpacked: bytearray, piece: bytes) -> None:
        if len(unpacked) + len(piece) > self.limits.unpacked_bytes:
            raise self._too_large(self.limits.unpacked_bytes, "unpacked ")
        self.hold(len(piece))
        unpacked += piece

    def _too_large(self, limit_bytes: int, state: str = "") -> RequestError:
        return RequestError(
            413, f"the {state}body is larger than {limit_bytes // 2**20} MiB; send less at once"
        )


def _has_zlib_header(packed: bytes) -> bool:
    """`deflate` means zlib's format (RFC 9110 section 8.4.1.2), but some send it bare."""
    return (
        len(packed) > 1
        and packed[0] & 15 == 8
        and packed[0] >> 4 <= 7
        and int.from_bytes(packed[:2]) % 31 == 0
    )
