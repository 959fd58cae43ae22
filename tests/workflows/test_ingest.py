"""Importing files into the store."""

import gzip
import json
from pathlib import Path

import pytest

from refinery.adapters import jsonl
from refinery.errors import InputError, PartialError, PluginError, TraceFormatError
from refinery.model.codec import encode_run
from refinery.ports import TraceFilter
from refinery.workflows import ingest, traces
from refinery.workflows.wiring import Workspace, open_workspace
from tests.kits.traces import run, sample

TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    (isolated / "refinery.toml").touch()
    return open_workspace(isolated)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"messages": TALK, "reward": 0}).encode()))
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    jsonl.write([(sample("t"), []), (sample("u", failed="gone"), [])], path)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{json.dumps(encode_run(run('half')))}\n{{\n", encoding="utf-8")
    return path


def test_files_of_different_formats_are_imported_together(
    workspace: Workspace, talk: Path, export: Path
) -> None:
    first, second = ingest.import_files(workspace, [talk, export])

    assert (first.format, len(first.trace_ids), first.runs, first.labels) == ("messages", 1, 2, 1)
    assert (second.format, second.trace_ids, second.new_runs) == ("jsonl", ("t", "u"), 8)
    assert ingest.failure_of([first, second]) is None
    assert workspace.store.get_trace("t").runs == sample("t").runs


def test_the_verdict_of_the_source_becomes_the_label(workspace: Workspace, talk: Path) -> None:
    (report,) = ingest.import_files(workspace, [talk])

    assert traces.label_of(workspace, report.trace_ids[0]).outcome == "fail"
    assert len(traces.listing(workspace, TraceFilter(status="failed"))) == 1


def test_importing_again_changes_nothing(workspace: Workspace, talk: Path, export: Path) -> None:
    ingest.import_files(workspace, [talk, export])
    before = workspace.store.list_traces(TraceFilter())

    again = ingest.import_files(workspace, [talk, export])

    assert [report.new_runs for report in again] == [0, 0]
    assert workspace.store.list_traces(TraceFilter()) == before


def test_a_bad_file_among_good_ones_is_left_out(
    workspace: Workspace, export: Path, broken: Path, tmp_path: Path
) -> None:
    reports = ingest.import_files(workspace, [broken, export, tmp_path / "missing.json"])

    assert [report.error is None for report in reports] == [False, True, False]
    assert "line 2" in str(reports[0].error)
    failure = ingest.failure_of(reports)
    assert isinstance(failure, PartialError)
    assert str(failure) == "2 of 3 files could not be imported"
    assert workspace.store.get_trace("half") is None
    assert workspace.store.get_trace("t") is not None


def test_when_all_files_are_bad_it_is_an_input_error(workspace: Workspace, broken: Path) -> None:
    reports = ingest.import_files(workspace, [broken, broken])

    failure = ingest.failure_of(reports)

    assert isinstance(failure, InputError)
    assert "line 2" in failure.hint


def test_the_only_file_raises_its_own_error(workspace: Workspace, broken: Path) -> None:
    with pytest.raises(TraceFormatError, match="line 2"):
        ingest.import_files(workspace, [broken])

    assert workspace.store.stats()["runs"] == 0


def test_a_format_may_be_named(workspace: Workspace, talk: Path, export: Path) -> None:
    (report,) = ingest.import_files(workspace, [talk], "messages")
    assert report.format == "messages"

    with pytest.raises(TraceFormatError, match="not a conversation"):
        ingest.import_files(workspace, [export], "messages")
    with pytest.raises(PluginError, match="mesages") as caught:
        ingest.import_files(workspace, [talk], "mesages")
    assert "messages" in caught.value.hint
    with pytest.raises(InputError, match="has no `id`"):
        ingest.import_files(workspace, [talk], "langsmith")


def test_files_nobody_recognises_name_the_formats(workspace: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("just notes", encoding="utf-8")

    with pytest.raises(TraceFormatError, match="no format") as caught:
        ingest.import_files(workspace, [other])

    assert "jsonl" in caught.value.hint
