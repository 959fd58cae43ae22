"""Confines itself and becomes the command. Run as a script, standard library only.

It reads one JSON object from standard input:

command, env, cwd   what becomes of it: the command line, the whole environment, the folder
status_fd           gets `ok` just before the command starts, or why it did not
limits              resource limits, as pairs of `RLIMIT_` name and value
user                uid and gid to become; null to stay
read_all            whether the command keeps the right to read files of other users, which
                    Landlock then restricts; only when started by root
landlock            {"abi", "read": [...], "write": [...], "devices": [...], "port"} or null
seccomp             BPF program in hexadecimal, or null
forward             {"port", "socket"}: pump 127.0.0.1:port to a Unix socket; or null
sweep               whether to stay as a parent that kills what the command leaves behind
"""

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 1, 8, 38
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT = 22, 24, 36, 47
_CAP_DAC_READ_SEARCH, _CAP_SETPCAP, _LAST_CAP = 2, 8, 63
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read file, read folder
_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # what may be asked of a plain file
_DEVICE = 1 << 1 | 1 << 2


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_LIBC.prctl(option, *padded), f"prctl {option}")


def _set_limits(limits: list[tuple[str, int]]) -> None:
    for name, value in limits:
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _become(user: int | None, read_all: bool) -> None:
    """Leave root for good; keep at most the right to read."""
    if user is None:
        return
    if read_all:
        _prctl(_PR_SET_KEEPCAPS, 1)
        for capability in range(_LAST_CAP + 1):
            if capability not in (_CAP_DAC_READ_SEARCH, _CAP_SETPCAP):
                _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kept = 1 << _CAP_DAC_READ_SEARCH if read_all else 0
    header = struct.pack("=Ii", 0x20080522, 0)
    wanted = struct.pack("=IIIIII", kept, kept, kept, 0, 0, 0)
    number = _CAPSET[os.uname().machine]
    _check(_LIBC.syscall(number, ctypes.c_char_p(header), ctypes.c_char_p(wanted)), "capset")
    if read_all:
        _prctl(_PR_CAP_AMBIENT, 2, _CAP_DAC_READ_SEARCH)


def _landlock(rules: Mapping[str, Any]) -> None:
    """Restrict the file system, TCP and signals (Linux, userspace-api/landlock.rst)."""
    abi = rules["abi"]
    fs = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):
        fs |= 1 << bit if abi >= since else 0
    attributes = struct.pack("=QQQ", fs, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _check(
        _LIBC.syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), size, 0), "landlock"
    )

    def allow(path: str, access: int) -> None:
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        access &= fs if os.path.isdir(path) else fs & _FILE  # noqa: PTH112  # script of few imports
        rule = struct.pack("=Qi", access, beneath)
        _check(_LIBC.syscall(_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0), f"rule {path}")
        os.close(beneath)

    for path in rules["read"]:
        allow(path, _READ)
    for path in rules["write"]:
        allow(path, fs)
    for path in rules["devices"]:
        allow(path, _DEVICE)
    if rules["port"] is not None and abi >= 4:
        rule = struct.pack("=QQ", 2, rules["port"])
        _check(_LIBC.syscall(_ADD_RULE, ruleset, 2, ctypes.c_char_p(rule), 0), "port rule")
    _check(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "landlock restrict")
    os.close(ruleset)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _seccomp(code: bytes) -> None:
    program = _Program(len(code) // 8, code)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(program))


def _pump(listener: socket.socket, target: str) -> None:
    """Carry bytes between connections to the listener and the Unix socket, for ever."""
    while True:
        near, _ = listener.accept()
        threading.Thread(target=_join, args=(near, target), daemon=True).start()


def _join(near: socket.socket, target: str) -> None:
    with near, socket.socket(socket.AF_UNIX) as far:
        try:
            far.connect(target)
        except OSError:
            return
        there = threading.Thread(target=_copy, args=(near, far), daemon=True)
        there.start()
        _copy(far, near)
        there.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _start_forwarder(listener: socket.socket, target: str) -> None:
    """Leave a child behind that forwards; it holds no output of the command open."""
    if os.fork():
        listener.close()
        return
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    _pump(listener, target)


def _descendants() -> list[int]:
    """Ids of all processes below this one."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # script of few imports
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  # the same
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError):
                continue
            parents.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


def _sweep() -> None:
    """Stop, then kill, everything below; stopping first keeps a fork bomb from outrunning us."""
    seen: set[int] = set()
    while new := set(_descendants()) - seen:
        _signal(sorted(new), signal.SIGSTOP)
        seen |= new
    _signal(_descendants(), signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _stay_and_sweep(status_fd: int) -> None:
    """Split: the child goes on, the parent waits, kills what is left over, and ends alike."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(125)
        return
    os.close(status_fd)

    def stop(_number: int, _frame: object) -> None:
        _sweep()
        os._exit(137)

    signal.signal(signal.SIGTERM, stop)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    status = -1
    while True:
        pid, state = os.waitpid(-1, 0)
        if pid == child:
            status = os.waitstatus_to_exitcode(state)
            break
    _sweep()
    os._exit(status if status >= 0 else 128 - status)


def _confine(config: Mapping[str, Any]) -> None:
    listener = None
    if forward := config["forward"]:
        listener = socket.create_server(("127.0.0.1", forward["port"]))
    _set_limits(config["limits"])
    _become(config["user"], config["read_all"])
    os.chdir(config["cwd"])
    if config["sweep"]:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if config["landlock"]:
        _landlock(config["landlock"])
    if config["seccomp"]:
        _seccomp(bytes.fromhex(config["seccomp"]))
    if listener is not None:
        _start_forwarder(listener, config["forward"]["socket"])


def main() -> None:
    """Confine this process and replace it by the command; never starts it half confined."""
    config = json.loads(sys.stdin.buffer.read())
    status_fd: int = config["status_fd"]
    os.set_inheritable(status_fd, False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if config["sweep"]:
        _stay_and_sweep(status_fd)
    try:
        _confine(config)
        os.write(status_fd, b"ok")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(config["command"][0], config["command"], config["env"])  # noqa: S606  # no shell is the aim
    except (OSError, ValueError, KeyError) as error:
        os.write(status_fd, f" {error}".encode("utf-8", "replace"))
        os._exit(125)


if __name__ == "__main__":
    main()
