"""Draining the spool into a real store, while writers live, die and misbehave."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refinery.errors import StoreError
from refinery.model.codec import encode_run
from refinery.model.trace import Run, RunStatus
from refinery.ports import Store, TraceFilter
from refinery.recorders.sink import Record, SpoolSink
from refinery.recorders.spool_file import spool_files
from refinery.workflows import spool as spool_module
from refinery.workflows.spool import drain, drain_report, owned
from refinery.workflows.wiring import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(str(tmp_path / "traces.db"))
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "spool"
    made.mkdir()
    return made


class View(Record):
    """A record of one run, as the recorder would send it."""

    def __init__(self, run_id: str, *, is_done: bool = True, project: str = "p") -> None:
        super().__init__()
        self._line = line(run_id, is_done=is_done, project=project)

    def line(self, shared: dict[str, bytes] | None) -> bytes:
        return self._line.encode() + b"\n"


def line(run_id: str, *, is_done: bool = True, project: str = "p") -> str:
    run = Run(
        run_id,
        run_id,
        name=run_id,
        start_ns=1,
        end_ns=2 if is_done else None,
        status=RunStatus.OK if is_done else RunStatus.RUNNING,
    )
    return json.dumps({"run": encode_run(run), "source": "langchain", "project": project})


def traces(store: Store) -> dict[str, str]:
    return {found.trace_id: str(found.status) for found in store.list_traces(TraceFilter())}


def test_a_finished_file_is_stored_and_removed(folder: Path, store: Store) -> None:
    (folder / "1-a.jsonl").write_text(line("a", is_done=False) + "\n" + line("a") + "\n")

    report = drain_report(folder, store)

    assert (report.runs, report.views, report.garbage) == (1, 2, 0)
    assert list(report.trace_ids) == ["a"]
    assert traces(store) == {"a": "ok"}
    assert list(folder.glob("*.jsonl")) == []
    found = store.list_traces(TraceFilter(source="langchain", project="p"))
    assert [trace.name for trace in found] == ["a"]


def test_nothing_there_is_nothing_done(tmp_path: Path, store: Store) -> None:
    assert drain(tmp_path / "missing", store) == 0


def test_a_living_writers_file_is_read_as_it_grows_and_kept(folder: Path, store: Store) -> None:
    sink = SpoolSink(folder)
    sink.put(View("a", is_done=False))
    sink.flush(60)

    assert drain(folder, store) == 1
    assert traces(store) == {"a": "running"}
    sink.put(View("a"))
    sink.put(View("b"))
    sink.flush(60)
    report = drain_report(folder, store)

    assert (report.runs, report.views) == (1, 2)
    assert traces(store) == {"a": "ok", "b": "ok"}
    assert len(spool_files(folder)) == 1
    sink._shut()
    assert drain_report(folder, store).views == 0
    assert list(folder.iterdir()) == [folder / "drain.lock"]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "[1, 2]",
        "null",
        '"text"',
        "{}",
        '{"run": {}}',
        '{"run": {"run_id": "x"}}',
        '{"run": {"run_id": 1, "trace_id": 2}}',
        '{"run": {"run_id": "x", "trace_id": "x", "status": "odd"}}',
        "\x00\x00",
        "[" * 100_000,
        "1e999999",
    ],
)
def test_garbage_lines_are_counted_and_skipped(folder: Path, store: Store, bad: str) -> None:
    (folder / "1-a.jsonl").write_text(f"{line('a')}\n{bad}\n{line('b')}\n")

    report = drain_report(folder, store)

    assert report.garbage == 1
    assert sorted(traces(store)) == ["a", "b"]


@pytest.mark.parametrize("form", ["zstd", "gzip", "plain"])
def test_half_a_block_waits_for_a_living_writer(
    folder: Path, store: Store, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_SPOOL_FORMAT", form)
    sink = SpoolSink(folder)
    sink.put(View("a"))
    sink.flush(60)
    whole = sink._format.pack(line("b").encode() + b"\n")
    assert sink._file is not None

    written = 0
    for upto in (5, 20, len(whole) - 1):
        os.write(sink._file, whole[written:upto])
        written = upto
        assert drain_report(folder, store).garbage == 0
        assert sorted(traces(store)) == ["a"]
    os.write(sink._file, whole[written:])

    assert drain(folder, store) == 1
    assert sorted(traces(store)) == ["a", "b"]


def test_a_torn_last_line_of_a_dead_writer_is_garbage(folder: Path, store: Store) -> None:
    (folder / "1-a.jsonl").write_text(line("a") + "\n" + line("b")[:30])

    report = drain_report(folder, store)

    assert (report.runs, report.garbage) == (1, 1)
    assert list(folder.glob("*.jsonl")) == []


def test_folders_of_commands_are_drained_and_removed(folder: Path, store: Store) -> None:
    (folder / "record-1").mkdir()
    (folder / "record-1" / "1-a.jsonl").write_text(line("a") + "\n")

    assert drain(folder, store) == 1
    assert not (folder / "record-1").exists()


def test_an_owned_folder_is_drained_but_kept_until_its_owner_has_counted(
    folder: Path, store: Store
) -> None:
    own = folder / "record-1"
    own.mkdir()
    (own / "1-a.jsonl").write_text(line("a") + "\n")

    with owned(own):
        assert drain(folder, store) == 1
        assert drain_report(folder, store).views == 0
    report = drain_report(own, store, whole=True)

    assert (report.runs, list(report.trace_ids)) == (0, ["a"])
    assert list(own.glob("*.jsonl")) == []


def test_a_store_that_fails_loses_nothing(folder: Path, store: Store) -> None:
    (folder / "1-a.jsonl").write_text(line("a") + "\n")

    class Failing:
        def write_batches(self, *args: Any, **kwargs: Any) -> int:
            raise StoreError("full")

    with pytest.raises(StoreError):
        drain(folder, Failing())  # type: ignore[arg-type]

    assert drain(folder, store) == 1


def test_many_views_are_stored_in_batches(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "BATCH", 7)
    ids = [f"r{number:03}" for number in range(50)]
    (folder / "1-a.jsonl").write_text("".join(line(i, project=i[-1]) + "\n" for i in ids))

    assert drain(folder, store) == 50
    assert sorted(traces(store)) == ids


def test_a_file_of_a_killed_writer_that_was_never_named_goes_after_a_while(
    folder: Path, store: Store
) -> None:
    old, new = folder / "1-a.part", folder / "2-b.part"
    for path in (old, new):
        path.write_text("")
    os.utime(old, (1, 1))

    drain(folder, store)

    assert (old.exists(), new.exists()) == (False, True)


def test_while_another_process_drains_too_long_we_leave_it_to_it(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(spool_module, "LOCK_S", 0.05)
    (folder / "1-a.jsonl").write_text(line("a") + "\n")
    with (folder / "drain.lock").open("ab") as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX)

        assert drain(folder, store) == 0

    assert drain(folder, store) == 1


@pytest.mark.slow
def test_several_drains_at_once_store_everything_once(folder: Path, tmp_path: Path) -> None:
    for number in range(20):
        text = "".join(line(f"{number}-{n}") + "\n" for n in range(20))
        (folder / f"{number}-a.jsonl").write_text(text)
    program = (
        "import sys; from pathlib import Path; from refinery.workflows.spool import drain;"
        "from refinery.workflows.wiring import open_store;"
        "drain(Path(sys.argv[1]), open_store(sys.argv[2]))"
    )
    root = str(Path(spool_module.__file__).parents[2])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder), str(tmp_path / "traces.db")],
            env={**os.environ, "PYTHONPATH": root},
        )
        for _ in range(3)
    ]

    assert [child.wait(60) for child in children] == [0, 0, 0]
    opened = open_store(str(tmp_path / "traces.db"))
    assert opened.stats()["traces"] == 400
    opened.close()
