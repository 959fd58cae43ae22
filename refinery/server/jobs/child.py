"""The process of one job: `python -m refinery.server.jobs.child`.

It is told what to do by one line of JSON on its standard input, and tells what happens by lines
of JSON on its standard output: `{"say": …}`, `{"session": …}`, and at the end `{"result": …}` or
`{"error": …}`. When its input ends, the server is gone and so is the job; a commit that has begun
is made whole first.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from refinery.errors import RefineryError
from refinery.model.codec import encode
from refinery.server.jobs import kinds
from refinery.workflows.wiring import open_workspace

_MAX_LINE = 2_000


def main() -> int:
    """Carry out one order; returns the exit code."""
    tell = _Telling()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    order = json.loads(line)
    signal.signal(signal.SIGTERM, _stop)
    if order["step"] != "decide":
        threading.Thread(target=_end_with_server, daemon=True).start()
    try:
        result = _carry_out(order, tell)
    except RefineryError as error:
        body = {"code": error.code, "message": str(error), "hint": error.hint}
        tell({"error": encode(body)})
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the server's boundary: the job says how it ended
        body = {
            "code": "bug",
            "message": f"{type(error).__name__}: {error}"[:_MAX_LINE],
            "hint": "",
        }
        tell({"error": encode(body)})
        raise
    else:
        tell({"result": result})
    return 0


def _carry_out(order: dict[str, Any], tell: "_Telling") -> dict[str, Any]:
    kind = kinds.STEPS[order["step"]]
    options = kind.options.model_validate(order["options"])
    workspace = open_workspace(flags={"store": order["store"]})
    with contextlib.closing(workspace.store):
        task = kinds.Task(
            workspace,
            order["trace_id"],
            say=lambda text: tell({"say": encode(text[:_MAX_LINE])}),
            began=lambda session_id: tell({"session": session_id}),
        )
        return kind.do(task, options)


class _Telling:
    """Writes lines to the server; what libraries print goes to the log instead."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out: IO[bytes] = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def __call__(self, line: dict[str, Any]) -> None:
        with self._lock, _ignoring_a_gone_server():
            self._out.write(json.dumps(encode(line), separators=(",", ":")).encode() + b"\n")
            self._out.flush()


@contextlib.contextmanager
def _ignoring_a_gone_server() -> Iterator[None]:
    with contextlib.suppress(BrokenPipeError):
        yield


def _end_with_server() -> None:
    while sys.stdin.buffer.read(4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, frame: object) -> None:
    """End in an orderly way: temporary folders go, and what runs in a sandbox dies with us."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
