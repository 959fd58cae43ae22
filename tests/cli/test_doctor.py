from pathlib import Path
from typing import Any

import pytest

from refinery.errors import ExitCode
from refinery.workflows import wiring
from tests.cli.calling import Called, call
from tests.kits.repositories import git, make_repository

SOURCE = "def answer(request):\n    raise SystemExit('imported')\n"
SETTINGS = '[agent]\nentrypoint = "app:answer"\n'


def checks(called: Called) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in called.json["checks"]}


@pytest.fixture
def repository(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_repository(isolated / "repo", {"app.py": SOURCE, "refinery.toml": SETTINGS})
    monkeypatch.chdir(folder)
    return folder


def test_a_repository_in_order_passes_every_check(repository: Path) -> None:
    called = call("doctor", "--json")

    found = checks(called)
    assert called.code == ExitCode.DONE
    assert called.json["healthy"]
    assert not [name for name, check in found.items() if check["state"] == "fail"]
    assert found["git identity"]["detail"] == "Ada Tester <ada@example.com>"
    assert found["entry point"]["detail"] == "app:answer (app.py:1, not run)"
    assert found["model"]["detail"] == "none: detectors and offline playbook"
    assert not (repository / ".refinery").exists()


def test_each_line_says_what_was_seen(repository: Path) -> None:
    shown = call("doctor").stdout

    assert "ok    git identity" in shown
    assert "ok    entry point" in shown


def test_a_missing_identity_fails_with_the_command_that_mends_it(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    called = call("doctor", "--json")

    identity = checks(called)["git identity"]
    assert called.code == ExitCode.NEGATIVE
    assert identity["state"] == "fail"
    assert identity["fix"].startswith("git config --global user.name")


@pytest.mark.parametrize(
    ("entrypoint", "detail"),
    [
        ("missing:answer", "no file for 'missing'"),
        ("app:other", "app.py defines no 'other' at its top level"),
    ],
)
def test_an_entry_point_that_is_not_there_fails(
    repository: Path, entrypoint: str, detail: str
) -> None:
    (repository / "refinery.toml").write_text(f'[agent]\nentrypoint = "{entrypoint}"\n')

    called = call("doctor", "--json")

    assert called.code == ExitCode.NEGATIVE
    assert checks(called)["entry point"]["detail"] == detail


def test_a_missing_interpreter_fails(repository: Path) -> None:
    (repository / "refinery.toml").write_text(SETTINGS + 'python = "no/such/python"\n')

    assert checks(call("doctor", "--json"))["interpreter"]["state"] == "fail"


def test_wrong_settings_fail_and_stop_what_depends_on_them(repository: Path) -> None:
    (repository / "refinery.toml").write_text("agnet = 1\n")

    called = call("doctor", "--json")

    found = checks(called)
    assert called.code == ExitCode.NEGATIVE
    assert found["settings"]["fix"] == "did you mean 'agent'?"
    assert "store" not in found


def test_a_corrupt_store_fails(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = repository / "broken.db"
    store.write_bytes(b"this is no database" * 100)

    called = call("--store", str(store), "doctor", "--json")

    assert checks(called)["store"]["state"] == "fail"


def test_the_traces_of_the_store_are_counted(repository: Path) -> None:
    wiring.open_workspace().store.close()

    assert checks(call("doctor", "--json"))["store"]["detail"].startswith("0 traces in ")


def test_a_model_without_a_key_fails_and_one_with_a_key_passes(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_MODEL", "openai:some-model")
    without = checks(call("doctor", "--json"))["model"]

    monkeypatch.setenv("REFINERY_MODEL_API_KEY", "key")
    with_key = checks(call("doctor", "--json"))["model"]

    assert (without["state"], without["fix"]) == ("fail", "set REFINERY_MODEL_API_KEY")
    assert with_key["detail"] == "openai:some-model (not called)"


def test_outside_of_a_repository_the_check_says_so(isolated: Path) -> None:
    assert checks(call("doctor", "--json"))["repository"]["state"] == "fail"


def test_another_repository_can_be_named(repository: Path, isolated: Path) -> None:
    named = call("doctor", "--repo", str(repository), "--json")
    missing = call("doctor", "--repo", str(isolated / "nowhere"), "--json")

    assert checks(named)["entry point"]["state"] == "ok"
    assert missing.code == ExitCode.USAGE


def test_what_can_be_put_right_is_put_right_when_asked(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = "def answer(question):\n    return question\n"
    folder = make_repository(isolated / "agent", {"agent.py": graph})
    state = folder / ".refinery"
    state.mkdir(mode=0o755)
    (state / "note").write_text("recorded")
    (state / "note").chmod(0o644)
    monkeypatch.chdir(folder)

    refused = call("doctor", "--mend", "--json")
    assert checks(refused)["private files"]["state"] == "warn"

    mended = call("doctor", "--mend", "--yes", "--json")

    found = checks(mended)
    assert found["private files"]["state"] == "ok"
    assert state.stat().st_mode & 0o077 == (state / "note").stat().st_mode & 0o077 == 0
    assert found["entry point"]["detail"].startswith("agent:answer")
    assert (folder / "refinery.toml").is_file()


def test_a_person_names_the_author_of_commits(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from refinery.workflows.doctor import examine
    from refinery.workflows.mend import mends

    git(repository, "config", "--unset", "user.name")
    git(repository, "config", "--unset", "user.email")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    said = {"Name": "Grace Hopper", "E-mail address": "grace@example.com"}

    one = next(m for m in mends(examine(repository), repository) if m.of == "git identity")
    one.carry_out(said.__getitem__)

    assert one.needs_answers
    assert checks(call("doctor", "--json"))["git identity"]["detail"] == (
        "Grace Hopper <grace@example.com>"
    )
