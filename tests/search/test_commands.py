"""The commands as users call them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.workflows import search
from tests.cli.calling import call
from tests.kits.traces import run
from tests.search.kit import shop


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("REFINERY_HOME", str(folder))
    shop(folder / "traces.db").close()
    return folder


@pytest.fixture
def without_lance(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were not installed."""
    monkeypatch.setitem(sys.modules, "lancedb", None)


def test_search_prints_results_with_reasons() -> None:
    called = call("search", "kettle refund", "--user", "ada")
    as_json = call("search", "kettle refund", "--user", "ada", "--json")

    assert called.code == 0
    assert "why: words kettle, refund in" in called.stdout
    assert "why: meaning" in called.stdout
    assert "embedder hash-512" in called.stderr
    document = as_json.json
    assert document["schema_version"] == 1
    assert document["query"] == "kettle refund"
    assert document["arms"] == ["text", "meaning"]
    assert (document["embedder"], document["indexed"], document["waiting"]) == ("hash-512", 5, 0)
    best = document["results"][0]
    assert (best["trace_id"], best["user_id"]) == ("kettle", "ada")
    assert [reason["arm"] for reason in best["why"]] == ["text", "meaning"]


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 7, 5), ("y\n", 0, 2)])
def test_clean_asks_on_a_terminal(home: Path, answer: str, code: int, left: int) -> None:
    main, other = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "refinery", "clean", "--older-than", "2026-05-28T20:29:00"],
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(main, answer.encode())
    out, err = program.communicate(timeout=60)
    os.close(main)
    os.close(other)

    assert "3 traces with 6 runs would be deleted" in out
    assert "Delete them?" in err
    assert program.returncode == code
    assert len(call("traces", "--json").json["traces"]) == left


@pytest.mark.usefixtures("without_lance")
def test_without_the_extra_words_and_time_still_work_and_the_install_is_named() -> None:
    called = call("search", "kettle refund")
    near = call("similar", "kettle", "--json").json
    frame = call("timeframe", "2026-05-28", "2026-05-29", "--json").json
    rebuilt = call("search", "kettle", "--rebuild", "--json").json

    assert called.code == 0
    assert "kettle" in called.stdout
    assert search.INSTALL in called.stderr
    assert near["arms"] == ["text"]
    assert near["embedder"] == "none"
    assert near["results"][0]["trace_id"] == "bob-kettle"
    assert search.INSTALL in near["notes"][0]
    assert frame["total"] == 5
    assert rebuilt["notes"]


def test_nothing_found_is_exit_code_5_and_an_empty_list() -> None:
    called = call("search", "zebra", "--text-only", "--json")

    assert called.code == 5
    assert called.json["results"] == []
    assert "nothing fits" in call("search", "zebra", "--text-only").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", ""],
        ["search", "x", "--status", "fine"],
        ["search", "x", "--kind", "robot"],
        ["search", "x", "--from", "soon"],
        ["search", "x", "--from", "2026-05-02", "--to", "2026-05-01"],
        ["search", "x", "--limit", "0"],
        ["similar", " "],
        ["timeframe", "2026-05-02", "2026-05-01"],
        ["timeframe", "2026-05-01", "2026-05-02", "--timezone", "Mars"],
        ["users", "--status", "fine"],
        ["clean"],
        ["clean", "--older-than", "soon"],
        ["clean", "--older-than", "2200-01-01"],
    ],
)
def test_options_that_make_no_sense_are_usage_errors(arguments: list[str]) -> None:
    called = call(*arguments)

    assert called.code == 2
    assert "hint:" in called.stderr


def test_similar_names_the_trace_it_compares_with() -> None:
    document = call("similar", "bob-kettle", "--json").json

    assert document["like"] == "bob-kettle"
    assert document["results"][0]["trace_id"] == "kettle"
    assert document["results"][0]["why"][0]["similarity"] > 0.2


def test_timeframe_prints_conversations_verbatim() -> None:
    frame = ["timeframe", "2026-05-28T20:26:40", "2026-05-28T20:28:40"]
    document = call(*frame, "--user", "ada", "--cycles", "--json").json
    plain = call(*frame)

    assert [one["trace_id"] for one in document["interactions"]] == ["kettle", "lamp"]
    assert document["interactions"][0]["inputs"] == {
        "messages": [{"role": "user", "content": "The kettle refund never came"}]
    }
    assert document["interactions"][0]["start_ns"] == 1_780_000_000_000_000_000
    assert [run["kind"] for run in document["interactions"][0]["cycles"]] == ["llm"]
    assert "The kettle refund never came" in plain.stdout
    cut = call(*frame, "--limit", "1")
    assert "1 more" in cut.stderr
    assert call("timeframe", "2020-01-01", "2020-01-02").code == 0


