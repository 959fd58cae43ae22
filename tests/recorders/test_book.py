"""What the book sends of runs, and when."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refinery import clock
from refinery.model.trace import RunError, RunStatus
from refinery.recorders._book import Book
from refinery.recorders._origin import OriginReader
from refinery.recorders._snapshot import fragment, snapshot
from refinery.recorders._view import View
from refinery.recorders.sink import SpoolSink
from tests.kits.repositories import make_repository
from tests.recorders._collect import ListSink, views


def book(sink: Any, root: Path | None = None) -> Book:
    return Book(sink, project="p", origin=OriginReader(root or Path.cwd()))


def held(value: Any) -> Any:
    return snapshot(value)[0]


def test_a_short_run_is_one_line_and_a_long_one_two(tmp_path: Path) -> None:
    sink = SpoolSink(tmp_path)
    kept = book(sink)
    short, long = clock.new_uuid(), clock.new_uuid()

    kept.start(short, None, {"name": "short", "inputs": held({"a": 1})})
    kept.finish(short, {"outputs": held({"b": 2})})
    kept.start(long, None, {"name": "long", "inputs": held({"a": 1})})
    sink.flush(60)
    kept.finish(long, {"outputs": held({"b": 2})})
    sink.flush(60)

    found = [view["run"] for view in views(tmp_path)]
    assert [(run["name"], run["status"]) for run in found] == [
        ("short", "ok"),
        ("long", "running"),
        ("long", "ok"),
    ]
    assert found[0]["inputs"] == {"a": 1} == found[1]["inputs"]
    assert "inputs" not in found[2]
    assert found[2]["outputs"] == {"b": 2}


@pytest.mark.parametrize("is_flushed", [False, True])
def test_floats_that_are_no_numbers_keep_their_names(tmp_path: Path, is_flushed: bool) -> None:
    sink = SpoolSink(tmp_path)
    kept = book(sink)
    run_id, asked = clock.new_uuid(), {"a": [None, float("nan")], "b": 1.5}
    answered = {"c": {"d": float("-inf")}, "e": None}

    inputs, _, given = fragment(asked)
    kept.start(run_id, None, {"name": "run", "inputs": inputs}, given=given)
    if is_flushed:
        sink.flush(60)
    asked["a"][0], asked["b"] = "changed", None  # type: ignore[index]
    outputs, _, gave = fragment(answered)
    kept.finish(run_id, {"outputs": outputs}, gave=gave)
    sink.flush(60)

    found = [view["run"] for view in views(tmp_path)]
    assert found[0]["inputs"] == {"a": [None, "nan"], "b": 1.5}
    assert found[-1]["outputs"] == {"c": {"d": "-inf"}, "e": None}
    assert ("inputs" in found[-1]) is not is_flushed


def test_children_have_the_source_and_order_of_their_root() -> None:
    sink = ListSink()
    kept = book(sink)
    root, child = clock.new_uuid(), clock.new_uuid()

    kept.start(root, None, {"name": "root"}, source="xray")
    kept.start(child, root, {"name": "child"}, source="langchain")

    first, second = sink.documents
    assert (first["source"], second["source"]) == ("xray", "xray")
    assert second["run"]["dotted_order"].startswith(first["run"]["dotted_order"] + ".")
    assert second["run"]["trace_id"] == root


def test_a_diff_is_told_once_a_block_and_read_back_whole(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n"})
    (root / "a.py").write_text("x = 2\n" * 2_000)
    sink = SpoolSink(tmp_path / "spool")
    kept = book(sink, root)

    for _ in range(50):
        kept.start(clock.new_uuid(), None, {"name": "root"})
    sink.flush(60)

    diffs = {
        view["run"]["metadata"]["refinery"]["entry_point"]["dirty_diff"]
        for view in views(tmp_path / "spool")
    }
    assert len(diffs) == 1
    assert diffs.pop().count("+x = 2") == 2_000
    (file,) = (tmp_path / "spool").iterdir()
    assert file.stat().st_size < 10_000


def test_sampling_leaves_out_whole_traces_and_says_how_many_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFINERY_SAMPLE", "0.25")
    sink = SpoolSink(tmp_path)
    kept = book(sink)

    for _ in range(400):
        root, child = clock.new_uuid(), clock.new_uuid()
        kept.start(root, None, {"name": "root"})
        kept.start(child, root, {"name": "child"})
        kept.finish(child, {})
        kept.finish(root, {"status": RunStatus.ERROR, "error": RunError("E", "m")})
    sink.close(60)

    found = {view["run"]["run_id"]: view["run"] for view in views(tmp_path)}
    traces = {run["trace_id"] for run in found.values()}
    assert 50 < len(traces) < 160
    assert len(found) == 2 * len(traces)
    left = 400 - len(traces)
    assert f"sampling left out {left} traces, {left} of them failed" in capsys.readouterr().err


@pytest.mark.parametrize("said", ["2", "nan", "often", ""])
def test_an_odd_share_records_everything(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINERY_SAMPLE", said)
    sink = ListSink()
    kept = book(sink)

    for _ in range(20):
        kept.start(clock.new_uuid(), None, {"name": "root"})

    assert len(sink.documents) == 20


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["[redacted", "a@b.example", "17"]),
        ({"REFINERY_REDACT": "emails"}, ["[redacted", "[redacted email", "17"]),
        ({"REFINERY_REDACT_KEYS": "customer_no, "}, ["[redacted", "a@b.example", "[redacted"]),
        ({"REFINERY_REDACT": "0"}, ["sk-ant-", "a@b.example", "17"]),
    ],
)
def test_what_is_redacted_is_chosen_by_the_environment(
    variables: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    sink = ListSink()
    told = {"key": "sk-ant-" + "a1" * 20, "mail": "to a@b.example", "customerNo": "17"}

    book(sink).start(clock.new_uuid(), None, {"name": "r", "inputs": held(told)})

    inputs = sink.documents[0]["run"]["inputs"]
    for text, part in zip(inputs.values(), expected, strict=True):
        assert part in text
    counts = sink.documents[0]["run"]["metadata"]["refinery"].get("redacted", {})
    assert sum(counts.values()) == str(inputs).count("[redacted")


def test_values_json_has_no_form_for_are_still_written() -> None:
    sink = ListSink()
    kept = book(sink)
    odd = {"big": 2**90, "half": "\ud800", "nan": float("nan"), "raw": b"ab", 3: object()}

    kept.start(clock.new_uuid(), None, {"name": "r", "inputs": held(odd)})

    inputs = sink.documents[0]["run"]["inputs"]
    assert (inputs["big"], inputs["nan"]) == (2**90, "nan")
    assert inputs["raw"] == {"__base64__": "YWI="}
    assert "object object" in json.dumps(inputs["3"])


def test_the_end_of_a_run_that_finds_the_queue_full_is_kept_without_its_outputs(
    tmp_path: Path,
) -> None:
    sink = SpoolSink(tmp_path, queue_bytes=2_000)
    kept = book(sink)
    run_id = clock.new_uuid()

    kept.start(run_id, None, {"name": "r", "inputs": held({"a": 1})}, size_bytes=10)
    kept.finish(run_id, {"outputs": held("x" * 5_000)}, size_bytes=5_000)
    sink.flush(60)

    (found,) = views(tmp_path)
    assert (found["run"]["status"], "outputs" in found["run"]) == ("ok", False)
    assert sink.dropped == 1
    sink.close()  # says so here, not at the end of the process


def test_ids_made_in_forked_children_differ() -> None:
    clock.new_uuid()
    reading, writing = os.pipe()
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os.write(writing, clock.new_uuid().encode())
            os._exit(0)
        os.waitpid(child, 0)

    told = os.read(reading, 1000)
    tails = {told[at + 19 : at + 36] for at in range(0, 108, 36)}
    assert len(tails) == 3


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def unnamed(kept: Book, name: str) -> View:
    run = View()
    run.subject = run.given = None
    run.size_bytes = 0
    kept.open(run, {"name": name}, None, "instrument")
    return run


@pytest.mark.usefixtures("impatient")
def test_a_run_has_one_id_whoever_asks_first(tmp_path: Path) -> None:
    kept = book(SpoolSink(tmp_path))

    for _ in range(300):
        run = unnamed(kept, "run")
        together = threading.Barrier(4)
        asked = [asking(together, run) for _ in range(4)]
        assert len({answer() for answer in asked}) == 1
        assert kept.known(run.place, run) == run.place.run_id
        assert kept.get(run.place.run_id) is run


def asking(together: threading.Barrier, run: View) -> Callable[[], str]:
    said: list[str] = []

    def ask() -> None:
        together.wait(60)
        said.append(run.place.run_id)

    thread = threading.Thread(target=ask)
    thread.start()

    def answer() -> str:
        thread.join(60)
        return said[0]

    return answer


def test_a_run_that_was_named_late_ends_for_all_who_know_it() -> None:
    sink = ListSink()
    kept = book(sink)
    run = unnamed(kept, "late")
    run_id = kept.known(run.place, run)
    kept.add_event(run_id, "retry", {"attempt": 1})
    kept.start(clock.new_uuid(), run_id, {"name": "child"})
    kept.close(run, {}, 0, None)

    assert kept.get(run_id) is None
    late = sink.named("late")
    assert late.run_id == run_id == sink.named("child").parent_id
    assert [event["name"] for event in late.events or []] == ["retry"]
