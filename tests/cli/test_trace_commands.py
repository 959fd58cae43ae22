"""The commands import, fetch, traces, show and label, as users call them."""

import json
from pathlib import Path

import pytest

from refinery.adapters import jsonl
from refinery.model.trace import Run, RunError, RunKind, RunStatus
from refinery.stores.sqlite import SqliteStore
from tests.adapters.test_langsmith import remote_runs
from tests.cli.calling import call
from tests.fakes.langsmith_server import LangSmithServer
from tests.kits.traces import run, sample, trace


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("REFINERY_HOME", str(folder))
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    jsonl.write(
        [
            (sample("abcd1111"), []),
            (sample("abcd2222", failed="no lamp", at_ms=10), []),
        ],
        path,
    )
    return path


@pytest.fixture
def filled(export: Path) -> Path:
    assert call("import", str(export)).code == 0
    return export


def test_import_counts_what_it_took(export: Path) -> None:
    called = call("import", str(export), "--json")

    assert called.code == 0
    assert called.json["schema_version"] == 1
    (file,) = called.json["files"]
    assert (file["format"], file["traces"], file["runs"], file["new_runs"]) == ("jsonl", 2, 8, 8)
    assert called.json["traces"] == 2
    assert "8 runs (0 new)" in call("import", str(export)).stdout


def test_import_of_a_malformed_line_names_it_and_takes_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"run_id": "t", "trace_id": "t"}\n{"run', encoding="utf-8")

    called = call("import", str(bad))

    assert called.code == 2
    assert "line 2" in called.stderr
    assert call("traces", "--json").json["traces"] == []


def test_import_of_some_bad_files_is_partial(export: Path, tmp_path: Path) -> None:
    called = call("import", str(export), str(tmp_path / "none.jsonl"), "--json")

    assert called.code == 3
    good, bad = called.json["files"]
    assert good["error"] is None
    assert bad["error"]["code"] == "input"
    assert "does not exist" in bad["error"]["message"]
    assert len(call("traces", "--json").json["traces"]) == 2


def test_traces_of_an_empty_store_is_an_empty_list() -> None:
    plain, as_json = call("traces"), call("traces", "--json")

    assert (plain.code, plain.stdout) == (0, "")
    assert "no traces yet" in plain.stderr
    assert (as_json.code, as_json.json["traces"], as_json.stderr) == (0, [], "")


@pytest.mark.usefixtures("filled")
def test_traces_lists_the_newest_first() -> None:
    newest = call("traces", "--json").json["traces"][0]

    assert newest["trace_id"] == "abcd2222"
    assert newest["status"] == "error"
    assert (newest["runs"], newest["errors"], newest["total_tokens"]) == (4, 2, 30)
    assert newest["start"] == "2026-05-28T20:26:40.010000+00:00"
    assert {"name", "source"} <= newest.keys()
    table = call("traces").stdout
    assert table.index("abcd2222") < table.index("abcd1111")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--failed"], ["abcd2222"]),
        (["--text", "no LAMP"], ["abcd2222"]),
        (["--name", "1111"], ["abcd1111"]),
        (["--limit", "1"], ["abcd2222"]),
        (["--since", "2026-05-28T20:26:40.005"], ["abcd2222"]),
        (["--since", "2099-01-01"], []),
        (["--project", "p"], []),
        (["--session", "s"], []),
        (["--user", "u"], []),
    ],
)
def test_traces_are_filtered(options: list[str], expected: list[str]) -> None:
    called = call("traces", *options, "--json")

    assert called.code == 0
    assert [found["trace_id"] for found in called.json["traces"]] == expected


@pytest.mark.parametrize("options", [["--since", "soon"], ["--limit", "0"]])
def test_traces_with_wrong_options_is_a_usage_error(options: list[str]) -> None:
    assert call("traces", *options).code == 2


@pytest.mark.usefixtures("filled")
def test_show_prints_every_run_with_the_fixed_keys() -> None:
    shown = call("show", "abcd2222", "--json").json

    assert shown["trace"]["trace_id"] == "abcd2222"
    assert shown["trace"]["status"] == "error"
    assert [found["run_id"] for found in shown["runs"]][:2] == ["abcd2222", "abcd2222/1"]
    keys = {"run_id", "parent_id", "name", "kind", "status", "error", "inputs", "outputs", "usage"}
    assert all(keys <= found.keys() for found in shown["runs"])
    assert shown["runs"][2]["error"] == {"type": "ValueError", "message": "no lamp", "stack": ""}
    assert shown["runs"][1]["usage"]["total"] == 15


@pytest.mark.usefixtures("filled")
def test_what_show_prints_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = tmp_path / "shown.jsonl"
    printed.write_text(call("show", "abcd2222", "--json").stdout, encoding="utf-8")
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "other"))

    assert call("import", str(printed)).code == 0

    with SqliteStore(tmp_path / "other" / "traces.db") as store:
        assert (
            store.get_trace("abcd2222").runs == sample("abcd2222", failed="no lamp", at_ms=10).runs
        )


@pytest.mark.usefixtures("filled")
def test_show_draws_the_tree_and_the_conversation() -> None:
    shown = call("show", "latest").stdout

    assert "✗ agent abcd2222" in shown
    assert "└── ✓ llm abcd2222/3" in shown
    assert "ValueError: no lamp" in shown
    assert "10 in / 5 out tokens" in shown


