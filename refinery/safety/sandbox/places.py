"""Which files of the machine a confined command needs in order to start."""

import os
import re
import sys
from pathlib import Path

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
ETC = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
    "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust",
)  # fmt: skip
"""Files of /etc that tell nothing of the user; accounts, hosts and keys are not among them."""
STUBS = {
    "/etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
"""What stands in for files of /etc in tier `full`."""
_INTERPRETER = re.compile(r"(?:python|pypy)[0-9.]*[a-z]?")
_PARTS = ("bin", "lib", "lib64", "libexec", "share", "include", "ssl", "etc", "pyvenv.cfg")
"""What a Python installation or environment keeps under its prefix."""


def launcher_python() -> Path:
    """The real interpreter, outside any virtual environment, that runs `inside.py`."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def of_program(program: Path) -> list[Path]:
    """Paths a program needs besides the system's, outermost first.

    For an interpreter these are its installation, its virtual environment and every link between
    them; for another program the program itself.
    """
    found: list[Path] = []
    waiting, seen = [Path(os.path.abspath(program))], set[Path]()  # noqa: PTH100  # keeps links
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        found.append(path)
        prefix = path.parent.parent
        found += _installation(prefix)
        behind: list[Path] = []
        if home := _home_of_environment(prefix):
            behind.append(home / path.name)
            found += _installation(home.parent)
        if path.is_symlink():
            behind.append(Path(os.path.abspath(path.parent / path.readlink())))  # noqa: PTH100
        behind.append(path.resolve())
        waiting += [place for place in behind if _is_interpreter(place)]
    return [path for path in dict.fromkeys(found) if path.exists() and not _is_system(path)]


def _is_interpreter(path: Path) -> bool:
    """Whether a path may be followed to: an interpreter in a Python installation.

    A link, or the `home` of a `pyvenv.cfg`, comes with a repository and may name any file.
    """
    is_named = _INTERPRETER.fullmatch(path.name) is not None
    return is_named and (_is_system(path) or bool(_installation(path.parent.parent)))


def _installation(prefix: Path) -> list[Path]:
    """Parts of a Python installation; never the whole prefix, which may be somebody's home."""
    if prefix == Path("/") or _is_system(prefix):
        return []
    is_python = (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*/os.py"))
    return [prefix / part for part in _PARTS if (prefix / part).exists()] if is_python else []


def _home_of_environment(prefix: Path) -> Path | None:
    """Folder of the interpreter a virtual environment was made from (PEP 405)."""
    try:
        text = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home" and value.strip().startswith("/"):
            return Path(value.strip())
    return None


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in SYSTEM)


def are_open_to_all(paths: list[Path]) -> bool:
    """Whether every folder on the way to the paths may be passed by any user."""
    folders = {folder for path in paths for folder in path.parents}
    try:
        return all(folder.stat().st_mode & 0o001 for folder in folders)
    except OSError:
        return False
