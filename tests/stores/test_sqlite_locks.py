"""A store stays whole while another process opens and closes it: its log is not taken away."""

import subprocess
import sys
from pathlib import Path

import pytest

from refinery.ports import TraceFilter
from refinery.stores import sqlite
from tests.kits.traces import sample

pytestmark = pytest.mark.slow

READ = """
import sys
from refinery.ports import TraceFilter
from refinery.stores import sqlite
store = sqlite.open_store(sys.argv[1])
print(len(store.list_traces(TraceFilter())))
store.close()
"""


def seen_by_another_process(path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_what_is_written_after_another_process_closed_the_store_is_not_lost(
    tmp_path: Path,
) -> None:
    # POSIX locks end when the process closes any descriptor of the file (fcntl(2)).
    path = tmp_path / "traces.db"
    store = sqlite.open_store(str(path))
    store.write_runs(sample("one").runs)
    assert len(store.list_traces(TraceFilter())) == 1  # opens a second connection

    assert seen_by_another_process(path) == 1
    store.write_runs(sample("two").runs)

    assert Path(f"{path}-wal").exists()
    assert seen_by_another_process(path) == 2
    store.close()
    assert seen_by_another_process(path) == 2


def test_a_new_store_is_private_to_its_user(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"

    sqlite.open_store(str(path)).close()

    assert path.stat().st_mode & 0o777 == 0o600
