"""Finding traces by what people type, and labelling them."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from refinery import clock
from refinery.adapters import jsonl
from refinery.errors import InputError, NotFoundError, RefineryError
from refinery.model.trace import Feedback, Label
from refinery.ports import TraceFilter
from refinery.workflows import traces
from refinery.workflows.wiring import Workspace, open_workspace
from tests.adapters.test_langsmith import remote_runs
from tests.fakes.langsmith_server import PROJECT_ID, LangSmithServer
from tests.kits.traces import run, sample


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    (isolated / "refinery.toml").touch()
    opened = open_workspace(isolated)
    opened.store.write_runs(sample("abcd1111").runs)
    opened.store.write_runs(sample("abcd2222", failed="gone", at_ms=5).runs)
    opened.store.write_runs(sample("ffff3333", at_ms=9).runs)
    return opened


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abcd1111", "abcd1111"),
        ("abcd2", "abcd2222"),
        ("ffff", "ffff3333"),
        ("latest", "ffff3333"),
        ("latest-failed", "abcd2222"),
    ],
)
def test_a_trace_is_found(workspace: Workspace, text: str, expected: str) -> None:
    assert traces.resolve(workspace, text).trace_id == expected


@pytest.mark.parametrize(
    "text", ["", "f", "fff", "nope", "zzzz1", "%%%%", "\ud800" * 5, "x" * 9000]
)
def test_what_does_not_match_is_not_found(workspace: Workspace, text: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        traces.resolve(workspace, text)

    assert caught.value.hint


def test_an_ambiguous_beginning_lists_the_candidates(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="several traces begin with 'abcd'") as caught:
        traces.resolve(workspace, "abcd")

    assert "abcd1111, abcd2222" in caught.value.hint


def test_an_empty_store_has_no_latest(isolated: Path) -> None:
    empty = open_workspace(isolated)

    for text in ("latest", "latest-failed"):
        with pytest.raises(NotFoundError, match="the store holds no"):
            traces.resolve(empty, text)


def test_a_labelled_failure_is_the_latest_failed(workspace: Workspace) -> None:
    traces.label(workspace, "ffff3333", Label("fail"))

    assert traces.resolve(workspace, "latest-failed").trace_id == "ffff3333"


def test_a_file_is_imported_first(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    jsonl.write([(sample("fromfile"), [])], path)

    assert traces.resolve(workspace, str(path)).trace_id == "fromfile"
    assert workspace.store.get_trace("fromfile") is not None


def test_a_file_of_several_traces_is_ambiguous(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    jsonl.write([(sample("one"), []), (sample("two"), [])], path)

    with pytest.raises(InputError, match="holds 2 traces") as caught:
        traces.resolve(workspace, str(path))

    assert "one, two" in caught.value.hint


def test_a_malformed_file_says_so(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps([{"role": "user"}]), encoding="utf-8")

    with pytest.raises(RefineryError, match=r"bad\.json"):
        traces.resolve(workspace, str(path))


def test_a_langsmith_address_is_fetched_first(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = remote_runs()
    with LangSmithServer(runs).running() as server:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        url = f"{server.url}/o/{PROJECT_ID}/projects/p/{PROJECT_ID}/r/{runs[0]['id']}"

        trace = traces.resolve(workspace, url)

    assert trace.trace_id == runs[0]["id"]
    assert traces.resolve(workspace, runs[0]["id"]) == trace


@pytest.mark.parametrize("url", ["https://example.com/x", "http://[", "https://evil.example/o/1"])
def test_other_addresses_are_refused(workspace: Workspace, url: str) -> None:
    with pytest.raises(RefineryError):
        traces.resolve(workspace, url)


def test_listing_passes_the_filter_on(workspace: Workspace) -> None:
    found = traces.listing(workspace, TraceFilter(status="error"))

    assert [summary.trace_id for summary in found] == ["abcd2222"]


def test_a_label_is_read_back(workspace: Workspace) -> None:
    said = Label("fail", "names the price", ("contains@answer:29 EUR", "no_error"))

    traces.label(workspace, "abcd1111", said)

    assert traces.label_of(workspace, "abcd1111") == said
    assert traces.label_of(workspace.store, "abcd1111") == said
    assert traces.label_of(workspace, "ffff3333") is None


def test_the_newest_label_counts(workspace: Workspace) -> None:
    traces.label(workspace, "abcd1111", Label("fail"))
    traces.label(workspace, "abcd1111", Label("pass"))

    assert traces.label_of(workspace, "abcd1111") == Label("pass")
    assert len(workspace.store.get_feedback("abcd1111")) == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("pass", Label("pass")),
        ({"outcome": "fail", "checks": "no list", "expectation": 5}, Label("fail")),
        ({"outcome": "perhaps"}, None),
        (None, None),
        ([1], None),
    ],
)
def test_labels_of_other_sources_are_read_as_far_as_they_go(
    workspace: Workspace, value: object, expected: Label | None
) -> None:
    workspace.store.write_feedback([Feedback("f", "abcd1111", "label", value=value)])

    assert traces.label_of(workspace, "abcd1111") == expected


def test_a_label_on_one_run_is_not_the_traces(workspace: Workspace) -> None:
    said = Feedback("f", "abcd1111", "label", run_id="abcd1111/1", value="fail")
    workspace.store.write_feedback([said])

    assert traces.label_of(workspace, "abcd1111") is None


@pytest.mark.parametrize(
    ("trace_id", "said", "error"),
    [
        ("unknown", Label("pass"), NotFoundError),
        ("abcd1111", Label("maybe"), InputError),
        ("abcd1111", Label("fail", checks=("sounds_nice:yes",)), InputError),
    ],
)
def test_labels_that_make_no_sense_are_refused(
    workspace: Workspace, trace_id: str, said: Label, error: type[Exception]
) -> None:
    with pytest.raises(error):
        traces.label(workspace, trace_id, said)

    assert traces.label_of(workspace, "abcd1111") is None


def test_times_are_spans_or_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 1_780_000_000_000_000_000
    monkeypatch.setattr(clock, "now_ns", lambda: now_ns)
    day_ns = 86_400 * 10**9
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)

    assert traces.since_ns("7d") == now_ns - 7 * day_ns
    assert traces.since_ns("2w") == now_ns - 14 * day_ns
    assert traces.since_ns("90m") == now_ns - 5_400 * 10**9
    assert traces.since_ns("2026-05-01T12:00:00") == int(noon.timestamp()) * 10**9
    assert (
        traces.since_ns("2026-05-01T14:00:00.5+02:00")
        == int(noon.timestamp() * 10) * 10**8 + 5 * 10**8
    )


@pytest.mark.parametrize("text", ["", "soon", "7", "d7", "-1d", "2026-99-99", "9999999999d"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot read the time"):
        traces.since_ns(text)


def test_a_trace_id_wins_over_a_file_of_that_name(workspace: Workspace) -> None:
    Path("abcd1111").write_text("not a trace", encoding="utf-8")
    workspace.store.write_runs([run(os.fsdecode(b"\xe9"))])

    assert traces.resolve(workspace, "abcd1111").trace_id == "abcd1111"
