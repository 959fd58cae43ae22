"""The adapter of our own export."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.adapters import jsonl
from refinery.errors import InputError, RefineryError, TraceFormatError
from refinery.model.codec import encode_run
from refinery.model.trace import Feedback
from tests.kits.store_contract import EVERYTHING, opening
from tests.kits.traces import run, sample, trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.jsonl"


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_what_is_written_reads_back_equal(path: Path) -> None:
    traces = [trace(EVERYTHING, source="langchain", project="p"), sample("u")]
    said = [Feedback("f", "u", "label", value="pass")]

    assert jsonl.write(zip(traces, [[], said], strict=True), path) == 2

    assert list(jsonl.read(path)) == traces
    assert [feedback for _, feedback in jsonl.read_labelled(path)] == [(), tuple(said)]


def test_single_runs_are_gathered_into_traces(path: Path) -> None:
    whole = sample("t")
    lines = [{"run": encode_run(r), "source": "langchain", "project": "p"} for r in whole.runs]
    other = encode_run(run("u"))

    write_lines(path, lines[2], other, lines[0], lines[3], lines[1])

    first, second = jsonl.read(path)
    assert first.runs == whole.runs
    assert (first.source, first.project) == ("langchain", "p")
    assert (second.trace_id, second.source) == ("u", "jsonl")


def test_views_of_one_run_are_joined(path: Path) -> None:
    done = run("t", inputs={"q": 1}, outputs={"a": 1})

    write_lines(path, encode_run(done), {"run": encode_run(opening(done))})

    assert next(jsonl.read(path)).runs == (done,)


def test_runs_inside_a_trace_need_no_trace_id(path: Path) -> None:
    write_lines(path, {"trace": {"trace_id": "t"}, "runs": [{"run_id": "t", "name": "root"}]})

    assert next(jsonl.read(path)).root.name == "root"


def test_packed_files_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "runs.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(encode_run(run("t"))).encode()))

    assert next(jsonl.read(packed)).trace_id == "t"


def test_secrets_are_taken_out(path: Path) -> None:
    write_lines(path, encode_run(run("t", inputs={"password": "hunter22"})))

    assert "hunter22" not in str(next(jsonl.read(path)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ("null", "expected an object"),
        ('"text"', "expected an object"),
        ("{}", "no usable `run_id`"),
        ('{"run": 5}', "must be an object"),
        ('{"run_id": "", "trace_id": "t"}', "no usable `run_id`"),
        ('{"run_id": 1, "trace_id": "t"}', "no usable `run_id`"),
        ('{"run_id": "a"}', "no usable `trace_id`"),
        ('{"run_id": "a", "trace_id": "t", "kind": "spaceship"}', "spaceship"),
        ('{"run_id": "a", "trace_id": "t", "start_ns": "soon"}', "start_ns"),
        ('{"run_id": "a", "trace_id": "t", "start_ns": NaN}', "NaN is not a JSON value"),
        ('{"runs": [], "trace": {"trace_id": "t"}}', "list that is not empty"),
        ('{"runs": 5, "trace": {"trace_id": "t"}}', "list that is not empty"),
        ('{"runs": [{"run_id": "a"}]}', "with a `trace_id`"),
        ('{"runs": [{"run_id": "a", "trace_id": "u"}], "trace": {"trace_id": "t"}}', "another"),
        (
            '{"runs": [{"run_id": "a"}], "trace": {"trace_id": "t"}, "feedback": [{}]}',
            "Feedback",
        ),
        (
            '{"runs": [{"run_id": "a"}], "trace": {"trace_id": "t"}, "feedback": 5}',
            "`feedback` must be a list",
        ),
        ("[" * 100_000, "nested too deeply"),
        ('{"run_id": "a", "trace_id": "t", "start_ns": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_is_read(path: Path, line: str, reason: str) -> None:
    path.write_text(f"{json.dumps(encode_run(run('t')))}\n\n{line}\n", encoding="utf-8")

    with pytest.raises(TraceFormatError, match=r"line 3\b") as caught:
        next(jsonl.read(path))

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe{\x00", "not UTF-8"),
        (b"\x1f\x8bgarbage", "damaged"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:-20], "damaged"),
    ],
)
def test_unreadable_files_are_explained(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)

    with pytest.raises(TraceFormatError, match=reason):
        list(jsonl.read(path))


def test_missing_files_and_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(jsonl.read(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="is a folder"):
        list(jsonl.read(tmp_path))


def test_archives_that_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb.jsonl.gz"
    bomb.write_bytes(gzip.compress(b" " * 1_000_000))
    monkeypatch.setattr("refinery.adapters._shared.reading.MAX_BYTES", 10_000)

    with pytest.raises(TraceFormatError, match="holds more than"):
        list(jsonl.read(bomb))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"run": {"run_id"', True),
        (b' \n{ "trace" : {', True),
        (b'\xef\xbb\xbf{"run_id":"a"}', True),
        (b'{"schema_version": 1, "trace": {}}', True),
        (b'{"messages": []}', False),
        (b'[{"role": "user"}]', False),
        (b"", False),
        (b"\x00\xff", False),
    ],
)
def test_files_are_recognised_by_their_beginning(head: bytes, expected: bool) -> None:
    assert jsonl.recognise(head, Path("any")) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text()
            | st.sampled_from(["run", "runs", "trace", "run_id", "trace_id", "name", "kind"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=JSON)
def test_any_json_is_read_or_refused(tmp_path: Path, value: object) -> None:
    path = write_lines(tmp_path / "any.jsonl", value)

    try:
        list(jsonl.read(path))
    except RefineryError as error:
        assert "any.jsonl" in str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(content)

    try:
        list(jsonl.read(path))
    except RefineryError as error:
        assert "any.jsonl" in str(error)
