"""What a confined command may use, and what it came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FULL = "full"
"""Namespaces of its own through bubblewrap, seccomp, limits."""
KERNEL = "kernel"
"""Landlock, seccomp and limits, with no helper program."""
CONTAINER = "container"
"""The user's own disposable container, declared for this process; seccomp and limits inside it.
Not a sandbox of ours: what the container shows, the command sees."""
UNSANDBOXED = "unsandboxed"
"""No confinement: only the environment, the time limit and the sweep of left-over processes."""

OUTPUT_BYTES = 8 << 20
"""Bytes kept of each output stream; what comes after is read and dropped (chosen by us)."""
PROCESSES = 512
"""Processes and threads a confined command may have at once (chosen by us: numerical libraries
start one thread a core, several times over)."""
FILE_BYTES = 256 << 20
"""Largest file a confined command may write (chosen by us)."""
DISK_BYTES = 2 << 30
"""Room the files of a confined command may take beyond what was there (chosen by us)."""
FILES = 100_000
"""Files a confined command may make beyond those that were there (chosen by us)."""
OPEN_FILES = 1024
NOBODY = 65534
"""The user and group a confined command runs as when Refinery runs as root."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """All that a confined command may see and use."""

    workdir: Path
    """Read and write, and where the command starts. Must be a copy without `.git`. When Refinery
    runs as root its files are given to the user `nobody`."""
    readable: tuple[Path, ...]
    """Files and folders that may be read and executed besides the system's libraries and the
    command's interpreter; those that do not exist are left out."""
    env: Mapping[str, str]
    """The whole environment of the command; in tier `kernel` `TMPDIR` is added and `HOME`, when
    given, replaced, because folders cannot be covered there by fresh ones."""
    gateway_port: int | None
    """Port on 127.0.0.1 that reaches the gateway from inside; None: no network at all."""
    gateway_socket: Path | None
    """Unix socket on which the gateway listens outside; used by tier `full`."""
    timeout_s: float
    """Wall seconds until every process of the command is killed."""
    memory_bytes: int = 2 << 30
    """Writable memory of one process; all processes together may hold twice as much."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a confined command ended."""

    exit_code: int | None
    """As a shell reports it (128 + n: ended by signal n); None when it was killed by us."""
    stdout: bytes
    """At most `OUTPUT_BYTES`."""
    stderr: bytes
    """At most `OUTPUT_BYTES`."""
    timed_out: bool
    duration_s: float
    """Wall seconds, start of the sandbox included."""
    out_of_memory: bool = False
    """Whether it was killed because its processes together held too much memory."""
    out_of_disk: bool = False
    """Whether it was killed because its files took too much room."""
