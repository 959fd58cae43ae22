"""`refinery perf` as it is typed: what is printed, and the exit codes."""

from pathlib import Path

import pytest

from refinery.stores.sqlite import open_store
from tests.cli.calling import call
from tests.kits.traces import run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REFINERY_HOME", str(folder / "home"))
    monkeypatch.setenv("REFINERY_STORE", str(folder / "traces.db"))
    store = open_store(str(folder / "traces.db"))
    for session, took_ms in (("before", 10), ("after", 40)):
        store.write_runs(
            run(
                f"{session}{number}",
                "tool",
                name="se\u202earch\x1b[31m",
                layer="tool",
                took_ms=took_ms + number % 3,
                session_id=session,
                failed="no shelf 7" if number == 0 else None,
            )
            for number in range(12)
        )
    store.close()
    return folder


def test_a_report_is_drawn_without_what_a_terminal_would_obey(project: Path) -> None:
    called = call("perf", "report")

    assert called.code == 0
    assert "se\\u202earch\\x1b[31m" in called.stdout
    assert "\x1b" not in called.stdout
    assert "no shelf <n>" in called.stdout
    assert "Critical path" in called.stdout
    assert "no shelf <n>" in call("perf", "report", "--errors").stdout


def test_a_regression_has_an_exit_code(project: Path) -> None:
    worse = call("perf", "report", "--session", "after", "--against", "session:before", "--json")
    better = call("perf", "report", "--session", "before", "--against", "session:after")

    assert (worse.code, better.code) == (1, 0)
    assert worse.json["regressions"][0]["finding"] == "slower"
    assert "faster" in better.stdout


def test_a_report_of_nothing_says_so(project: Path) -> None:
    assert call("perf", "report", "--session", "never").code == 5
    assert call("perf", "report", "--by", "colour").code == 2
    assert call("perf", "report", "--against", "yesterday").code == 2


def test_sql_is_answered_or_refused(project: Path) -> None:
    query = "SELECT session_id, count(*) AS n, 'nan'::DOUBLE AS x FROM runs GROUP BY 1 ORDER BY 1"
    found = call("perf", "sql", query, "--json")
    cut = call("perf", "sql", "SELECT name FROM runs", "--limit", "2")

    assert found.json["columns"] == ["session_id", "n", "x"]
    assert found.json["rows"] == [["after", 12, "nan"], ["before", 12, "nan"]]
    assert "only the first 2 rows" in cut.stderr
    assert "\x1b" not in cut.stdout
    assert call("perf", "sql", "DROP TABLE runs").code == 7
    assert call("perf", "sql", "SELEC").code == 2


def test_an_audit_without_limits_says_how_to_set_them(project: Path) -> None:
    called = call("perf", "audit")

    assert called.code == 2
    assert "--limit" in called.stderr


def test_an_item_is_taken_and_dropped(project: Path) -> None:
    audited = call("perf", "audit", "--limit", "tool max_duration_ms=5", "--test-command", "")
    item = call("perf", "queue", "--json").json["items"][0]

    assert audited.code == 1
    assert "max_duration_ms 5" in audited.stdout
    assert "no shelf" not in item["recommendation"]
    assert call("perf", "queue", "--take", "next", "--json").json["items"][0]["state"] == "taken"
    dropped = call("perf", "queue", "--drop", item["item_id"], "--reason", "rare", "--json")
    assert dropped.json["items"][0]["reason"] == "rare"
    assert call("perf", "queue").code == 5
    assert call("perf", "queue", "--take", "next").code == 5
    assert call("perf", "queue", "--take", "a", "--drop", "b").code == 2


def test_a_test_command_of_the_repository_is_not_run_unasked(project: Path) -> None:
    (project / ".git").mkdir()
    command = f"{project}/must-not-run"
    (project / "refinery.toml").write_text(
        f'[agent]\ntest_command = "{command}"\n[performance.limits.tool]\nmax_duration_ms = 5\n'
    )

    called = call("perf", "audit", "--json")

    assert called.code == 1
    assert called.json["tests"] is None
