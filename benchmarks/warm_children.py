"""Warm children: what the guard and the editor run in fresh interpreters, run in forks of one.

The product starts an interpreter for each review and each plan, which is most of their time. Here
the same code, with the same input and output, runs in a fork of a process that has imported it:
each child still has an address space, limits and an end of its own. It serves benchmarks that
need thousands of reviews; the tests and other benchmarks start real children.
"""

import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from refinery import plugins
from refinery.codebase import editor
from refinery.model.patch import FileChange
from refinery.ports import GuardInput
from refinery.safety import policy

_IN, _OUT = 0, 1


@contextmanager
def used() -> Iterator[None]:
    """Let `policy` and `editor` start their children warm."""
    code = "from benchmarks import warm_children; warm_children.serve()"
    nursery = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip

    def run(
        command: Sequence[str], *, input: bytes, timeout: float, **_: Any
    ) -> subprocess.CompletedProcess[bytes]:
        assert nursery.stdin
        assert nursery.stdout
        head = {"argv": ["-c", *command[4:]], "code": command[3], "size": len(input)}
        nursery.stdin.write(json.dumps({**head, "timeout_s": timeout}).encode() + b"\n" + input)
        nursery.stdin.flush()
        said = json.loads(nursery.stdout.readline())
        out, err = (nursery.stdout.read(said[name]) for name in ("out", "err"))
        if said["timed_out"]:
            raise subprocess.TimeoutExpired(list(command), timeout, out, err)
        return subprocess.CompletedProcess(list(command), said["code"], out, err)

    warm = SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired,
                           CompletedProcess=subprocess.CompletedProcess)  # fmt: skip
    with (
        mock.patch.object(policy, "subprocess", warm),
        mock.patch.object(editor, "subprocess", warm),
    ):
        try:
            yield
        finally:
            assert nursery.stdin
            nursery.stdin.close()
            nursery.wait()
            assert nursery.stdout
            nursery.stdout.close()


def serve() -> None:
    """Run each request on standard input in a fork, until the input ends."""
    _warm_up()
    while line := _line():
        head = json.loads(line)
        given = _exactly(head["size"])
        files = [os.memfd_create(name) for name in ("in", "out", "err")]
        os.write(files[0], given) if given else None
        os.lseek(files[0], 0, os.SEEK_SET)
        if (pid := os.fork()) == 0:
            _be_born(files, head)
        code, timed_out = _waited(pid, head["timeout_s"])
        out, err = (os.pread(fd, os.fstat(fd).st_size, 0) for fd in files[1:])
        for fd in files:
            os.close(fd)
        said = {"code": code, "timed_out": timed_out, "out": len(out), "err": len(err)}
        whole = memoryview(json.dumps(said).encode() + b"\n" + out + err)
        while whole:
            whole = whole[os.write(_OUT, whole) :]


def _be_born(files: list[int], head: dict[str, Any]) -> None:
    """Become the child: its own streams, arguments and code; never returns."""
    code = 1
    try:
        for number, fd in enumerate(files):
            os.dup2(fd, number)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))
        sys.argv = head["argv"]
        exec(head["code"], {"__name__": "__main__"})  # the product's own words
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException as error:  # noqa: BLE001  # as an interpreter would end
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _waited(pid: int, timeout_s: float) -> tuple[int, bool]:
    """The exit code of a child, which is killed when its time is up."""
    ended: list[bool] = []

    def kill(*_: object) -> None:
        ended.append(True)
        os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    _, status = os.waitpid(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return os.waitstatus_to_exitcode(status), bool(ended)


def _line() -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        if not (one := os.read(_IN, 1)):
            return b""
        found += one
    return found


def _exactly(size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (chunk := os.read(_IN, size - len(found))):
        found += chunk
    return bytes(found)


def _warm_up() -> None:
    """Import what the children need and compile the patterns of the rules."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import libcst  # noqa: F401
    import ruamel.yaml  # noqa: F401

    from refinery.safety import _review

    for name in plugins.names("codebase.edits"):
        plugins.load("codebase.edits", name)
    change = FileChange("a.py", b"x = 'one'\n", b"x = 'one two'\n")
    text = FileChange("a.md", b"one\n", b"one\ntwo\n")
    for name in plugins.names(_review.ROOM):
        list(plugins.load(_review.ROOM, name).check(GuardInput((change, text), Path("/"))))
