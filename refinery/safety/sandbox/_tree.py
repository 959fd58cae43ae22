"""What /proc tells of processes: how many a user has, how much memory a tree holds."""

import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def count_of_user(uid: int) -> int:
    """Processes and threads that run as a user now; 0 when /proc cannot be read."""
    count = 0
    for folder in _folders():
        try:
            if folder.stat().st_uid == uid:
                count += folder.joinpath("task").stat().st_nlink - 2
        except OSError:
            continue
    return count


def resident_bytes(root: int) -> int:
    """Memory in use by a process and all below it, in bytes; pages they share count for each."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in _folders():
        try:
            fields = folder.joinpath("stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        resident[int(folder.name)] = int(fields[21]) * _PAGE_BYTES
    inside = {root}
    total = resident.get(root, 0)
    waiting = [root]
    while waiting:
        above = waiting.pop()
        below = {pid for pid, parent in parents.items() if parent == above} - inside
        inside |= below
        waiting += below
        total += sum(resident[pid] for pid in below)
    return total


def files(folder: Path, most: int) -> tuple[int, int]:
    """Room the files below a folder take on disk in bytes, and how many there are.

    Args:
        folder: read as far as it can be; links are not followed.
        most: when more files than these were seen, what is found so far is the answer.
    """
    total = count = 0
    for parent, _, names in os.walk(folder):
        count += len(names)
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118  # many files
            except OSError:
                continue
        if count > most:
            break
    return total, count


def _folders() -> list[Path]:
    try:
        return [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return []
