"""Runs one command in a tier and watches its time, memory and output."""

import json
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from refinery import clock
from refinery.errors import RefusedError
from refinery.model.trace import Json
from refinery.safety.sandbox import _seccomp, _tree, full, kernel, places
from refinery.safety.sandbox.confinement import (
    CONTAINER,
    DISK_BYTES,
    FILE_BYTES,
    FILES,
    FULL,
    KERNEL,
    NOBODY,
    OPEN_FILES,
    OUTPUT_BYTES,
    PROCESSES,
    UNSANDBOXED,
    Confinement,
    Finished,
)

_POLL_S = 0.1
_LOOK_AT_MEMORY_S = 0.5
_LOOK_AT_DISK = 5
"""A look at the files is followed by a pause this many times as long as the look took."""
_GRACE_S = 3.0
"""Seconds the inner launcher has to sweep before it is killed itself."""


def run(command: Sequence[str], confinement: Confinement, tier: str) -> Finished:
    """Run a command confined, without input, until it ends or its time or memory is used up.

    Every process it started is gone when this returns.

    Args:
        command: the program (found on the `PATH` of `confinement.env` when it has no slash) and
            its arguments.
        confinement: what it may use.
        tier: what `strongest` answered.

    Raises:
        RefusedError: the tier cannot hold this command, e.g. its work folder is a repository, or
            the sandbox did not start; the command did not run then.
    """
    program = _program(command[0], confinement)
    confinement = _checked(confinement, tier)
    with tempfile.TemporaryDirectory(prefix="refinery-sandbox-") as folder:
        scratch = Path(folder)
        start = clock.monotonic_s()
        config, words = _arrange([str(program), *command[1:]], confinement, tier, scratch)
        if os.geteuid() == 0 and tier != UNSANDBOXED:
            scratch.chmod(0o711)
            _give_away(confinement.workdir)
        watched = _start(words, config)
        try:
            return _watch(watched, confinement, _Room.of(confinement.workdir, scratch), start)
        finally:
            _stop(watched.process)
            for stream in (watched.process.stdout, watched.process.stderr):
                if stream:
                    stream.close()
            os.close(watched.status_fd)


def _program(name: str, confinement: Confinement) -> Path:
    found = name if "/" in name else shutil.which(name, path=confinement.env.get("PATH", ""))
    if found is None or not Path(found).is_file():
        raise RefusedError(f"no program {name!r} to run", hint="give its absolute path")
    return Path(os.path.abspath(found))  # noqa: PTH100  # keeps the links of virtual environments


def _checked(confinement: Confinement, tier: str) -> Confinement:
    if tier not in (FULL, KERNEL, CONTAINER, UNSANDBOXED):
        raise RefusedError(f"unknown sandbox tier {tier!r}", hint="use the answer of strongest()")
    workdir = confinement.workdir.resolve()
    if not workdir.is_dir() or workdir == Path("/"):
        raise RefusedError(f"{workdir} is no folder to work in")
    if tier != UNSANDBOXED and (workdir / ".git").exists():
        raise RefusedError(
            f"{workdir} is a git work tree: code in it could change the repository",
            hint="run in an export without .git",
        )
    return Confinement(
        workdir,
        tuple(path.absolute() for path in confinement.readable),
        dict(confinement.env),
        confinement.gateway_port,
        confinement.gateway_socket,
        confinement.timeout_s,
        confinement.memory_bytes,
    )


def _arrange(
    command: list[str], confinement: Confinement, tier: str, scratch: Path
) -> tuple[dict[str, Json], list[str]]:
    """The orders for `inside.py`, and the command line that starts it."""
    is_root = os.geteuid() == 0
    user = NOBODY if is_root and tier != UNSANDBOXED else None
    config: dict[str, Json] = {
        "command": command,
        "env": dict(confinement.env),
        "cwd": str(confinement.workdir),
        "limits": _limits(confinement, user) if tier != UNSANDBOXED else [("CORE", 0)],
        "user": user,
        "read_all": False,
        "landlock": None,
        "seccomp": None,
        "forward": None,
        "sweep": tier != FULL,
    }
    program = Path(command[0])
    inside = str(Path(__file__).with_name("inside.py"))
    words = [str(places.launcher_python()), "-I", "-S", inside]
    if tier == FULL:
        words = full.wrapper(confinement, program, scratch)
        config["seccomp"] = _seccomp.program(unix_sockets=True, owner_is_user=False).hex()
        if confinement.gateway_port and confinement.gateway_socket:
            config["forward"] = {"port": confinement.gateway_port, "socket": full.SOCKET}
            if is_root:
                os.chown(confinement.gateway_socket, NOBODY, NOBODY)  # so that nobody may connect
    if tier == CONTAINER:
        config["seccomp"] = _seccomp.program(unix_sockets=False, owner_is_user=not is_root).hex()
        needed = [*kernel.needed(confinement, program), confinement.workdir]
        config["read_all"] = is_root and not places.are_open_to_all(needed)
    if tier == KERNEL:
        own = scratch / "tmp"
        own.mkdir()
        config["landlock"] = kernel.rules(confinement, program, own)
        config["seccomp"] = _seccomp.program(unix_sockets=False, owner_is_user=not is_root).hex()
        config["env"] |= {"TMPDIR": str(own)}
        if "HOME" in confinement.env:
            config["env"]["HOME"] = str(own)
        if is_root:
            os.chown(own, NOBODY, NOBODY)
            reached = [*kernel.needed(confinement, program), confinement.workdir, own]
            config["read_all"] = not places.are_open_to_all(reached)
    return config, words


