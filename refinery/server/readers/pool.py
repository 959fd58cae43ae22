"""Other processes that read large bodies, so that reading uses more than one processor.

Whenever none is free, or one fails, the server reads the body itself: they make it faster and
nothing depends on them. They start when several large bodies have come, end when none comes for
a while, and end by themselves when the server is gone.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict

from refinery import clock
from refinery.model.trace import Json
from refinery.ports import Packing, Store
from refinery.server.limits import Limits
from refinery.server.readers import frames
from refinery.server.readers.taken import Job, Taken

SMALLEST_BYTES = 16 * 1024
LARGEST_BYTES = 16 * 2**20
"""Bodies, unpacked, that are handed over: smaller ones gain nothing, larger ones are rare and
would be held twice."""
STARTS_AFTER = 4
"""Bodies of that size before the first process is started: it takes 80 MB and half a second."""
RESTS_AFTER_S = 60.0
"""Pause after which the processes end."""
MOST = 2
"""Most processes: they read as fast as one server can write (benchmarks/ingest.py)."""
MOST_FAILURES = 3
"""Processes that may fail before no other is started."""
ANSWER_S = 20.0
"""Longest wait for a process; it is ended then."""


class Readers:
    """The processes of one server; every method may be called from any thread."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._packer = store.packer if isinstance(store, Packing) else None
        self._limits = limits
        self._lock = threading.Lock()
        self._free: list[_Reader] = []
        self._all: set[_Reader] = set()
        self._failures = 0
        self._seen = 0
        self._latest_s = 0.0
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        is_possible = self._packer is not None and os.name == "posix"
        self._most = MOST if is_possible and processors > 1 else 0

    def read(self, job: Job, body: bytes) -> Taken | None:
        """What a process makes of an unpacked body; None: none is free, read it here.

        Raises:
            RequestError: nothing of the body can be read, or it is too large.
        """
        reader = self._claim(len(body)) if self._most else None
        if reader is None:
            return None
        try:
            answer = reader.ask(job, body)
        except OSError:
            answer = None
        if answer is None:
            self._discard(reader)
            return None
        with self._lock:
            self._free.append(reader)
        head, content = answer
        return None if "failed" in head else frames.to_taken(head, content)

    def rest(self) -> None:
        """End the processes when nothing has come for `RESTS_AFTER_S`."""
        with self._lock:
            if not self._all or clock.monotonic_s() - self._latest_s < RESTS_AFTER_S:
                return
            resting, self._free = self._free, []
            self._all.difference_update(resting)
            self._seen = 0
        for reader in resting:
            reader.end()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._most = 0
            ending = list(self._all)
            self._all.clear()
            self._free.clear()
        for reader in ending:
            reader.end()

    def _claim(self, size_bytes: int) -> "_Reader | None":
        """A process that waits for work; starts one when it is time to."""
        if not SMALLEST_BYTES <= size_bytes <= LARGEST_BYTES:
            return None
        with self._lock:
            self._seen += 1
            self._latest_s = clock.monotonic_s()
            for reader in self._free:
                if reader.is_ready():
                    self._free.remove(reader)
                    return reader
            may_start = self._seen > STARTS_AFTER and self._failures < MOST_FAILURES
            if may_start and len(self._all) < self._most:
                self._start()
        return None

    def _start(self) -> None:
        assert self._packer is not None
        try:
            reader = _Reader(self._packer, self._limits)
        except OSError:  # out of processes or memory: the server reads by itself
            self._failures += 1
            return
        self._all.add(reader)
        self._free.append(reader)

    def _discard(self, reader: "_Reader") -> None:
        with self._lock:
            self._all.discard(reader)
            self._failures += 1
        reader.end()


class _Reader:
    """One process and the link to it; used by one thread at a time."""

    def __init__(self, packer: str, limits: Limits) -> None:
        self._link, theirs = socket.socketpair()
        self._link.settimeout(ANSWER_S)
        self._has_begun = False
        module = "refinery.server.readers.process"
        try:
            self._process = subprocess.Popen(
                # -P: the folder the server was started in is no place to import from.
                [sys.executable, "-P", "-m", module, packer, json.dumps(asdict(limits))],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the server's; this one ends with the link
            )
        except OSError:
            self._link.close()
            raise
        finally:
            theirs.close()

    def is_ready(self) -> bool:
        """Whether it has said that it can begin, or is gone, which asking it will show."""
        if not self._has_begun:
            try:
                self._link.recv(len(frames.READY), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                pass
            self._has_begun = True
        return True

    def ask(self, job: Job, body: bytes) -> tuple[dict[str, Json], bytes] | None:
        """Its answer; None when it is gone.

        Raises:
            OSError: it is gone, or takes too long.
        """
        head = {"reader": job.reader, "arguments": dict(job.arguments)}
        frames.send(self._link, head, body)
        return frames.receive(self._link)

    def end(self) -> None:
        """End it, at work or not."""
        self._link.close()
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
