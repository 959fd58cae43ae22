"""Makes real git repositories for tests."""

import os
import subprocess
from pathlib import Path

_SETTINGS = (
    ("user.name", "Ada Tester"),
    ("user.email", "ada@example.com"),
    ("commit.gpgsign", "false"),
    ("gc.auto", "0"),
)


def git(folder: Path, *arguments: str, ok: tuple[int, ...] = (0,), stdin: bytes = b"") -> str:
    """Run git as a user would and return its stdout."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=False, input=stdin
    )
    assert done.returncode in ok, f"git {arguments}: {os.fsdecode(done.stderr)}"
    return os.fsdecode(done.stdout)


def make_repository(folder: Path, files: dict[str, str]) -> Path:
    """A repository on branch `main` with one commit of the files; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    for name, value in _SETTINGS:
        git(folder, "config", name, value)
    write_files(folder, files)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "begin")
    return folder


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write files byte for byte (no newline translation), creating their folders."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))


def commit_all(folder: Path, subject: str) -> str:
    """Commit everything in the work tree; returns the commit's hash."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", subject)
    return git(folder, "rev-parse", "HEAD").strip()