def _limits(confinement: Confinement, user: int | None) -> list[tuple[str, int]]:
    memory = confinement.memory_bytes
    running = _tree.count_of_user(os.geteuid() if user is None else user)
    return [
        ("DATA", memory),
        ("AS", 4 * memory),  # address space is reserved far beyond what is used
        ("NPROC", PROCESSES + running),  # counted for the whole user
        ("FSIZE", FILE_BYTES),
        ("NOFILE", OPEN_FILES),
        ("CPU", 4 * math.ceil(confinement.timeout_s) + 10),
        ("CORE", 0),
    ]


def _give_away(folder: Path) -> None:
    """Give a folder's files to nobody; links are not followed."""
    os.chown(folder, NOBODY, NOBODY)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(os.path.join(parent, name), NOBODY, NOBODY)  # noqa: PTH118  # many files


@dataclass(slots=True)
class _Watched:
    """A running command and what has been read of it."""

    process: subprocess.Popen[bytes]
    status_fd: int
    streams: dict[int, bytearray] = field(default_factory=dict)
    """What came from each file descriptor: output, errors and the launcher's word."""


def _start(words: list[str], config: dict[str, Json]) -> _Watched:
    read_fd, write_fd = os.pipe()
    config["status_fd"] = write_fd
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(write_fd,),
            env={},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        os.close(read_fd)
        raise RefusedError(f"the sandbox did not start: {error}", hint=full.HINT) from error
    finally:
        os.close(write_fd)
    stdin: IO[bytes] | None = process.stdin
    if stdin:
        try:
            stdin.write(json.dumps(config).encode())
            stdin.close()
        except OSError:
            pass  # it ended early: its status and errors say why
    return _Watched(process, read_fd)


@dataclass(slots=True)
class _Room:
    """What the files of a command take, looked at now and then."""

    folders: tuple[Path, ...]
    bytes_at_first: int
    files_at_first: int
    next_look: float = 0.0

    @classmethod
    def of(cls, *folders: Path) -> "_Room":
        """Take note of what is there."""
        found = [_tree.files(folder, sys.maxsize) for folder in folders]
        return cls(folders, sum(room for room, _ in found), sum(count for _, count in found))

    def is_used_up(self) -> bool:
        """Whether more was written since than may be; looks only when it is time to."""
        now = clock.monotonic_s()
        if now < self.next_look:
            return False
        found = [_tree.files(folder, self.files_at_first + FILES) for folder in self.folders]
        took_s = clock.monotonic_s() - now
        self.next_look = now + max(_LOOK_AT_MEMORY_S, _LOOK_AT_DISK * took_s)
        room, count = (sum(pair[i] for pair in found) for i in (0, 1))
        return room - self.bytes_at_first > DISK_BYTES or count - self.files_at_first > FILES


def _watch(watched: _Watched, confinement: Confinement, room: _Room, start: float) -> Finished:
    """Read until all streams end, the process ends, or a limit is reached."""
    process = watched.process
    out, err = (s.fileno() if s else -1 for s in (process.stdout, process.stderr))
    selector = selectors.DefaultSelector()
    for fd in (out, err, watched.status_fd):
        watched.streams[fd] = bytearray()
        selector.register(fd, selectors.EVENT_READ)
    deadline = start + confinement.timeout_s
    next_look = start + _LOOK_AT_MEMORY_S
    timed_out = out_of_memory = out_of_disk = False
    while selector.get_map():
        now = clock.monotonic_s()
        if timed_out := now >= deadline:
            break
        if now >= next_look:
            next_look = now + _LOOK_AT_MEMORY_S
            if out_of_memory := _tree.resident_bytes(process.pid) > 2 * confinement.memory_bytes:
                break
            if out_of_disk := room.is_used_up():
                break
        events = selector.select(min(_POLL_S, deadline - now))
        _read(selector, events, watched)
        if not events and process.poll() is not None:
            break  # what it left behind may hold the pipes open
    is_stopped = timed_out or out_of_memory or out_of_disk
    if is_stopped:
        _stop(process)
    selector.close()
    code = None if is_stopped else _exit_code(process, deadline)
    _require_started(watched, err)
    return Finished(
        code,
        bytes(watched.streams[out]),
        bytes(watched.streams[err]),
        timed_out,
        clock.monotonic_s() - start,
        out_of_memory,
        out_of_disk,
    )


def _read(
    selector: selectors.BaseSelector,
    events: list[tuple[selectors.SelectorKey, int]],
    watched: _Watched,
) -> None:
    for key, _ in events:
        chunk = os.read(key.fd, 1 << 16)
        if not chunk:
            selector.unregister(key.fd)
        kept = watched.streams[key.fd]
        kept += chunk[: max(OUTPUT_BYTES - len(kept), 0)]


def _exit_code(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    try:
        code = process.wait(timeout=max(deadline - clock.monotonic_s(), 0.0) + _GRACE_S)
    except subprocess.TimeoutExpired:
        return None
    return code if code >= 0 else 128 - code


def _require_started(watched: _Watched, err: int) -> None:
    """Fail unless the launcher said that the command was about to start, and nothing after."""
    word = bytes(watched.streams[watched.status_fd])
    if word == b"ok":
        return
    said = word.removeprefix(b"ok") or bytes(watched.streams[err][-2000:])
    text = said.decode("utf-8", "replace").strip() or "it ended without a word"
    raise RefusedError(f"the sandbox did not start the command: {text}", hint=full.HINT)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the launcher, which takes everything below it along."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)  # inside.py sweeps; bubblewrap's namespace dies with it
    try:
        process.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
