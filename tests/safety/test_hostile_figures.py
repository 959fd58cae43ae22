"""The benchmarks of hostile input, with few trials each."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import escapes, parser_bombs
from refinery.safety import sandbox
from refinery.safety.sandbox import CONTAINER, FULL, KERNEL, Confinement, launch, probe, strongest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def test_an_evil_model_gets_nothing_applied_and_no_race_a_byte_past_an_approval() -> None:
    command = [sys.executable, "-m", "benchmarks.evil_model", "10", "20", "5"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "applied without approval 0" in done.stdout
    assert "mismatches 0" in done.stdout


@pytest.mark.parametrize("reader", ["import", "decode", "text"])
def test_bombs_of_every_shape_are_read_or_refused(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    throw = parser_bombs.readers(tmp_path)[reader]

    for number in range(0, len(parser_bombs.SHAPES)):
        what, name, content = parser_bombs.bomb(number, 3)
        said = parser_bombs._outcome(throw, name, content[:200_000])
        assert not said.startswith("unexpected"), f"{said}: {what}"


def test_the_bombs_control_dies_and_is_counted() -> None:
    assert parser_bombs.control()


@pytest.mark.parametrize("tier", [FULL, KERNEL])
def test_a_case_writes_the_result_of_another_only_if_all_share_a_nonce(tier: str) -> None:
    assert escapes.spoof(tier) == escapes.HELD
    assert escapes.spoof_with_one_nonce(tier) == escapes.OPEN


def test_an_orphan_outlives_only_a_launcher_that_does_not_sweep() -> None:
    orphan = escapes._named("orphan outlives the command")

    assert escapes.attack(orphan, KERNEL) == escapes.HELD
    assert escapes.orphan_without_a_sweep() == escapes.OPEN


@pytest.mark.parametrize("tier", [FULL, KERNEL])
def test_a_command_that_makes_too_many_files_is_ended(
    tier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "FILES", 500)
    code = (
        "import os, time\n"
        "for n in range(2000): os.close(os.open(f'f{n}', os.O_CREAT))\n"
        "time.sleep(30)"
    )
    confinement = Confinement(tmp_path, (), {}, None, None, 60)

    finished = sandbox.run([sys.executable, "-I", "-c", code], confinement, tier)

    assert finished.out_of_disk
    assert finished.exit_code is None


def test_a_container_is_declared_and_never_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(probe.FORCE, CONTAINER)
    probe._remembered.cache_clear()
    monkeypatch.setattr(probe, "_SIGNS", ("/no/such/sign",))
    monkeypatch.setattr(probe, "_NAMES", ())
    try:
        with pytest.raises(Exception, match="nothing says that this process runs in a container"):
            strongest()
        probe._remembered.cache_clear()
        monkeypatch.setattr(probe, "_SIGNS", ("/",))
        assert strongest() == CONTAINER
        assert set(probe._remembered(CONTAINER).escaped) <= probe.LEFT_TO_THE_CONTAINER
        monkeypatch.delenv(probe.FORCE)
        assert strongest() != CONTAINER
    finally:
        probe._remembered.cache_clear()
