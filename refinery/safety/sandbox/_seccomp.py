"""Builds the classic BPF program that limits system calls (seccomp(2), linux/filter.h).

The program is built outside and loaded by `inside.py`. Numbers are from asm/unistd_64.h for
x86_64 and asm-generic/unistd.h for aarch64.
"""

import errno
import platform
import struct
from collections.abc import Sequence

from refinery.errors import RefusedError

_ARCH = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH value and column in the tables below."""
_NEVER: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "open_tree": (428, 428),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "setns": (308, 268), "unshare": (272, 97),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "syslog": (103, 116), "sethostname": (170, 161),
    "setdomainname": (171, 162), "vhangup": (153, 58), "lookup_dcookie": (212, 18),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None),
}  # fmt: skip
_METADATA: dict[str, tuple[int, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
"""Calls on a file's mode, owner and times, which Landlock does not see."""
_XATTR: dict[str, tuple[int, int | None]] = {
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
_MODE_ARGUMENT: dict[tuple[int, int | None], int] = {
    (90, None): 1, (91, 52): 1, (268, 53): 2, (452, 452): 2, (85, None): 1, (133, None): 1,
    (259, 33): 2,
}  # fmt: skip
"""chmod fchmod fchmodat fchmodat2 creat mknod mknodat: which argument is the mode."""
_OPEN_ARGUMENTS: dict[tuple[int, int | None], int] = {(2, None): 1, (257, 56): 2}
"""open, openat: which argument is the flags; the mode follows."""
_SENDS: dict[tuple[int, int], int] = {(44, 206): 3, (46, 211): 2, (307, 269): 3}
"""sendto sendmsg sendmmsg: which argument is the flags."""

_SETUID_BITS = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: only then is the mode looked at
_NEW_NAMESPACE = 0x7E020000  # every CLONE_NEW* flag that clone(2) takes
_FAST_OPEN = 0x20000000  # MSG_FASTOPEN connects without connect(2), which Landlock watches
_NEWEST_KNOWN = 462  # mseal; later calls are answered "not implemented"
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_STREAM, _TYPE_MASK = 1, 0xF

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

Code = list[tuple[int, int, int, int]]
"""Instructions as (code, jump if true, jump if false, operand)."""


def program(*, unix_sockets: bool, owner_is_user: bool) -> bytes:
    """The BPF program, as an array of `struct sock_filter`.

    Args:
        unix_sockets: whether Unix sockets may be made; only safe where the file system and the
            network namespace are the command's own.
        owner_is_user: whether the command runs as the user's own uid on the real file system;
            then changes of mode, owner and time of files do nothing and report success, because
            nothing else would keep them inside the work folder.

    Raises:
        RefusedError: this machine's processor is not supported.
    """
    machine = platform.machine()
    if machine not in _ARCH:
        raise RefusedError(
            f"no system call filter for the processor {machine!r}",
            hint="use an x86_64 or aarch64 machine, or --unsandboxed for this one run",
        )
    arch, column = _ARCH[machine]
    code: Code = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        *_returns(_AT_LEAST, _NEWEST_KNOWN + 1, _ERRNO | errno.ENOSYS),  # also the x32 calls
        *_returns(_EQUAL, 435, _ERRNO | errno.ENOSYS),  # clone3: flags out of reach; libc falls
        *_returns(_EQUAL, 437, _ERRNO | errno.ENOSYS),  # openat2: back to clone and openat
    ]
    for number in _numbers(_NEVER, column) + _numbers(_XATTR, column):
        code += _returns(_EQUAL, number, _ERRNO | errno.EPERM)
    if owner_is_user:
        for number in _numbers(_METADATA, column):
            code += _returns(_EQUAL, number, _ERRNO)
    code += _flag_rules(column) + _socket_rules(column, unix_sockets)
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _numbers(table: dict[str, tuple[int, int | None]], column: int) -> list[int]:
    return [found for pair in table.values() if (found := pair[column]) is not None]


def _returns(test: int, operand: int, answer: int) -> Code:
    return [(test, 0, 1, operand), (_RETURN, 0, 0, answer)]


def _argument(index: int) -> tuple[int, int, int, int]:
    """Load the low 32 bits of an argument (little-endian machines only)."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _for_call(number: int | None, body: Sequence[tuple[int, int, int, int]]) -> Code:
    """Run a body for one system call; the body must fall through to its end to go on."""
    if number is None:
        return []
    restore = (_LOAD, 0, 0, 0)
    return [(_EQUAL, 0, len(body) + 1, number), *body, restore]


def _flag_rules(column: int) -> Code:
    refused = _ERRNO | errno.EPERM
    clone = (56, 220)[column]
    code = _for_call(clone, [_argument(0), *_returns(_ANY_BIT, _NEW_NAMESPACE, refused)])
    for pair, index in _MODE_ARGUMENT.items():
        mode = [_argument(index), *_returns(_ANY_BIT, _SETUID_BITS, refused)]
        code += _for_call(pair[column], mode)
    for pair, index in _OPEN_ARGUMENTS.items():
        create = [
            _argument(index),
            (_ANY_BIT, 0, 3, _CREATES),
            _argument(index + 1),
            *_returns(_ANY_BIT, _SETUID_BITS, refused),
        ]
        code += _for_call(pair[column], create)
    for both, index in _SENDS.items():
        code += _for_call(
            both[column], [_argument(index), *_returns(_ANY_BIT, _FAST_OPEN, refused)]
        )
    typed = [_argument(1), *_returns(_EQUAL, 0x5412, refused), *_returns(_EQUAL, 0x541C, refused)]
    return code + _for_call((16, 29)[column], typed)  # ioctl TIOCSTI, TIOCLINUX: fake keyboard


def _socket_rules(column: int, unix_sockets: bool) -> Code:
    """Only TCP, and Unix sockets where allowed; pairs are allowed when they cannot reconnect."""
    refused = _ERRNO | errno.EACCES
    stream_only = [
        _argument(1),
        (_AND, 0, 0, _TYPE_MASK),
        (_EQUAL, 1, 0, _STREAM),
        (_RETURN, 0, 0, refused),
    ]
    protocol = [
        _argument(2),  # MPTCP and SCTP streams would pass Landlock's TCP rule
        (_EQUAL, 2, 0, 0),
        (_EQUAL, 1, 0, 6),
        (_RETURN, 0, 0, refused),
    ]
    inet = [*stream_only, *protocol]
    families: Code = [_argument(0)]
    if unix_sockets:
        families.append((_EQUAL, len(inet) + 3, 0, _AF_UNIX))
    families += [(_EQUAL, 2, 0, _AF_INET), (_EQUAL, 1, 0, _AF_INET6), (_RETURN, 0, 0, refused)]
    made = _for_call((41, 198)[column], [*families, *inet])
    pair = _for_call((53, 199)[column], [] if unix_sockets else stream_only)
    return made + pair
