import sys
from pathlib import Path

import pytest

import refinery
from refinery import home
from refinery.cli import main as cli_main
from refinery.errors import ExitCode
from tests.cli.calling import call, call_program


def test_the_version_is_printed() -> None:
    called = call("--version")

    assert (called.code, called.stdout) == (0, f"refinery {refinery.__version__}\n")


def test_commands_are_listed_by_section() -> None:
    shown = call("--help").stdout

    assert shown.index("Start:") < shown.index("Look:") < shown.index("Mend:")
    assert shown.index("  demo ") < shown.index("  doctor ")


def test_without_a_command_the_help_is_shown() -> None:
    called = call()

    assert "Usage: refinery" in called.stdout + called.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    called = call("mendd")

    assert called.code == ExitCode.USAGE
    assert "no command 'mendd'" in called.stderr
    assert called.stdout == ""


def test_an_unknown_option_is_a_usage_error_in_json_as_well() -> None:
    called = call("doctor", "--jsno", "--json")

    assert called.code == ExitCode.USAGE
    assert called.json["schema_version"] == 1
    assert "No such option" in called.json["error"]["message"]
    assert called.stderr == ""


def test_an_expected_error_prints_its_hint_and_its_exit_code(isolated: Path) -> None:
    (isolated / "refinery.toml").write_text('stroe = "x"\n', encoding="utf-8")

    called = call("config", "show")

    assert called.code == ExitCode.USAGE
    assert called.stderr.startswith("error: ")
    assert "hint:  did you mean 'store'?" in called.stderr


def test_an_expected_error_is_json_when_json_was_asked_for(isolated: Path) -> None:
    (isolated / "refinery.toml").write_text('stroe = "x"\n', encoding="utf-8")

    called = call("config", "show", "--json")

    assert called.code == ExitCode.USAGE
    assert called.json["error"]["code"] == "input"
    assert called.json["error"]["hint"] == "did you mean 'store'?"


def test_a_bug_leaves_a_report_and_ends_with_70(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli_main, "app", broken)

    called = call("doctor")

    assert called.code == ExitCode.BUG
    assert "unexpected ZeroDivisionError" in called.stderr
    (report,) = home.user_home().glob("reports/bug-*.txt")
    assert "division by zero" in report.read_text(encoding="utf-8")


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_main, "app", interrupted)

    called = call("doctor")

    assert called.code == ExitCode.INTERRUPTED
    assert "interrupted" in called.stderr


def test_a_closed_pipe_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(cli_main, "app", closed)

    assert call("doctor").code == ExitCode.DONE


@pytest.mark.parametrize("words", [("--quiet", "traces"), ("traces", "--quiet")])
def test_quiet_leaves_the_result_alone(words: tuple[str, ...], isolated: Path) -> None:
    talking = call("traces")
    quiet = call(*words)

    assert "no traces yet" in talking.stderr
    assert (quiet.code, quiet.stderr) == (0, "")
    assert quiet.stdout == talking.stdout


def test_a_quiet_of_the_recorded_program_is_its_own(isolated: Path) -> None:
    called = call_program(
        "record", "--", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--quiet"
    )

    assert called.stdout == "['--quiet']\n"
