from pathlib import Path

import pytest

from tests.cli.calling import call


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "talk.json"
    path.write_text(
        '[{"role": "user", "content": "How much?"}, {"role": "assistant", "content": "12"}]',
        encoding="utf-8",
    )
    return path


def test_show_says_which_questions_a_trace_can_answer(talk: Path) -> None:
    shown = call("show", str(talk), "--capabilities")

    assert shown.code == 0
    assert "✗ whether it can be replayed" in shown.stdout
    assert "no entry point recorded" in shown.stdout
    assert "◐ whether the prompt caused it" in shown.stdout


def test_the_same_stands_in_the_diagnosis(talk: Path) -> None:
    shown = call("show", str(talk), "--capabilities", "--json").json["capabilities"]
    diagnosed = call("diagnose", "latest", "--json").json["capabilities"]

    assert diagnosed == shown
    assert {"question", "title", "answerable", "why"} == set(shown[0])


def test_export_to_standard_output_reads_back(talk: Path, tmp_path: Path) -> None:
    call("import", str(talk))

    exported = call("export", "latest")

    assert exported.code == 0
    (tmp_path / "copy.jsonl").write_text(exported.stdout, encoding="utf-8")
    again = call("import", str(tmp_path / "copy.jsonl"), "--json").json
    assert (again["traces"], again["new_runs"]) == (1, 0)


def test_export_with_json_needs_a_file(talk: Path) -> None:
    refused = call("export", str(talk), "--json")

    assert refused.code == 2
    assert refused.json["error"]["hint"]


def test_import_reads_times_in_the_zone_it_is_told(tmp_path: Path, talk: Path) -> None:
    from tests.kits import local_stores

    local_stores.decision_trace(tmp_path / "traces.db")

    refused = call("import", "traces.db", "--timezone", "Europe/Zurch")
    assumed = call("import", "traces.db", "--json")
    told = call("import", "traces.db", "--timezone", "Europe/Zurich", "--json")

    assert refused.code == 2
    assert "did you mean Europe/Zurich?" in refused.stderr
    assert "UTC+05:30" in assumed.json["files"][0]["notes"][0]
    assert told.json["files"][0]["notes"] == []
    assert (assumed.json["new_runs"], told.json["new_runs"]) == (3, 0)
    shown = call("show", assumed.json["files"][0]["trace_ids"][0], "--json").json
    assert shown["trace"]["end"].startswith("2026-01-02T14:04:02")
