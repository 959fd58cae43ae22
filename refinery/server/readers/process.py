"""A process that reads bodies for the server: bytes in, encoded runs out, until the link ends.

Started by `pool`; it opens no store, and its only input is the socket it gets as descriptor 0.
"""

import contextlib
import gc
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from refinery.model.trace import Json
from refinery.ports import PackedRuns, RunBatch
from refinery.server.answers import RequestError
from refinery.server.limits import Limits
from refinery.server.readers import frames
from refinery.server.readers.taken import Job

Packer: TypeAlias = Callable[[Sequence[RunBatch | PackedRuns]], PackedRuns]


def main() -> None:
    """Serve the link until the server closes it."""
    packer, limits = sys.argv[1], Limits(**json.loads(sys.argv[2]))
    module, _, name = packer.partition(":")
    pack = getattr(importlib.import_module(module), name)
    link = socket.socket(fileno=os.dup(0))
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as the server does, see `running`
    with contextlib.suppress(OSError):  # the server is gone
        link.sendall(frames.READY)
        while (asked := frames.receive(link)) is not None:
            head, body = asked
            frames.send(link, *_answer(Job(head["reader"], head["arguments"]), body, limits, pack))


def _answer(
    job: Job, body: bytes, limits: Limits, pack: Packer
) -> tuple[Mapping[str, Json], bytes]:
    """Head and content of the answer."""
    try:
        taken = job.read(body, limits)
        return frames.of_taken(taken, pack(taken.batches))
    except RequestError as error:
        return frames.of_refusal(error)
    except Exception:  # noqa: BLE001  # the server reads it itself and says what is wrong
        return {"failed": True}, b""


if __name__ == "__main__":
    main()
