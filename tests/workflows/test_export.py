import json
from pathlib import Path

import pytest

from refinery.errors import InputError, NotFoundError
from refinery.model.trace import Feedback, Run
from refinery.ports import TraceFilter
from refinery.workflows import export, ingest, traces
from refinery.workflows.wiring import Workspace, open_workspace
from tests.kits.store_contract import EVERYTHING
from tests.kits.traces import START_NS, llm, run, sample

SAID = Feedback(
    feedback_id="f1", trace_id="full", key="label", value={"outcome": "fail"}, created_ns=START_NS
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "one"))
    return open_workspace(tmp_path)


@pytest.fixture
def other(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "two"))
    return open_workspace(tmp_path)


def filled(workspace: Workspace) -> list[str]:
    reference = workspace.store.put_blob(b"\x89PNG \x00 bytes", "full")
    attached = {"name": "plot", "mime_type": "image/png", "reference": reference}
    root = Run(**{**_fields(EVERYTHING), "attachments": [attached]})
    workspace.store.write_runs([root], source="langchain", project="shop")
    workspace.store.write_runs(sample().runs, source="langsmith", project="desk")
    workspace.store.write_feedback([SAID])
    return [summary.trace_id for summary in workspace.store.list_traces(TraceFilter())]


def _fields(value: Run) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


@pytest.mark.parametrize("format_name", export.formats())
def test_what_is_exported_reads_back_equal(
    format_name: str, workspace: Workspace, other: Workspace, tmp_path: Path
) -> None:
    ids = filled(workspace)

    count = export.export(workspace, ids, format_name, tmp_path / "export.json")
    (report,) = ingest.import_files(other, [tmp_path / "export.json"])

    assert count == len(ids) == len(report.trace_ids)
    assert report.format == format_name
    for trace_id in ids:
        assert other.store.get_trace(trace_id) == workspace.store.get_trace(trace_id)
        assert other.store.get_feedback(trace_id) == workspace.store.get_feedback(trace_id)


def test_attachments_go_into_our_own_lines(
    workspace: Workspace, other: Workspace, tmp_path: Path
) -> None:
    export.export(workspace, filled(workspace), "jsonl", tmp_path / "export.jsonl")

    ingest.import_files(other, [tmp_path / "export.jsonl"])

    trace = other.store.get_trace("full")
    assert trace is not None
    attachments = trace.runs[0].attachments or []
    assert other.store.get_blob(attachments[0]["reference"]) == b"\x89PNG \x00 bytes"


def test_a_second_import_of_an_export_changes_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    ids = filled(workspace)
    before = [workspace.store.get_trace(trace_id) for trace_id in ids]
    for format_name in export.formats():
        export.export(workspace, ids, format_name, tmp_path / format_name)
        (report,) = ingest.import_files(workspace, [tmp_path / format_name])
        assert report.new_runs == 0
    assert [workspace.store.get_trace(trace_id) for trace_id in ids] == before


def test_a_file_that_cannot_be_written_is_told_and_left(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="cannot write"):
        export.export(workspace, filled(workspace), "jsonl", tmp_path / "no" / "file")
    with pytest.raises(InputError, match="can be read, not written"):
        export.export(workspace, [], "messages", tmp_path / "file")
    with pytest.raises(NotFoundError):
        export.chosen_traces(workspace, TraceFilter(project="nobody"))


def test_a_line_names_its_trace_and_holds_no_empty_blobs(
    workspace: Workspace, tmp_path: Path
) -> None:
    held = [run("long-id"), llm("long-id/1", "long-id", "asked", "answered")]
    workspace.store.write_runs(held, source="langchain")
    trace = traces.resolve(workspace, "long-id")
    export.export(workspace, [trace.trace_id], "jsonl", tmp_path / "one.jsonl")

    line = json.loads((tmp_path / "one.jsonl").read_text(encoding="utf-8"))

    assert line["trace"]["source"] == "langchain"
    assert "blobs" not in line
