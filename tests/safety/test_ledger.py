import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.errors import RefusedError
from refinery.safety.ledger import FIRST, Ledger

ROOT = Path(__file__).parents[2]


def written(path: Path, count: int = 3) -> Ledger:
    ledger = Ledger(path)
    for number in range(count):
        ledger.append("applied", {"change": f"fix-{number}", "note": "ä \u202e \ud800", "n": 1.5})
    return ledger


def test_entries_come_back_in_order_and_chained(tmp_path: Path) -> None:
    ledger = written(tmp_path / "state" / "ledger.jsonl")

    entries = ledger.entries()

    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert [entry.body["change"] for entry in entries] == ["fix-0", "fix-1", "fix-2"]
    assert [entry.previous for entry in entries] == [FIRST, entries[0].digest, entries[1].digest]
    assert entries[0].body["note"] == "ä \u202e \ud800"
    ledger.verify()


def test_an_absent_ledger_is_empty_and_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")

    ledger.verify()

    assert ledger.entries() == []
    assert not ledger.repair()


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = written(path)
    content = path.read_bytes()

    for place in range(len(content)):
        bit = 1 << place % 8
        path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        with pytest.raises(RefusedError, match=r"line \d"):
            ledger.verify()


def test_lost_added_swapped_and_repeated_lines_are_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = written(path)
    first, second, third = path.read_bytes().splitlines(keepends=True)

    for lines in (
        [second, third], [first, third], [second, first, third], [first, first, second, third],
        [first, second, b"\n", third], [first, b" " + second, third],
        [first, second, third, b"{}\n"],
    ):  # fmt: skip
        path.write_bytes(b"".join(lines))
        with pytest.raises(RefusedError, match="changed, lost or added"):
            ledger.verify()
        with pytest.raises(RefusedError):
            ledger.append("applied", {})


def test_a_torn_last_line_is_told_and_only_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = written(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sequence":4,"crea')

    with pytest.raises(RefusedError, match="line 4 is incomplete"):
        ledger.verify()
    with pytest.raises(RefusedError, match="incomplete"):
        ledger.append("applied", {})

    assert ledger.repair()
    assert path.read_bytes() == whole
    assert not ledger.repair()
    assert ledger.append("applied", {}).sequence == 4


def test_repair_refuses_when_a_complete_line_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = written(path)
    damaged = path.read_bytes().replace(b"fix-1", b"fix-9") + b"{"
    path.write_bytes(damaged)

    with pytest.raises(RefusedError, match="line 2"):
        ledger.repair()
    assert path.read_bytes() == damaged


def test_what_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = written(path, 1)
    before = path.read_bytes()

    for body in ({"x": float("nan")}, {"x": object()}, {"x": {1: {2}}}):
        with pytest.raises(RefusedError, match="cannot hold"):
            ledger.append("applied", body)
    assert path.read_bytes() == before


def test_entries_read_back_as_they_were_sealed_even_with_odd_keys(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")

    ledger.append("applied", {"1": [1, 2.0, None, True], "é": {"z": 1, "a": 2}})

    ledger.verify()


@pytest.mark.slow
def test_processes_that_append_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    code = (
        "import sys; from pathlib import Path; from refinery.safety.ledger import Ledger\n"
        "for n in range(15): Ledger(Path(sys.argv[1])).append('applied', {'n': n})"
    )
    command = [sys.executable, "-c", code, str(path)]
    children = [subprocess.Popen(command, env=_env()) for _ in range(3)]

    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(Ledger(path).entries()) == 45


@pytest.mark.slow
def test_a_killed_writer_leaves_a_ledger_that_is_whole_or_told_to_be_torn(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    code = (
        "import sys; from pathlib import Path; from refinery.safety.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "while True: print(ledger.append('applied', {'n': 'x' * 3000}).sequence, flush=True)"
    )
    chance = random.Random(7)
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], env=_env(), stdout=subprocess.PIPE
        )
        assert child.stdout
        for _ in range(chance.randint(1, 12)):
            told = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        Ledger(path).repair()
        assert len(Ledger(path).entries()) >= told


def _env() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
