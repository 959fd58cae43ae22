"""The older programs' stores: imported whole, and a second time without a change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from refinery.ports import TraceFilter
from refinery.workflows import ingest, search
from refinery.workflows.wiring import Workspace, open_workspace
from tests.kits import local_stores


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    return open_workspace()


def _decisions(folder: Path) -> Path:
    local_stores.decision_trace(folder / "decisiontracex.db")
    return folder / "decisiontracex.db"


STORES: dict[str, tuple[Callable[[Path], Path], int, int]] = {
    "timemachine": (lambda folder: local_stores.time_machine(folder / "timemachine.db"), 2, 2),
    "decisiontracex": (_decisions, 1, 3),
    "debugstore": (
        lambda folder: local_stores.debug_store(
            folder, [local_stores.debug_record(number) for number in range(9)]
        ),
        9,
        9,
    ),
    "abstractllm": (lambda folder: local_stores.observability(folder / "observability.db"), 1, 3),
}
"""How each is made, its decisions (or traces, records, interactions), and all its runs."""


def _all(workspace: Workspace) -> list[object]:
    listed = workspace.store.list_traces(TraceFilter(limit=10_000))
    return [workspace.store.get_trace(one.trace_id) for one in listed]


@pytest.mark.slow
def test_four_older_stores_are_taken_over_and_a_second_time_changes_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    paths = {name: make(folder) for name, (make, _, _) in STORES.items()}
    bytes_before = {path: path.read_bytes() for path in folder.rglob("*.db")}

    reports = ingest.import_files(workspace, list(paths.values()))
    once = _all(workspace)
    filled = search.search(workspace, search.Query(text="much")).indexed
    again = ingest.import_files(workspace, list(paths.values()))
    with search.open_index(workspace) as index:
        second = index.fill(workspace.store)

    for report, (name, (_, traces, runs)) in zip(reports, STORES.items(), strict=True):
        assert report.format == name
        assert (len(report.trace_ids), report.runs, report.new_runs) == (traces, runs, runs)
    assert [report.new_runs for report in again] == [0, 0, 0, 0]
    assert _all(workspace) == once
    assert filled == len(once) == sum(traces for _, traces, _ in STORES.values())
    assert second is not None
    assert (second.written, second.removed) == (0, 0)
    assert {path: path.read_bytes() for path in folder.rglob("*.db")} == bytes_before


def test_a_copied_store_is_the_same_store(workspace: Workspace, tmp_path: Path) -> None:
    first = local_stores.time_machine(tmp_path / "timemachine.db")
    ingest.import_files(workspace, [first])
    copy = Path(shutil.copy(first, tmp_path / "copy.db"))

    (report,) = ingest.import_files(workspace, [copy])

    assert report.new_runs == 0
