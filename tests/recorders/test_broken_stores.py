"""Programs whose traces cannot be kept work as if they were not recorded."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.model_server import ModelServer
from tests.recorders.test_programs import GRAPH, ROOT, Refusing, run

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"


def unwritable(home: Path) -> None:
    home.mkdir()
    (home / "spool").write_text("a file where the folder should be")


def locked(home: Path) -> None:
    home.mkdir()
    holder = sqlite3.connect(home / "traces.db")
    holder.execute("CREATE TABLE x (y)")
    holder.execute("BEGIN EXCLUSIVE")
    _HELD.append(holder)


def corrupt(home: Path) -> None:
    home.mkdir()
    (home / "traces.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


_HELD: list[sqlite3.Connection] = []


def outputs(home: Path, *, graph: bool = False, **variables: str) -> list[tuple[int, str]]:
    """What a pipeline and a tree of functions print, and how they end; then a graph, if asked.

    The graph takes ten times as long, most of it to import LangChain, and meets the broken store
    in the same sink: one kind of breakage is enough for it.
    """
    ended = [
        run([str(EXAMPLES / name)], home, **variables)
        for name in ("xray_pipeline.py", "instrumented_functions.py")
    ]
    if graph:
        with ModelServer(Refusing()) as server:
            ended.append(run(["-c", GRAPH, server.url + "/v1"], home, **variables))
    for done in ended:
        assert "Traceback" not in done.stderr, done.stderr
    return [(done.returncode, done.stdout) for done in ended]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """The same programs without recording."""
    return outputs(tmp_path_factory.mktemp("plain") / ".refinery", REFINERY_RECORD="0")


@pytest.mark.parametrize("break_store", [unwritable, corrupt, locked])
def test_programs_work_with_a_broken_store(
    break_store: Callable[[Path], None], plain: list[tuple[int, str]], tmp_path: Path
) -> None:
    home = tmp_path / ".refinery"
    break_store(home)

    try:
        is_sink_broken = break_store is unwritable
        expected = [*plain, (0, "It is sunny.\n")] if is_sink_broken else plain
        assert outputs(home, graph=is_sink_broken) == expected
    finally:
        while _HELD:
            _HELD.pop().close()
    assert [status for status, _ in plain] == [0, 0]


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 KB in the place of a folder, filled up."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder.mkdir()
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(OSError, match="No space left"), (folder / "filler").open("wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_programs_work_with_a_full_disk(plain: list[tuple[int, str]], tmp_path: Path) -> None:
    home = tmp_path / ".refinery"

    with full_disk(home):
        assert outputs(home) == plain
