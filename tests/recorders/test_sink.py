import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinery.recorders import sink as sink_module
from refinery.recorders._folder import spool_folder
from refinery.recorders.sink import Record, SpoolSink
from tests.kits.timing import soonest
from tests.recorders._collect import views


class Note(Record):
    """A record whose line is whatever the test says."""

    def __init__(
        self, key: str, text: Any = "text", make: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        super().__init__()
        self.key, self.text, self.make = key, text, make
        self.size_bytes = 100

    def line(self, shared: dict[str, bytes] | None) -> bytes:
        told = self.make() if self.make else {"key": self.key, "text": self.text}
        return json.dumps(told).encode() + b"\n"


lines = views


def run_program(program: str, *, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(sink_module.__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


HEAD = """
import os, sys, time, signal, pathlib
from refinery.recorders.sink import Record, SpoolSink
class Note(Record):
    def __init__(self, key): super().__init__(); self.key = str(key)
    def line(self, shared): return b'{"key":"%s"}\\n' % self.key.encode()
"""


def test_what_is_put_is_written_in_order(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path / "spool")

    for number in range(1000):
        assert sink.put(Note(str(number)))

    assert sink.flush(60)
    assert [line["key"] for line in lines(tmp_path / "spool")] == [str(n) for n in range(1000)]
    assert sink.dropped == 0


def test_waiting_views_of_one_run_are_written_once(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path / "spool")
    gate = threading.Event()
    sink.put(Note("gate", make=lambda: {"waited": gate.wait(60)}))
    time.sleep(0.05)

    run = Note("run", "start")
    sink.put(run)
    run.text = "finish"
    sink.put(run)
    gate.set()
    sink.flush(60)

    assert lines(tmp_path / "spool") == [{"waited": True}, {"key": "run", "text": "finish"}]


def test_a_full_queue_drops_and_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = SpoolSink(tmp_path / "spool", queue_bytes=1250)
    gate = threading.Event()
    sink.put(Note("gate", make=lambda: {"waited": gate.wait(60)}))

    taken = [sink.put(Note(str(number))) for number in range(5)]
    gate.set()
    sink.close(60)

    assert taken == [True, False, False, False, False]
    assert capsys.readouterr().err == "refinery: 4 run views were not recorded (queue full)\n"


def test_room_is_given_back_after_writing(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path / "spool", queue_bytes=650)

    for number in range(20):
        assert sink.put(Note(str(number)))
        assert sink.flush(60)


def test_a_hostile_document_costs_itself_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = SpoolSink(tmp_path / "spool")

    def bad() -> dict[str, Any]:
        raise RecursionError

    sink.put(Note("bad", make=bad))
    sink.put(Note("odd", make=lambda: {"key": object()}))
    sink.put(Note("good"))
    sink.close(60)

    assert [line["key"] for line in lines(tmp_path / "spool")] == ["good"]
    assert "2 run views were not recorded (TypeError" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_loses_views_quietly(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    sink = SpoolSink(tmp_path / "spool")

    assert sink.put(Note("lost"))
    sink.flush(60)

    assert sink.dropped == 1


def test_a_folder_that_cannot_exist_loses_views_and_names_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    sink = SpoolSink(tmp_path / "spool")

    for number in range(3):
        sink.put(Note(str(number)))
        sink.flush(60)
    sink.close()

    told = capsys.readouterr().err
    assert told.startswith("refinery: 3 run views were not recorded (cannot write to ")
    assert told.count("\n") == 1


def test_a_folder_removed_while_recording_is_made_again_for_the_next_file(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path / "spool")
    sink.put(Note("1"))
    sink.flush(60)
    next((tmp_path / "spool").glob("*.jsonl*")).unlink()
    sink._shut()

    sink.put(Note("2"))
    sink.flush(60)

    assert lines(tmp_path / "spool") == [{"key": "2", "text": "text"}]


def test_a_large_file_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "FILE_BYTES", 50)
    sink = SpoolSink(tmp_path / "spool")

    for number in range(4):
        sink.put(Note(str(number), "x" * 60))
        sink.flush(60)

    assert len(list((tmp_path / "spool").glob("*.jsonl*"))) == 4


def test_files_and_folder_are_private(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path / ".refinery" / "spool")
    sink.put(Note("1"))
    sink.flush(60)

    (file,) = (tmp_path / ".refinery" / "spool").glob("*.jsonl*")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".refinery" / ".gitignore").read_text() == "*\n"


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path / "spool")

    def work(name: int) -> None:
        for number in range(500):
            sink.put(Note(f"{name}-{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.flush(60)

    assert len({line["key"] for line in lines(tmp_path / "spool")}) == 4000
    assert sink.dropped == 0


def test_the_spool_is_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spool_folder(tmp_path) == tmp_path / "spool"
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    assert spool_folder() == tmp_path / "home" / "spool"
    monkeypatch.setenv("REFINERY_SPOOL", str(tmp_path / "own"))
    assert spool_folder() == tmp_path / "own"


@pytest.mark.slow
def test_a_process_writes_everything_before_it_ends(tmp_path: Path) -> None:
    done = run_program(
        f"{HEAD}\ns = SpoolSink(pathlib.Path({str(tmp_path)!r}))\n"
        "for i in range(500): s.put(Note(i))"
    )

    assert done.returncode == 0, done.stderr
    assert len(lines(tmp_path)) == 500


@pytest.mark.slow
def test_a_dead_disk_delays_the_exit_by_less_than_a_second(tmp_path: Path) -> None:
    program = f"""{HEAD}
class Stuck(Note):
    def line(self, shared): time.sleep(60)
s = SpoolSink(pathlib.Path({str(tmp_path)!r}))
s.put(Stuck(1)); s.put(Note(2))
open({str(tmp_path / "end")!r}, "w").write(str(time.time()))
"""

    def exit_s(_: int) -> float:
        done = run_program(program)
        ended = time.time()
        assert done.returncode == 0
        assert "were not recorded (the disk is too slow)" in done.stderr
        return ended - float((tmp_path / "end").read_text())

    assert soonest(exit_s, 1.5) < 1.5


@pytest.mark.slow
def test_what_was_flushed_survives_kill(tmp_path: Path) -> None:
    done = run_program(
        f"{HEAD}\ns = SpoolSink(pathlib.Path({str(tmp_path)!r}))\n"
        "for i in range(100): s.put(Note(i))\n"
        "assert s.flush(60); os.kill(os.getpid(), signal.SIGKILL)"
    )

    assert done.returncode == -9
    assert len(lines(tmp_path)) == 100


@pytest.mark.slow
def test_forked_children_write_files_of_their_own(tmp_path: Path) -> None:
    program = f"""{HEAD}
s = SpoolSink(pathlib.Path({str(tmp_path)!r}))
for i in range(200): s.put(Note(f"parent-{{i}}"))
for child in range(10):
    pid = os.fork()
    if pid == 0:
        s.put(Note(f"child-{{child}}"))
        assert s.flush(60)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    s.put(Note(f"after-{{child}}"))
"""
    done = run_program(program)

    keys = [line["key"] for line in lines(tmp_path)]
    assert done.returncode == 0, done.stderr
    assert len(keys) == len(set(keys)) == 220
    assert len({path.name.partition("-")[0] for path in tmp_path.glob("*.jsonl*")}) == 11


@pytest.mark.slow
def test_workers_of_multiprocessing_write_before_they_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "EXIT_S", 30)  # that they write, not how soon
    fork = multiprocessing.get_context("fork")
    sink = SpoolSink(tmp_path)

    workers = [fork.Process(target=sink.put, args=(Note(f"worker-{n}"),)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert sorted(line["key"] for line in lines(tmp_path)) == ["worker-0", "worker-1", "worker-2"]


@pytest.mark.slow
def test_forks_under_load_never_hang(tmp_path: Path) -> None:
    program = f"""{HEAD}
import threading
s = SpoolSink(pathlib.Path({str(tmp_path)!r}))
going = True
def load():
    while going: s.put(Note(time.monotonic_ns())); time.sleep(0)
threads = [threading.Thread(target=load, daemon=True) for _ in range(3)]
for t in threads: t.start()
for n in range(100):
    pid = os.fork()
    if pid == 0:
        signal.alarm(100)
        s.put(Note(f"child-{{n}}"))
        os._exit(0 if s.flush(60) else 1)
    assert os.waitpid(pid, 0)[1] == 0
going = False
"""
    done = run_program(program, timeout_s=160)

    assert done.returncode == 0, done.stderr
    children = [line for line in lines(tmp_path) if line["key"].startswith("child-")]
    assert len(children) == 100


def test_a_slow_disk_is_waited_for_while_it_writes(tmp_path: Path) -> None:
    finished = run_program(
        HEAD
        + f"""
write = os.write
def slowly(*given):
    time.sleep(0.3)
    return write(*given)
os.write = slowly
s = SpoolSink(pathlib.Path({str(tmp_path)!r}))
for number in range(2_500): s.put(Note(number))
""",
        timeout_s=60,
    )

    assert (finished.returncode, finished.stderr) == (0, "")
    assert len(lines(tmp_path)) == 2_500


def test_an_exit_in_the_middle_of_the_look_for_secrets_is_no_crash(tmp_path: Path) -> None:
    program = f"""
import pathlib
from refinery import clock
from refinery.recorders import sink
from refinery.recorders._book import Book
sink.EXIT_S = sink.EXIT_MOST_S = 0.02
book = Book(sink.SpoolSink(pathlib.Path({str(tmp_path)!r})))
for number in range(1_500):
    run_id = clock.new_uuid()
    book.start(run_id, None, {{"name": "a", "inputs": {{"text": f"{{number}} words " * 200}}}})
    book.finish(run_id, {{}})
"""

    for _ in range(3):
        finished = run_program(program, timeout_s=60)
        assert finished.returncode == 0, finished.stderr
        assert "were not recorded (the disk is too slow)" in finished.stderr
