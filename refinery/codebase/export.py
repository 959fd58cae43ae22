"""Writes the files of a commit into a folder without `.git`, running none of its programs.

Blobs are written as they are stored: no filter, no end-of-line conversion, and no
`export-ignore` (an agent may read what an archive leaves out).
"""

import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from refinery.codebase.git import Git, GitError
from refinery.codebase.tree import EXECUTABLE, SUBMODULE, SYMLINK, TreeEntry
from refinery.errors import InputError

MAX_DIFF_BYTES = 50_000_000
"""Largest uncommitted diff that is applied, unpacked; chosen by us."""
_BINARY_SIZE = re.compile(rb"^(?:literal|delta) (\d{1,18})\r?$", re.MULTILINE)


def export(git: Git, tree: dict[str, TreeEntry], target: Path, dirty_diff: str | None) -> None:
    """Write every file of a commit's tree below `target`, then apply the uncommitted diff.

    Executable bits are kept. A symlink is made only when it stays inside the tree; another one
    becomes a file that holds the link's text. A submodule becomes an empty folder.

    Raises:
        InputError: `target` is not empty, an object is missing, or the diff does not apply.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise InputError(f"{target} is not empty", hint="name a new folder")
    blobs = {path: entry for path, entry in tree.items() if entry.mode != SUBMODULE}
    links: dict[str, str] = {}
    for path, content in _contents(git, blobs):
        place = target / _checked(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if tree[path].mode == SYMLINK:
            links[path] = os.fsdecode(content)
            continue
        place.write_bytes(content)
        if tree[path].mode == EXECUTABLE:
            place.chmod(0o755)
    for path in (path for path, entry in tree.items() if entry.mode == SUBMODULE):
        (target / _checked(path)).mkdir(parents=True, exist_ok=True)
    for path, link in links.items():
        _write_link(target, path, link)
    if dirty_diff:
        _apply_diff(git, target, dirty_diff)


def _contents(git: Git, entries: dict[str, TreeEntry]) -> Iterator[tuple[str, bytes]]:
    """Bytes of every entry, streamed from one `cat-file`; each is held in memory alone."""
    with TemporaryFile() as wanted:
        wanted.write(b"".join(entry.blob.encode() + b"\n" for entry in entries.values()))
        wanted.seek(0)
        with subprocess.Popen(
            [git.program, "cat-file", "--batch", "--buffer"],
            cwd=git.root,
            env=git.environment,
            stdin=wanted,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            stream = process.stdout
            if stream is None:
                raise GitError("cat-file", None, "no output")
            for path in entries:
                yield path, _next_blob(stream, path)


def _next_blob(stream: IO[bytes], path: str) -> bytes:
    header = stream.readline().split()
    if len(header) != 3 or header[1] != b"blob":
        raise InputError(
            f"the content of {path} is missing from the repository",
            hint="git fsck; in a partial clone: git fetch --refetch --no-filter",
        )
    content = stream.read(int(header[2]))
    stream.read(1)
    return content


def _checked(path: str) -> str:
    """The path itself; trees made by hand may hold `..` or `.git`, which git never writes."""
    parts = path.split("/")
    if path.startswith("/") or any(p in ("", ".", "..") or p.lower() == ".git" for p in parts):
        raise InputError(f"the commit holds an unusable path {path!r}", hint="git fsck")
    return path


def _stays_inside(path: str, link: str) -> bool:
    """Whether a link at `path` leads to a place of the tree, by its text alone."""
    if link.startswith("/") or "\0" in link or not link:
        return False
    led = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return led != ".." and not led.startswith(("../", "/"))


def _write_link(target: Path, path: str, link: str) -> None:
    place = target / path
    # A link through another link could leave the tree although its text stays inside: resolve.
    inside = _stays_inside(path, link) and place.parent.resolve().is_relative_to(target.resolve())
    if inside and (place.parent / link).resolve().is_relative_to(target.resolve()):
        place.symlink_to(link)
    else:
        place.write_text(link, encoding="utf-8", errors="surrogateescape")


def _apply_diff(git: Git, target: Path, diff: str) -> None:
    content = diff.encode("utf-8", "surrogateescape")
    inflated = sum(int(size) for size in _BINARY_SIZE.findall(content))
    if len(content) > MAX_DIFF_BYTES or inflated > MAX_DIFF_BYTES:
        raise InputError(
            f"the uncommitted diff of the recording has {len(content):,} bytes",
            hint="replay a trace recorded with a clean work tree",
        )
    env = {k: v for k, v in git.environment.items() if k not in ("GIT_DIR", "GIT_WORK_TREE")}
    env["GIT_CEILING_DIRECTORIES"] = str(target.resolve().parent)
    done = subprocess.run(
        [git.program, "apply", "--whitespace=nowarn", "-"],
        cwd=target,
        env=env,
        input=content,
        capture_output=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        why = os.fsdecode(done.stderr).strip()[:300]
        raise InputError(
            f"the uncommitted diff of the recording does not apply: {why}",
            hint="replay at the recorded commit, or record again",
        )
    _tame_links(target)


def _tame_links(target: Path) -> None:
    """Turn links that a diff brought and that leave the tree into files; drop a `.git` it made."""
    inside = target.resolve()
    for folder, folders, files in os.walk(target):
        for name in [*folders, *files]:
            place = Path(folder, name)
            if place.is_symlink() and not place.resolve().is_relative_to(inside):
                link = os.fspath(place.readlink())
                place.unlink()
                place.write_text(link, encoding="utf-8", errors="surrogateescape")
            elif name.lower() == ".git":
                shutil.rmtree(place) if place.is_dir() else place.unlink()
