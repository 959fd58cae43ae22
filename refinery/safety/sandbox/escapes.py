"""Tries to escape and reports what succeeded. Run as a script in a sandbox, standard library only.

Its one argument is a JSON object: `work`, `outside`, `secret`, `repository`, `port`, `gateway`,
`abstract`, `victim`, `mark`, `pid_namespace`, `memory_bytes`, `file_bytes`. It prints one object
that holds the word `open` or why it failed for each escape, and for each thing that must work.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_CALLS = {"x86_64": (248, 425), "aarch64": (217, 425)}
"""add_key and io_uring_setup."""
_METADATA = ("169.254.169.254", 80)
"""Where clouds answer with the keys of the machine."""
_NO_WAY = (errno.EACCES, errno.EPERM, errno.ENETUNREACH)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _in_child(action: Callable[[], None]) -> None:
    """Try in a child, so that success changes nothing here."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError as error:
            os._exit(min(error.errno or 1, 200))
        os._exit(0)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise OSError(code, os.strerror(code))


def _write(path: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123  # script of few imports
        file.write("x")


def _through_link(aim: dict[str, Any]) -> None:
    link = f"{aim['work']}/link"
    if not os.path.islink(link):  # noqa: PTH114  # script of few imports
        os.symlink(aim["outside"], link)  # noqa: PTH211  # the same
    _write(f"{link}/through-link")


def _connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall(b"x")


def _connect_metadata() -> None:
    """Anything but a refusal by the sandbox means that the packet left it."""
    with socket.socket() as connection:
        connection.settimeout(0.2)
        try:
            connection.connect(_METADATA)
        except OSError as error:
            if error.errno in _NO_WAY:
                raise


def _call(index: int, *arguments: object) -> None:
    numbers = _CALLS.get(os.uname().machine)
    if numbers is None:
        raise OSError(errno.ENOSYS, "numbers of system calls are not known here")
    _check(_LIBC.syscall(numbers[index], *arguments))


def _add_key() -> None:
    # The session keyring outlives the process; the key is taken out again where it got in.
    payload = ctypes.c_char_p(b"x")
    _call(0, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"refinery-probe"), payload, 1, -3)


def _take_memory(size_bytes: int) -> None:
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OverflowError, ValueError) as error:
        raise OSError(errno.ENOMEM, str(error)) from error


def _write_far(path: str, size_bytes: int) -> None:
    """Write one byte behind the limit; the file is sparse and takes no room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, b"x", size_bytes)
    finally:
        os.close(file)
        os.unlink(path)  # noqa: PTH108  # script of few imports


def _send_datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", port))


def _signal(aim: dict[str, Any]) -> None:
    """A process of the same number in another namespace is not the victim."""
    os.kill(aim["victim"], 0)
    try:
        own = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # script of few imports
    except OSError:
        return
    if own != aim["pid_namespace"]:
        raise OSError(3, "a process of another namespace")


def _see(aim: dict[str, Any]) -> None:
    with open(f"/proc/{aim['victim']}/cmdline", "rb") as file:  # noqa: PTH123  # few imports
        seen = file.read()
    if aim["mark"].encode() not in seen:
        raise OSError(errno.ESRCH, "another process")


def _connect_unix(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(name)


def _set_setuid(work: str) -> None:
    path = f"{work}/setuid"
    _write(path)
    os.chmod(path, 0o4755)  # noqa: PTH101, S103  # the escape itself
    if not os.stat(path).st_mode & 0o4000:  # noqa: PTH116  # script of few imports
        raise OSError(1, "the bit was not set")


def _change_mode(path: str) -> None:
    """Change a file outside; a change that reports success and does nothing is no escape."""
    before = os.stat(path).st_mode  # noqa: PTH116  # script of few imports
    os.chmod(path, 0o600 if before & 0o040 else 0o640)  # noqa: PTH101  # the escape itself
    if os.stat(path).st_mode == before:  # noqa: PTH116  # script of few imports
        raise OSError(1, "nothing changed")


def _be_root() -> None:
    if os.geteuid() != 0:
        raise OSError(1, "not root")


def _mount(work: str) -> None:
    _check(_LIBC.mount(b"none", work.encode(), b"tmpfs", 0, None))
    _LIBC.umount(work.encode())


def _read(path: str) -> None:
    with open(path, "rb") as file:  # noqa: PTH123  # script of few imports
        file.read(1)


def _ask_gateway(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 3) as connection:
        connection.sendall(b"ping")
        if connection.recv(4) != b"pong":
            raise OSError(5, "wrong answer")


def attempts(aim: dict[str, Any]) -> dict[str, Callable[[], None]]:
    """The escapes, by name; each raises `OSError` when it is held."""
    return {
        "write outside": lambda: _write(f"{aim['outside']}/written"),
        "write through a link": lambda: _through_link(aim),
        "read a secret": lambda: _read(aim["secret"]),
        "change a file outside": lambda: _change_mode(aim["secret"]),
        "connect to the host": lambda: _connect(aim["port"]),
        "send a datagram": lambda: _send_datagram(aim["port"]),
        "connect to an abstract socket": lambda: _connect_unix("\0" + aim["abstract"]),
        "connect to a socket file": lambda: _connect_unix(f"{aim['outside']}/socket"),
        "signal a process": lambda: _signal(aim),
        "read another environment": lambda: _read(f"/proc/{aim['victim']}/environ"),
        "see another process": lambda: _see(aim),
        "write a git hook": lambda: _write(f"{aim['repository']}/.git/hooks/pre-commit"),
        "connect to the metadata address": _connect_metadata,
        "keep a key in a keyring": lambda: _in_child(_add_key),
        "make an io_uring": lambda: _call(1, 1, ctypes.create_string_buffer(120)),
        "take too much memory": lambda: _take_memory(8 * aim["memory_bytes"]),
        "write too large a file": lambda: _write_far(f"{aim['work']}/far", aim["file_bytes"]),
        "make a user namespace": lambda: _in_child(lambda: _check(_LIBC.unshare(_NEW_USER))),
        "make a network namespace": lambda: _in_child(lambda: _check(_LIBC.unshare(_NEW_NET))),
        "mount": lambda: _mount(aim["work"]),
        "trace a process": lambda: _in_child(lambda: _check(_LIBC.ptrace(0, 0, 0, 0))),
        "make a setuid file": lambda: _set_setuid(aim["work"]),
        "stay root": _be_root,
    }


def needs(aim: dict[str, Any]) -> dict[str, Callable[[], None]]:
    """What must work, by name; each raises `OSError` when it does not."""
    return {
        "write in the work folder": lambda: _write(f"{aim['work']}/inside"),
        "reach the gateway": lambda: _ask_gateway(aim["gateway"]),
        "start a process": lambda: _in_child(lambda: None),
    }


def main() -> None:
    """Try everything and print the report."""
    aim = json.loads(sys.argv[1])
    report: dict[str, dict[str, str]] = {"escapes": {}, "needs": {}}
    for kind, tries in (("escapes", attempts(aim)), ("needs", needs(aim))):
        for name, attempt in tries.items():
            try:
                attempt()
                report[kind][name] = "open"
            except OSError as error:
                report[kind][name] = str(error) or type(error).__name__
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
