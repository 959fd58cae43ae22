"""What the collector takes at most; every figure was chosen by us unless a source is named."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request, of all requests together, and of their patience."""

    body_bytes: int = 64 * MIB
    """Body as sent. LangSmith's clients send at most 20 MiB before compression, a run alone
    may be larger; more is refused with 413."""
    unpacked_bytes: int = 192 * MIB
    """Body after decompression, whatever the ratio; more is refused with 413."""
    pending_bytes: int = 384 * MIB
    """Bodies of all requests that are read, parsed or wait for the store; more: 429."""
    parts: int = 20_000
    """Parts of a multipart body."""
    runs: int = 10_000
    """Runs of one body; clients send 100 (LangSmith) or 512 (OpenTelemetry) by default."""
    text_chars: int = 4 * MIB
    """Longest string that is kept whole; a longer one is cut and says so."""
    part_header_bytes: int = 8192
    """Headers of one part of a multipart body."""
    attachment_bytes: int = 64 * MIB
    """One attachment; the store keeps it apart from the run."""
    idle_s: float = 10.0
    """Longest pause of a client that sends a body or headers."""
    body_s: float = 60.0
    """Longest a client may take to send a body."""
    answer_s: float = 8.0
    """Longest wait for the store: LangSmith's clients give up after 10 s (SDK 0.14)."""


DEFAULT_LIMITS = Limits()

HEADER_BYTES = 64 * 1024
"""Request line and headers together; more is refused with 431."""

CONNECTIONS = 512
"""Open connections; more are answered 503."""

RETRY_AFTER_S = 1
"""What a client is told to wait when there is more than the store can take."""

STORE_RETRY_AFTER_S = 5
"""The same when the store is locked, full or damaged."""
