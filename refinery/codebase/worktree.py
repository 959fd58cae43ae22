"""Reads and replaces files of the work tree without ever following a symlink."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refinery.errors import InputError, RefusedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class WorkFile:
    """A regular file of the work tree at one moment."""

    content: bytes
    mode: int
    """Permission bits."""
    signature: tuple[int, ...]
    """Inode, size and times: another value means the file was written since."""


def check_path(path: str) -> None:
    """Refuse a path that could leave the work tree or reach into a `.git`.

    Raises:
        RefusedError: it is absolute, has empty, `.` or `..` parts, a part git itself refuses, or
            a control character.
    """
    parts = path.split("/")
    is_odd = any(part in ("", ".", "..") or _is_git(part) for part in parts)
    if not path or is_odd or "\\" in path or any(ord(one) < 32 for one in path):
        raise RefusedError(f"{path!r} is no path inside the repository", hint="drop this edit")


def _is_git(part: str) -> bool:
    """Whether some file system takes the name for `.git` (CVE-2014-9390)."""
    plain = "".join(one for one in part if one.isprintable()).lower().rstrip(". ")
    return plain in (".git", "git~1") or plain.startswith(".git:")


def read_file(root: Path, path: str) -> WorkFile | None:
    """The file as it is now; None when there is nothing at the path.

    Raises:
        RefusedError: the path leads through a symlink or another repository, or is no regular
            file.
    """
    try:
        with _folder_of(root, path) as folder:
            return _read_at(folder, path)
    except FileNotFoundError:
        return None


def _read_at(folder: int, path: str) -> WorkFile | None:
    name = path.rpartition("/")[2]
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{path} is a symlink", hint="edit the file it leads to") from error
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RefusedError(f"{path} is no regular file")
        return WorkFile(file.read(), stat.S_IMODE(found.st_mode), _signature(found))


def _signature(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def replace_file(root: Path, path: str, prepared: Path, old: WorkFile | None) -> None:
    """Put a prepared file in the place of another by one rename, and make it last.

    Args:
        root: the work tree.
        path: the place; missing folders are made.
        prepared: a synced file with the new content and permissions; it is moved when it is on
            the same file system, else copied.
        old: what stood there when the change was planned; None when nothing did.

    Raises:
        InputError: the place has changed since, or cannot be written.
    """
    name = path.rpartition("/")[2]
    try:
        with _folder_of(root, path, make=True) as folder:
            _check_unchanged(folder, path, old)
            if os.fstat(folder).st_dev != prepared.stat().st_dev:
                copy = f".{name}.{prepared.parent.name}"
                _copy_into(folder, copy, prepared)
                os.rename(copy, name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                os.rename(prepared, name, dst_dir_fd=folder)
            os.fsync(folder)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}", hint="check the disk"
        ) from error


def remove_file(root: Path, path: str, old: WorkFile | None) -> None:
    """Remove a file, and the folders that become empty.

    Raises:
        InputError: the file has changed since `old` was read, or cannot be removed.
    """
    try:
        with _folder_of(root, path) as folder:
            _check_unchanged(folder, path, old)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path.rpartition("/")[2], dir_fd=folder)
            os.fsync(folder)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {error.strerror}") from error
    for parent in list((root / path).relative_to(root).parents)[:-1]:
        try:
            (root / parent).rmdir()
        except OSError:
            return


def _check_unchanged(folder: int, path: str, old: WorkFile | None) -> None:
    try:
        found = os.stat(path.rpartition("/")[2], dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        found = None
    now = _signature(found) if found else None
    if now != (old.signature if old else None):
        raise InputError(f"{path} was changed by someone else in this moment", hint="try again")


def _copy_into(folder: int, name: str, prepared: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as target, prepared.open("rb") as source:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fchmod(descriptor, stat.S_IMODE(prepared.stat().st_mode))
        os.fsync(descriptor)


@contextlib.contextmanager
def _folder_of(root: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """Descriptor of the folder that holds a path, reached without following any symlink."""
    check_path(path)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.split("/")[:-1]:
            try:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                inner = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise RefusedError(f"{path} leads through a symlink or a file") from error
                raise
            os.close(folder)
            folder = inner
            _refuse_other_repository(folder, path)
        yield folder
    finally:
        os.close(folder)


def _refuse_other_repository(folder: int, path: str) -> None:
    try:
        os.stat(".git", dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    raise RefusedError(f"{path} belongs to a repository inside this one", hint="open that one")
