from pathlib import Path
from typing import Any

import pytest

from refinery import home, settings
from refinery.errors import InputError


def write_user(text: str) -> Path:
    path = settings._user_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_project(folder: Path, text: str, name: str = "refinery.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_without_files_and_variables_the_defaults_hold(isolated: Path) -> None:
    found = settings.load()

    assert found.values.embedder == "hash"
    assert found.values.model is None
    assert found.values.replay.repeats == 1
    assert found.origins == {}
    assert found.project_file is None


def test_each_layer_wins_over_the_one_below(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = write_user("[replay]\nrepeats = 2\ntimeout_s = 20\nmax_controls = 2\n")
    project = write_project(isolated, "[replay]\nrepeats = 3\ntimeout_s = 30\n")
    monkeypatch.setenv("REFINERY_REPLAY__REPEATS", "4")

    found = settings.load(flags={"store": "here.db"})

    assert found.values.replay.repeats == 4
    assert found.values.replay.timeout_s == 30
    assert found.values.replay.max_controls == 2
    assert found.values.store == "here.db"
    assert found.origins == {
        "replay.repeats": "environment",
        "replay.timeout_s": str(project),
        "replay.max_controls": str(user),
        "store": "flag",
    }


def test_a_flag_that_was_not_given_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINERY_STORE", "from-environment.db")

    assert settings.load(flags={"store": None}).values.store == "from-environment.db"


def test_a_project_may_use_its_pyproject_file(isolated: Path) -> None:
    text = '[project]\nname = "x"\n[tool.refinery.agent]\nentrypoint = "a:b"\n'
    path = write_project(isolated, text, "pyproject.toml")

    found = settings.load()

    assert found.values.agent.entrypoint == "a:b"
    assert found.project_file == path


def test_the_nearest_file_is_found_from_a_folder_below(isolated: Path) -> None:
    (isolated / ".git").mkdir()
    write_project(isolated, '[agent]\nentrypoint = "a:b"\n')
    below = isolated / "src" / "deep"
    below.mkdir(parents=True)

    assert settings.load(below).values.agent.entrypoint == "a:b"


def test_a_file_above_the_repository_is_not_read(isolated: Path) -> None:
    write_project(isolated, '[agent]\nentrypoint = "outer:x"\n')
    repository = isolated / "clone"
    (repository / ".git").mkdir(parents=True)

    assert settings.load(repository).values.agent.entrypoint is None


@pytest.mark.parametrize("name", settings.USER_ONLY)
def test_a_cloned_project_cannot_choose_models_keys_or_stores(isolated: Path, name: str) -> None:
    value = "1.0" if name == "budget_usd" else '"x"'
    write_project(isolated, f"{name} = {value}\n")

    with pytest.raises(InputError, match="may not set"):
        settings.load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent = [", "cannot be read"),
        ("agnet = 1\n", "unknown setting 'agnet'"),
        ('[agent]\nentrypiont = "a:b"\n', "agent.entrypiont"),
        ("[replay]\nrepeats = 0\n", "replay.repeats"),
        ("[guard]\nmax_changed_lines = 1000\n", "guard.max_changed_lines"),
        ("agent = 3\n", "agent"),
    ],
)
def test_a_wrong_file_is_told_with_the_name_and_the_file(
    isolated: Path, text: str, message: str
) -> None:
    path = write_project(isolated, text)

    with pytest.raises(InputError, match=message) as caught:
        settings.load()

    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_misspelt_setting_is_answered_with_the_near_one(isolated: Path) -> None:
    write_project(isolated, "repaly = 1\n")

    with pytest.raises(InputError) as caught:
        settings.load()

    assert caught.value.hint == "did you mean 'replay'?"


def test_a_wrong_variable_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINERY_BUDGET_USD", "much")

    with pytest.raises(InputError, match="REFINERY_BUDGET_USD"):
        settings.load()


def test_nested_settings_are_flattened_to_dotted_names() -> None:
    nested: dict[str, Any] = {"a": {"b": {"c": 1}}, "d": [2]}

    assert settings.flatten(nested) == {"a.b.c": 1, "d": [2]}


def test_the_state_folder_is_beside_the_repository(isolated: Path) -> None:
    (isolated / ".git").mkdir()
    below = isolated / "src"
    below.mkdir()

    assert home.locate(below) == isolated / ".refinery"


def test_an_existing_state_folder_above_is_used(isolated: Path) -> None:
    (isolated / ".refinery").mkdir()
    below = isolated / "src"
    below.mkdir()

    assert home.locate(below) == isolated / ".refinery"


def test_outside_of_projects_the_users_folder_is_used(isolated: Path) -> None:
    assert home.locate(isolated) == home.user_home()


def test_a_variable_chooses_the_state_folder(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_HOME", str(isolated / "elsewhere"))

    assert home.locate() == isolated / "elsewhere"


def test_the_state_folder_is_private_and_hides_itself_from_git(isolated: Path) -> None:
    folder = home.prepare(isolated / ".refinery")

    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*\n"
    assert home.prepare(folder) == folder