@pytest.mark.usefixtures("filled")
def test_show_one_run_in_full() -> None:
    shown = call("show", "abcd1111", "--run", "abcd1111/3").stdout
    as_json = call("show", "abcd1111", "--run", "abcd1111/3", "--json").json

    assert "user: 29" in shown
    assert "assistant: it costs 29" in shown
    assert [found["run_id"] for found in as_json["runs"]] == ["abcd1111/3"]
    assert call("show", "abcd1111", "--run", "nope").code == 5
    assert call("show", "abcd1111", "--run", "abcd1111/").code == 2


def test_unknown_and_ambiguous_traces_have_their_exit_codes(filled: Path) -> None:
    unknown = call("show", "nothing-like-it", "--json")

    assert unknown.code == 5
    assert unknown.json["error"]["code"] == "not_found"
    assert call("show", "abcd").code == 2
    assert call("label", "nothing-like-it", "--pass").code == 5
    assert call("show", str(filled)).code == 2


def test_hostile_text_never_reaches_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u200b"
    runs = [
        Run(
            "evil",
            "evil",
            hostile,
            RunKind.AGENT,
            start_ns=10**40,
            end_ns=0,
            status=RunStatus.ERROR,
            error=RunError(hostile, hostile, hostile),
            inputs={"messages": [{"role": "user", "name": hostile, "content": hostile}]},
            outputs={hostile: [hostile]},
            model_requested=hostile,
            metadata={hostile: hostile},
        )
    ]
    path = tmp_path / f"{hostile[-3:]}.jsonl"
    jsonl.write([(trace(*runs, source=hostile, project=hostile), [])], path)

    outputs = [
        call("import", str(path)),
        call("traces"),
        call("show", "evil"),
        call("show", "evil", "--run", "evil"),
    ]

    assert [called.code for called in outputs] == [0, 0, 0, 0]
    printed = "".join(called.stdout + called.stderr for called in outputs)
    assert not set(printed) & set("\x1b\x07\u202e\u200b")
    assert "\\x1b" in printed


def test_deep_and_wide_traces_are_drawn(tmp_path: Path) -> None:
    chain = [run("t0", trace_id="t0")]
    for number in range(1, 400):
        chain.append(run(f"t{number}", parent=f"t{number - 1}", trace_id="t0", at_ms=number))
    path = tmp_path / "deep.jsonl"
    jsonl.write([(trace(*chain), [])], path)

    shown = call("show", str(path))

    assert shown.code == 0
    assert "chain t399" in shown.stdout


@pytest.mark.usefixtures("filled")
def test_a_label_is_kept_and_shown() -> None:
    said = call(
        "label", "abcd1", "--fail", "--expect", "names 29", "--check", "contains:29", "--json"
    )

    assert said.code == 0
    expected = {"outcome": "fail", "expectation": "names 29", "checks": ["contains:29"]}
    assert said.json["label"] == expected
    assert call("show", "abcd1111", "--json").json["trace"]["label"] == expected
    assert "Label  fail: names 29" in call("show", "abcd1111").stdout
    assert (
        call("traces", "--failed", "--name", "1111", "--json").json["traces"][0]["label"] == "fail"
    )
    assert call("label", "abcd1", "--pass").stdout == "abcd1111 is labelled pass\n"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "options",
    [[], ["--pass", "--fail"], ["--fail", "--check", "sounds_nice:yes"]],
)
def test_labels_that_make_no_sense_are_usage_errors(options: list[str]) -> None:
    called = call("label", "abcd1111", *options)

    assert called.code == 2
    assert "hint:" in called.stderr


def test_fetch_copies_traces_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with LangSmithServer(remote_runs(days_ago=3)).running() as server:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)

        one = call("fetch", server.runs[2]["id"], "--json")
        failed = call("fetch", "--failed", "--since", "7d")
        none = call("fetch", "--failed", "--since", "1h")

    assert one.code == 0
    fetched = one.json["traces"][0]
    assert (fetched["trace_id"], fetched["runs"]) == (server.runs[0]["id"], 4)
    assert server.runs[0]["id"] in failed.stdout
    assert (none.code, none.stdout) == (0, "")
    assert len(call("traces", "--json").json["traces"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fetch"], 2),
        (["fetch", "--failed", "0c2a5a6e-8ff0-4f6f-9a3e-1f1f1f1f1f1f"], 2),
        (["fetch", "not-an-id"], 2),
        (["fetch", "https://evil.example/o/1/projects/p/2/r/3"], 2),
        (["fetch", "0c2a5a6e-8ff0-4f6f-9a3e-1f1f1f1f1f1f"], 5),
    ],
)
def test_fetch_of_nothing_usable_says_so(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LangSmithServer([]).running() as server:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        called = call(*arguments)

    assert called.code == code
    assert "hint:" in called.stderr


def test_a_refused_key_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with LangSmithServer([], key="right").running() as server:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        called = call("fetch", "--failed", "--json")

    assert called.code == 4
    assert called.json["error"]["code"] == "credentials"


def test_the_store_may_be_named(tmp_path: Path, export: Path) -> None:
    other = tmp_path / "other.db"

    assert call("--store", f"sqlite://{other}", "import", str(export)).code == 0

    assert other.exists()
    assert call("traces", "--json").json["traces"] == []


def test_a_damaged_store_is_explained_and_left_alone(home: Path) -> None:
    home.mkdir()
    (home / "traces.db").write_bytes(b"garbage" * 1000)

    called = call("traces", "--json")

    assert called.code == 2
    assert called.json["error"]["code"] == "store"
    assert (home / "traces.db").read_bytes() == b"garbage" * 1000
    assert json.loads(called.stdout)["error"]["hint"]
