"""Finds the strongest sandbox that really holds, by trying to escape from it."""

import functools
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from refinery import clock
from refinery.errors import RefusedError
from refinery.model.trace import Json
from refinery.safety.sandbox import full, kernel, places
from refinery.safety.sandbox.confinement import (
    CONTAINER,
    FILE_BYTES,
    FULL,
    KERNEL,
    UNSANDBOXED,
    Confinement,
)
from refinery.safety.sandbox.launch import run

FORCE = "REFINERY_SANDBOX"
"""Environment variable that may name `kernel`, to use that tier where `full` would hold too, or
`container`, to declare that this process runs in a disposable container."""
LEFT_TO_THE_CONTAINER = frozenset(
    {
        "write outside", "write through a link", "read a secret", "change a file outside",
        "write a git hook", "see another process", "connect to the host",
        "connect to the metadata address",
    }
)  # fmt: skip
"""Escapes tier `container` does not hold itself: they end at the container's walls."""
_SIGNS = ("/.dockerenv", "/run/.containerenv")
_NAMES = (b"docker", b"kubepods", b"containerd", b"libpod", b"lxc")
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the escape attempts of one probe came to."""

    tier: str
    escaped: tuple[str, ...]
    """Names of escapes that succeeded."""
    missing: tuple[str, ...]
    """Names of things that must work and do not, with the reason; or why it did not start."""
    duration_s: float
    tried: tuple[str, ...] = ()
    """Names of all escapes that were tried."""

    @property
    def holds(self) -> bool:
        """Whether nothing escaped and everything needed works."""
        left = LEFT_TO_THE_CONTAINER if self.tier == CONTAINER else frozenset()
        return not set(self.escaped) - left and not self.missing


def strongest(*, allow_unsandboxed: bool = False) -> str:
    """The strongest tier that holds on this machine: `full`, else `kernel`.

    Each tier is tried once per process by a program that attempts to escape from it.

    Args:
        allow_unsandboxed: answer `unsandboxed` instead of refusing when no tier holds.

    Raises:
        RefusedError: no tier holds.
    """
    forced = os.environ.get(FORCE, "")
    if forced not in ("", FULL, KERNEL, CONTAINER):
        raise RefusedError(
            f"{FORCE}={forced!r} names no sandbox",
            hint=f"use {FULL}, {KERNEL} or {CONTAINER}, or unset it",
        )
    said = []
    for tier in (forced,) if forced else (FULL, KERNEL):
        report = _remembered(tier)
        if report.holds:
            return tier
        said.append(f"{tier}: " + "; ".join((*report.escaped, *report.missing)))
    if allow_unsandboxed:
        return UNSANDBOXED
    raise RefusedError(
        "no sandbox holds on this machine (" + " | ".join(said) + ")", hint=full.HINT
    )


@functools.cache
def _remembered(tier: str) -> ProbeReport:
    return probe(tier)


def probe(tier: str) -> ProbeReport:
    """Start a program in a tier that tries to escape from it; about a tenth of a second."""
    start = clock.monotonic_s()
    try:
        _require_parts(tier)
        said = _try_escapes(tier)
    except (RefusedError, OSError) as error:
        return ProbeReport(tier, (), (str(error),), clock.monotonic_s() - start)
    escaped = tuple(name for name, how in said["escapes"].items() if how == "open")
    missing = tuple(f"{n}: {how}" for n, how in said["needs"].items() if how != "open")
    took_s = clock.monotonic_s() - start
    return ProbeReport(tier, escaped, missing, took_s, tuple(said["escapes"]))


def _require_parts(tier: str) -> None:
    if tier == FULL and shutil.which("bwrap") is None:
        raise RefusedError("bubblewrap is not installed")
    if tier == KERNEL and kernel.landlock_abi() < kernel.NEEDED_ABI:
        raise RefusedError(f"this kernel's Landlock is older than version {kernel.NEEDED_ABI}")
    if tier == CONTAINER and not is_in_container():
        raise RefusedError("nothing says that this process runs in a container")


def is_in_container() -> bool:
    """Whether a marker file or the first process's control group tells of a container."""
    if any(Path(sign).exists() for sign in _SIGNS):
        return True
    try:
        group = Path("/proc/1/cgroup").read_bytes()
    except OSError:
        return False
    return any(name in group for name in _NAMES)


def _try_escapes(tier: str) -> dict[str, dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="refinery-probe-") as folder, ExitStack() as stack:
        base = Path(folder)
        base.chmod(0o755)  # so that file permissions alone hold nothing back
        work, outside, script = base / "work", base / "outside", base / "escapes.py"
        work.mkdir()
        repository = base / "repository"
        hooks = repository / ".git" / "hooks"
        hooks.mkdir(parents=True)
        hooks.chmod(0o777)
        outside.mkdir()
        outside.chmod(0o777)
        secret = outside / "secret"
        secret.write_text("secret", encoding="utf-8")
        shutil.copyfile(Path(__file__).with_name("escapes.py"), script)
        script.chmod(0o644)
        host = stack.enter_context(_listening(socket.AF_INET, ("127.0.0.1", 0)))
        stack.enter_context(_listening(socket.AF_UNIX, str(outside / "socket")))
        (outside / "socket").chmod(0o777)
        name = f"refinery-probe-{os.getpid()}-{clock.new_uuid()}"
        stack.enter_context(_listening(socket.AF_UNIX, "\0" + name))
        gateway = stack.enter_context(_listening(socket.AF_INET, ("127.0.0.1", 0)))
        gateway_file = base / "gateway"
        stack.enter_context(_listening(socket.AF_UNIX, str(gateway_file)))
        port = gateway.getsockname()[1]
        aim: dict[str, Json] = {
            "work": str(work),
            "outside": str(outside),
            "secret": str(secret),
            "port": host.getsockname()[1],
            "gateway": port,
            "abstract": name,
            "victim": os.getpid(),
            "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
            "mark": _own_command(),
            "repository": str(repository),
            "memory_bytes": 2 << 30,
            "file_bytes": FILE_BYTES,
        }
        confinement = Confinement(work, (script,), {}, port, gateway_file, _TIMEOUT_S)
        python = str(places.launcher_python())
        finished = run([python, "-I", "-S", str(script), json.dumps(aim)], confinement, tier)
    if finished.exit_code != 0:
        text = finished.stderr.decode("utf-8", "replace").strip()[-500:]
        raise RefusedError(f"the probe ended with {finished.exit_code}: {text}")
    report: dict[str, dict[str, str]] = json.loads(finished.stdout)
    return report


def _own_command() -> str:
    """Words of this process's command line that no other process has by chance."""
    try:
        words = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").strip()
    except OSError:
        return "refinery"
    return words.decode("utf-8", "replace")[:40].split(" ")[0]


@contextmanager
def _listening(
    family: socket.AddressFamily, address: str | tuple[str, int]
) -> Iterator[socket.socket]:
    """A listener that answers `ping` with `pong` in a thread."""
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread


def _answer(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(_TIMEOUT_S)
            try:
                if connection.recv(4) == b"ping":
                    connection.sendall(b"pong")
            except OSError:
                continue