def test_users_and_sessions_are_listed() -> None:
    users = call("users", "--json").json["users"]
    sessions = call("sessions", "--user", "bob", "--json").json["sessions"]

    assert [(one["user_id"], one["interactions"], one["errors"]) for one in users] == [
        ("bob", 2, 1),
        ("ada", 3, 0),
    ]
    assert [(one["session_id"], one["user_id"]) for one in sessions] == [
        ("s3", "bob"),
        ("s1", "bob"),
    ]
    assert "ada" in call("users").stdout
    assert "invoice-session" in call("sessions").stdout


def test_clean_says_what_it_would_do_and_does_it() -> None:
    older = ["clean", "--older-than", "2026-05-28T20:29:00"]
    would = call(*older, "--dry-run", "--json").json
    done = call(*older, "--json").json

    assert would["dry_run"] is True
    assert would["deleted"] == done["deleted"]
    assert set(done["deleted"]) == {"kettle", "lamp", "invoice"}
    assert done["runs"] == 6
    assert call(*older).stdout == "0 traces with 0 runs deleted\n"


@pytest.mark.usefixtures("without_lance")
def test_clean_says_when_the_index_could_not_forget(home: Path) -> None:
    (home / search.FOLDER).mkdir()

    called = call("clean", "--older-than", "2026-05-28T20:29:00", "--json")

    assert called.code == 3
    assert called.json["index_clean"] is False


def test_another_embedder_is_never_mixed_in_and_a_rebuild_is_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call("search", "kettle")
    monkeypatch.setenv("REFINERY_SEARCH_EMBEDDER", "hash:64")

    other = call("search", "kettle", "--json").json
    rebuilt = call("search", "kettle", "--rebuild", "--json").json

    assert other["arms"] == ["text"]
    assert "refinery search --rebuild" in other["notes"][0]
    assert rebuilt["embedder"] == "hash-64"
    assert rebuilt["arms"] == ["text", "meaning"]


def test_hostile_text_never_reaches_the_terminal(home: Path) -> None:
    from refinery.stores.sqlite import SqliteStore

    evil = "\x1b]0;owned\x07\x1b[2J\u202ekettle\u200b"
    with SqliteStore(home / "traces.db") as store:
        store.write_runs(
            [run("evil", "agent", inputs={"q": f"{evil} kettle"}, user_id=evil, session_id=evil)]
        )

    called = [
        call("search", "kettle", "--user", evil),
        call("timeframe", "2026-05-28", "2026-05-29", "--cycles"),
        call("users"),
        call("sessions"),
        call("clean", "--older-than", "2027-01-01", "--dry-run"),
    ]

    assert [one.code for one in called] == [0] * 5
    printed = "".join(one.stdout + one.stderr for one in called)
    assert not set(printed) & set("\x1b\x07\u202e\u200b")


def test_stats_name_the_store_and_the_index() -> None:
    before = call("stats", "--json").json
    call("search", "kettle")
    after = json.loads(call("stats", "--json").stdout)

    assert before["store"]["traces"] == 5
    assert before["search"] is None
    assert after["search"]["embedder"] == "hash-512"
    assert after["search"]["interactions"] == 5
    assert "hash-512" in call("stats").stdout


def test_each_store_has_an_index_of_its_own(tmp_path: Path, home: Path) -> None:
    other = f"sqlite://{tmp_path / 'other.db'}"

    empty = call("--store", other, "search", "kettle", "--json")
    ours = call("search", "kettle", "--json").json

    assert empty.code == 5
    assert empty.json["indexed"] == 0
    assert ours["indexed"] == 5
    assert len(list(home.glob(f"{search.FOLDER}*"))) == 2


def test_a_damaged_index_is_told_and_words_still_answer(home: Path) -> None:
    call("search", "kettle")
    for path in (home / search.FOLDER).rglob("*.manifest"):
        path.write_bytes(b"damage")

    told = call("search", "kettle", "--json")
    mended = call("search", "kettle", "--rebuild", "--json").json

    assert told.code == 0
    assert told.json["arms"] == ["text"]
    assert "--rebuild" in told.json["notes"][0]
    assert mended["arms"] == ["text", "meaning"]


def test_what_was_written_since_the_last_search_is_found(home: Path) -> None:
    from refinery.stores.sqlite import SqliteStore

    call("search", "kettle")
    call("search", "kettle")
    with SqliteStore(home / "traces.db") as store:
        store.write_runs([run("new", "agent", inputs={"q": "a samovar for tea"})])

    found = call("similar", "samovar tea", "--json").json

    assert [one["trace_id"] for one in found["results"]] == ["new"]
    assert found["indexed"] == 6
