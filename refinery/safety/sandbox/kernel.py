"""Tier `kernel`: Landlock restricts files, TCP and signals, with no helper program."""

import ctypes
from pathlib import Path

from refinery.errors import RefusedError
from refinery.model.trace import Json
from refinery.safety.sandbox import places
from refinery.safety.sandbox.confinement import Confinement

NEEDED_ABI = 6
"""Landlock that scopes signals and abstract Unix sockets (Linux 6.12); 4 brought TCP rules."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_READ_ONLY_PROC = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/self")
_ETC = (*places.ETC, "/etc/nsswitch.conf", "/etc/hosts", "/etc/passwd", "/etc/group")


def landlock_abi() -> int:
    """Version of Landlock this kernel offers; 0 when it has none or has it switched off."""
    found: int = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)
    return max(found, 0)


def rules(confinement: Confinement, program: Path, scratch: Path) -> dict[str, Json]:
    """What `inside.py` asks of Landlock.

    Args:
        confinement: what the command may use.
        program: the command's first word, absolute.
        scratch: an empty folder of this run, for temporary files.

    Raises:
        RefusedError: the kernel's Landlock is absent or too old to hold all that is promised.
    """
    abi = landlock_abi()
    if abi < NEEDED_ABI:
        raise RefusedError(
            f"Landlock {NEEDED_ABI} or later is needed, this kernel has {abi or 'none'}",
            hint="install bubblewrap, or use Linux 6.12 or later",
        )
    read = [*places.SYSTEM, *_ETC, *_READ_ONLY_PROC, *map(str, needed(confinement, program))]
    return {
        "abi": min(abi, 6),
        "read": read,
        "write": [str(confinement.workdir), str(scratch)],
        "devices": list(_DEVICES),
        "port": confinement.gateway_port,
    }


def needed(confinement: Confinement, program: Path) -> list[Path]:
    """Existing paths outside the system's that must be reachable."""
    found = [*places.of_program(program), *confinement.readable]
    return [path for path in found if path.exists()]
