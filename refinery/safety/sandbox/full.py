"""Tier `full`: bubblewrap gives the command namespaces of its own."""

import os
import shutil
from pathlib import Path

from refinery.errors import RefusedError
from refinery.safety.sandbox import places
from refinery.safety.sandbox.confinement import Confinement

HINT = "install bubblewrap (e.g. apt install bubblewrap), or add --unsandboxed for this one run"
SCRIPT = "/run/refinery/inside.py"
SOCKET = "/run/refinery/gateway.sock"
_TMP_BYTES = 512 << 20
"""Size of /tmp and of the home folder, each, in memory (chosen by us)."""


def wrapper(confinement: Confinement, program: Path, scratch: Path) -> list[str]:
    """The command line up to and including the interpreter that runs `inside.py`.

    Args:
        confinement: what the command may use.
        program: the command's first word, absolute.
        scratch: an empty folder of this run; stand-ins for system files are written to it.

    Raises:
        RefusedError: bubblewrap is not installed.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise RefusedError("bubblewrap is not installed", hint=HINT)
    launcher = places.launcher_python()
    words = [bwrap, *_namespaces(), *_system(scratch), *_fresh_folders(confinement)]
    needed = [*places.of_program(launcher), *places.of_program(program), *confinement.readable]
    uncovered = _uncovered(needed)
    words += _folders_above([*uncovered, confinement.workdir])
    for path in uncovered:
        if path.is_symlink() and not path.is_dir():
            words += ["--symlink", str(path.readlink()), str(path)]
        else:
            words += ["--ro-bind", str(path), str(path)]
    work = str(confinement.workdir)
    words += ["--bind", work, work]
    words += ["--ro-bind", str(Path(__file__).with_name("inside.py")), SCRIPT]
    if confinement.gateway_socket and confinement.gateway_port:
        words += ["--bind", str(confinement.gateway_socket), SOCKET]
    return [*words, "--remount-ro", "/", "--", str(launcher), "-I", "-S", SCRIPT]


def _namespaces() -> list[str]:
    words = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # A user namespace would hold one uid only, and root ignores the limit on processes: mount
        # as real root, then `inside.py` becomes nobody, which ends these two rights.
        return [*words, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-user", *words]


def _system(scratch: Path) -> list[str]:
    words: list[str] = []
    for place in map(Path, places.SYSTEM):
        if place.is_symlink():
            words += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            words += ["--ro-bind", str(place), str(place)]
    words += _folders_above([Path("/etc/passwd"), Path(SCRIPT)])
    for name in places.ETC:
        words += ["--ro-bind-try", name, name]
    for name, text in places.STUBS.items():
        stub = scratch / name.strip("/").replace("/", "-")
        stub.write_text(text, encoding="utf-8")
        stub.chmod(0o644)
        words += ["--ro-bind", str(stub), name]
    words += ["--proc", "/proc", "--dev", "/dev"]
    return words + _tmpfs("/dev/shm")  # noqa: S108  # a mount point of the sandbox


def _fresh_folders(confinement: Confinement) -> list[str]:
    words = _tmpfs("/tmp") + _tmpfs("/var/tmp")  # noqa: S108  # the same
    home = confinement.env.get("HOME", "")
    parts = Path(home).parts
    is_own = Path(home).is_relative_to(confinement.workdir)
    if len(parts) > 1 and parts[0] == "/" and ".." not in parts and not is_own:
        fixed = ("proc", "dev", "sys", "run", "etc", *(p.strip("/") for p in places.SYSTEM))
        if parts[1] not in fixed and home not in ("/tmp", "/var/tmp"):  # noqa: S108  # the same
            words += _tmpfs(home)
    return words


def _tmpfs(path: str) -> list[str]:
    return ["--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", path]


def _uncovered(paths: list[Path]) -> list[Path]:
    """Existing paths, each once, outermost first, without those inside another one."""
    kept: list[Path] = []
    for path in sorted({p for p in paths if p.exists()}, key=lambda p: (len(p.parts), p)):
        if not any(path.is_relative_to(above) for above in kept):
            kept.append(path)
    return kept


def _folders_above(paths: list[Path]) -> list[str]:
    """Make the folders on the way to the paths; bubblewrap alone makes them for root only."""
    folders = {folder for path in paths for folder in path.parents if folder != Path("/")}
    words: list[str] = []
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):
        words += ["--perms", "0755", "--dir", str(folder)]
    return words
