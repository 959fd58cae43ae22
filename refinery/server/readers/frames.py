"""What the server and a process that reads bodies for it say to each other over a socket.

A frame is the sizes of its two parts, a head of JSON, and bytes: the body on the way there; on
the way back runs as the store packs them, and behind them the attachments.
"""

import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict

import orjson

from refinery.model.trace import Feedback, Json
from refinery.ports import PackedRuns
from refinery.server.answers import RequestError
from refinery.server.readers.taken import Blob, Taken

_SIZES = struct.Struct("<QQ")
READY = b"R"
"""What a reader says once, when it can begin."""


def send(link: socket.socket, head: Mapping[str, Json], content: bytes) -> None:
    """Send one frame.

    Raises:
        OSError: the other side is gone, or takes too long.
    """
    raw = orjson.dumps(head)
    link.sendall(_SIZES.pack(len(raw), len(content)) + raw)
    if content:
        link.sendall(content)


def receive(link: socket.socket) -> tuple[dict[str, Json], bytes] | None:
    """One frame; None when the other side has closed the link.

    Raises:
        OSError: the other side takes too long.
    """
    sizes = _exactly(link, _SIZES.size)
    if sizes is None:
        return None
    head_bytes, content_bytes = _SIZES.unpack(sizes)
    head, content = _exactly(link, head_bytes), _exactly(link, content_bytes)
    if head is None or content is None:
        return None
    return orjson.loads(head), bytes(content)


def _exactly(link: socket.socket, size: int) -> bytearray | None:
    taken = bytearray(size)
    rest = memoryview(taken)
    while rest:
        count = link.recv_into(rest)
        if count == 0:
            return None
        rest = rest[count:]
    return taken


def of_taken(taken: Taken, packed: PackedRuns) -> tuple[dict[str, Json], bytes]:
    """Head and content that tell what a body brought.

    Args:
        taken: of the body.
        packed: its runs, as the store takes them.
    """
    head = {
        "count": packed.count,
        "size": len(packed.content),
        "feedback": [asdict(item) for item in taken.feedback],
        "blobs": [[blob.trace_id, len(blob.content)] for blob in taken.blobs],
        "told": dict(taken.told),
    }
    return head, b"".join((packed.content, *(blob.content for blob in taken.blobs)))


def of_refusal(error: RequestError) -> tuple[dict[str, Json], bytes]:
    """Head and content that tell why nothing of a body is taken."""
    return {"refused": [error.status, error.reason, dict(error.headers)]}, b""


def to_taken(head: Mapping[str, Json], content: bytes) -> Taken:
    """What a body brought.

    Raises:
        RequestError: nothing; the reader refused it.
    """
    if "refused" in head:
        status, reason, headers = head["refused"]
        raise RequestError(status, reason, headers=headers)
    at = head["size"]
    blobs = []
    for trace_id, size in head["blobs"]:
        blobs.append(Blob(content[at : at + size], trace_id))
        at += size
    feedback = [Feedback(**item) for item in head["feedback"]]
    packed = [PackedRuns(content[: head["size"]], head["count"])] if head["count"] else []
    return Taken(packed, feedback, blobs, head["told"])
