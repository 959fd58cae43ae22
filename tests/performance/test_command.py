"""`refinery perf` as it is typed: what is printed, and the exit codes."""

from pathlib import Path

import pytest

from refinery.model.trace import CodeReference
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
    nothing = call("perf", "report", "--session", "never")
    against = call("perf", "report", "--session", "after", "--against", "session:never")

    assert (nothing.code, nothing.stdout) == (5, "")
    assert "no run matches" in nothing.stderr
    assert against.code == 5
    assert "nothing to compare" in against.stderr
    assert call("perf", "report", "--since", "1d", "--until", "2d").code == 2
    assert call("perf", "audit", "--limit", "tool max_p50_ms=5", "--session", "never").code == 5
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


def test_errors_are_told_with_their_first_and_last_time_and_a_whole_id(project: Path) -> None:
    shown = call("perf", "report", "--errors").stdout

    assert "    2  ValueError in se" in shown
    assert "e.g. no shelf 7" in shown
    assert "first 20" in shown
    assert "refinery show before0" in shown or "refinery show after0" in shown


def test_a_limit_that_fits_nothing_is_said(project: Path) -> None:
    audited = call("perf", "audit", "--limit", "tol max_duration_ms=5")
    document = call("perf", "audit", "--limit", "tol max_duration_ms=5", "--json").json

    assert "no component fits the limit 'tol max_duration_ms=5'" in audited.stderr
    assert document["unmatched"] == [{"selector": "tol", "limit": "max_duration_ms", "value": 5.0}]


def test_a_component_without_a_layer_leaves_the_queue_by_its_kind(project: Path) -> None:
    limit = ("perf", "audit", "--limit", "llm max_duration_ms=20", "--json")
    for took_ms, wanted in ((50, {"violations": 1, "left": 0}), (1, {"violations": 0, "left": 1})):
        store = open_store(str(project / "traces.db"))
        at_ms = 10_000 * (60 - took_ms)
        store.write_runs(
            run(f"m{took_ms}-{number}", "llm", name="ask", at_ms=at_ms, took_ms=took_ms)
            for number in range(100)
        )
        store.delete_traces([f"m50-{number}" for number in range(100)] if took_ms == 1 else [])
        store.close()
        document = call(*limit).json

        assert {name: len(document[name]) for name in wanted} == wanted


def test_an_item_whose_queued_version_is_gone_leaves_without_a_comparison(project: Path) -> None:
    limit = ("perf", "audit", "--limit", "node max_duration_ms=20", "--json")
    for variant, took_ms in (("a" * 64, 50), ("b" * 64, 1)):
        store = open_store(str(project / "traces.db"))
        store.write_runs(
            run(
                f"{variant[0]}{number}",
                "chain",
                name="ask",
                layer="node",
                at_ms=100 - took_ms,
                took_ms=took_ms,
                code=CodeReference(variant=variant),
            )
            for number in range(8)
        )
        if variant[0] == "b":
            store.delete_traces([f"a{number}" for number in range(8)])
        store.close()
        called = call(*limit)

    (left,) = called.json["left"]
    assert (called.code, left["state"], left["outcome"]) == (0, "resolved", None)
    assert "no run of the queued version is left" in left["reason"]


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
