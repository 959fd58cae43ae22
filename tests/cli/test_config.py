from pathlib import Path

import pytest

from tests.cli.calling import call


def rows(document: dict[str, list[dict[str, object]]]) -> dict[object, tuple[object, object]]:
    return {row["name"]: (row["value"], row["origin"]) for row in document["settings"]}


def test_each_value_is_shown_with_where_it_comes_from(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = isolated / "refinery.toml"
    project.write_text('[agent]\nentrypoint = "a:b"\n', encoding="utf-8")
    monkeypatch.setenv("REFINERY_REPLAY__REPEATS", "3")

    called = call("--store", "mine.db", "config", "show", "--json")

    shown = rows(called.json)
    assert called.code == 0
    assert shown["agent.entrypoint"] == ("a:b", str(project))
    assert shown["replay.repeats"] == (3, "environment")
    assert shown["store"] == ("mine.db", "flag")
    assert shown["embedder"] == ("hash", "default")
    assert called.json["project_file"] == str(project)
    assert called.json["home"] == str(isolated / ".refinery")


def test_secrets_are_masked(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINERY_MODEL_API_KEY", "key-of-the-model")
    monkeypatch.setenv("REFINERY_STORE", "postgres://ada:password@db/refinery")
    text = '[agent]\nenv = ["OPENAI_BASE_URL", "TOKEN=very-secret"]\n'
    (isolated / "refinery.toml").write_text(text, encoding="utf-8")

    as_json, as_text = call("config", "show", "--json"), call("config", "show", "--origin")

    for secret in ("key-of-the-model", "password", "very-secret"):
        assert secret not in as_json.stdout + as_text.stdout
    shown = rows(as_json.json)
    assert shown["model_api_key"] == ("********", "environment")
    assert shown["store"] == ("postgres://********@db/refinery", "environment")
    assert shown["agent.env"][0] == ["OPENAI_BASE_URL", "TOKEN=********"]


def test_the_table_names_the_origin_only_when_asked() -> None:
    assert "default" not in call("config", "show").stdout
    assert "default" in call("config", "show", "--origin").stdout
