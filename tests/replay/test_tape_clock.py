"""The clock and the chance of a recording, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from refinery.model.trace import Run
from refinery.replay.canonical import Fresh, normalise
from refinery.replay.inside.revive import as_annotated
from refinery.replay.inside.tape_clock import TapeClock
from tests.replay import kit

START_NS = 1_700_000_000_123_456_789
"""2023-11-14T22:13:20.123456789Z."""

PROGRAM = """
import asyncio, datetime, json, pickle, random, sqlite3, time, uuid, warnings
from refinery.recorders import draws
from refinery.replay.inside.chance import RecordedDraws
from refinery.replay.inside.tape_clock import TapeClock

clock = TapeClock()
clock.install()
draws.install()
START_NS = 1_700_000_000_123_456_789
clock.begin(START_NS, [["llm", "ask", START_NS + 3_600_000_000_000, START_NS + 7_200_000_000_000]])
told = {
    "day": datetime.date.today().isoformat(),
    "now": datetime.datetime.now(datetime.UTC).isoformat(),
    "seconds": time.time(),
    "gmtime": list(time.gmtime()[:5]),
    "is_type_kept": type(datetime.datetime.now()) is datetime.datetime,
    "pickled": pickle.loads(pickle.dumps(datetime.datetime.now())).year,
}
warnings.simplefilter("ignore")
told["utcnow"] = datetime.datetime.utcnow().isoformat()
database = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_DECLTYPES)
told["sqlite"] = database.execute("select ?", (datetime.datetime.now(),)).fetchone()[0]
began = time.monotonic()
asyncio.run(asyncio.sleep(0.05))
told["slept"] = time.monotonic() - began
clock.started("r", {"kind": "llm", "name": "ask"})
told["after start"] = time.time()
clock.ended("r")
told["after end"] = time.time()
kept = "6d0f0d52-6a53-4a7e-9d0c-000000000001"
skipped = "6d0f0d52-6a53-4a7e-9d0c-000000000002"
for _ in range(2):
    chance = RecordedDraws(
        {"ids": [[skipped, "a tool"], [kept, None]], "seed": 7}, (), "trace", clock
    )
    chance.begin(None)
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    told.setdefault("draws", []).append([first, second, random.random()])
    chance.end()
print(json.dumps(told))
"""


def test_everything_that_tells_the_time_or_draws_follows_the_recording(tmp_path: Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(kit.ROOT)}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, check=True
    )
    told = json.loads(done.stdout)

    assert told["day"] == "2023-11-14"
    assert told["now"].startswith("2023-11-14T22:13:20.12")
    assert told["utcnow"].startswith("2023-11-14T22:13:2")
    assert 0 <= told["seconds"] - START_NS / 1e9 < 1
    assert told["gmtime"] == [2023, 11, 14, 22, 13]
    assert told["is_type_kept"]
    assert told["pickled"] == 2023
    assert told["sqlite"].startswith("2023-11-14")
    assert told["slept"] >= 0.05
    assert 3600 <= told["after start"] - START_NS / 1e9 < 3601
    assert 7200 <= told["after end"] - START_NS / 1e9 < 7201
    first, again = told["draws"]
    assert first == again
    assert first[0] == "6d0f0d52-6a53-4a7e-9d0c-000000000001"
    assert first[1] != first[0]


def test_the_clock_waits_for_the_next_recorded_moment_and_never_goes_back() -> None:
    clock = TapeClock()
    clock.begin(START_NS, [["chain", "a", START_NS + 1, START_NS + 5_000_000_000]])

    told = [clock.now_ns() for _ in range(100)]
    clock.started("r", {"kind": "chain", "name": "a"})
    clock.ended("r")

    assert told == sorted(told)
    assert max(told) <= START_NS + 1
    assert clock.now_ns() >= START_NS + 5_000_000_000


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("at 1700000000", "at <epoch>"),
        ("at 1700000000.25", "at <epoch>"),
        ("at 1700000000123", "at <epoch>"),
        ("order 1200000000", "order 1200000000"),
        ("run 6d0f0d526a534a7e9d0c000000000001", "run <id 1>"),
        ("md5 d41d8cd98f00b204e9800998ecf8427e", "md5 d41d8cd98f00b204e9800998ecf8427e"),
    ],
)
def test_times_and_identifiers_of_a_run_are_normalised_and_data_is_not(
    text: str, written: str
) -> None:
    assert normalise(text, Fresh(START_NS)) == written


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2], {1, 2}),
        (list[dict[str, int]], [{"a": 1}], [{"a": 1}]),
        (float, 3, 3),
        (str | None, None, None),
        (Run, {"run_id": "a", "trace_id": "b"}, Run("a", "b")),
        (Run | None, {"run_id": "a", "nonsense": 1}, {"run_id": "a", "nonsense": 1}),
    ],
)
def test_a_value_becomes_what_the_annotation_says(kind: Any, value: Any, made: Any) -> None:
    found = as_annotated(kind, value)

    assert found == made
    assert type(found) is type(made)
