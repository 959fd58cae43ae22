"""The audit of an example project, through the command line: found, queued, mended, done."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.calling import call
from tests.kits.repositories import make_repository

SLOW = """from refinery.recorders.instrument import instrument
import time


@instrument(layer="tool")
def find_flights(city):
    found = []
    for number in range(12):
        time.sleep(0.012)
        found.append(f"{city} {number}")
    return found


@instrument(layer="tool")
def book(flight):
    return {"booked": flight}


@instrument(layer="workflow")
def trip(city):
    return book(find_flights(city)[0])
"""
FAST = SLOW.replace("        time.sleep(0.012)\n", "")
WRONG = FAST.replace('f"{city} {number}"', 'f"{number}"')
USE = "from shop import trip\nfor n in range(12):\n    trip(f'city {n}')\n"
TEST = """from shop import find_flights

assert find_flights("Rome") == [f"Rome {n}" for n in range(12)]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    make_repository(folder, {"shop.py": SLOW, "use.py": USE, "test_shop.py": TEST})
    (folder / "refinery.toml").write_text(
        "[performance.limits.tool]\nmax_duration_ms = 60\nmin_success_rate = 0.9\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("REFINERY_STORE", raising=False)
    return folder


def use(project: Path) -> None:
    """Run the example project, recorded."""
    env = {**os.environ, "REFINERY_RECORD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "use.py"], cwd=project, env=env, check=True)


def audit() -> tuple[int, Any]:
    """Audit it, its own tests being run."""
    command = f"{sys.executable} test_shop.py"
    called = call("perf", "audit", "--test-command", command, "--json")
    return called.code, called.json


@pytest.mark.slow
def test_a_slow_tool_is_found_queued_mended_and_leaves_the_queue(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_RECORD", "0")  # the tests are not part of what is measured
    use(project)

    code, found = audit()

    assert code == 1, found
    (violation,) = found["violations"]
    assert (violation["layer"], violation["name"]) == ("tool", "find_flights")
    (breach,) = violation["breaches"]
    assert breach["limit"] == "max_duration_ms"
    assert breach["observed"] > 140
    assert (breach["beyond"], breach["runs"], breach["is_shown"]) == (12, 12, True)
    assert "it waits" in violation["recommendation"]
    assert found["tests"]["ending"] == "passed"

    (item,) = call("perf", "queue", "--json").json["items"]
    assert (item["state"], item["name"], item["tests"]) == ("waiting", "find_flights", "passed")
    assert item["observed"] == breach["observed"]
    assert item["file"].endswith("shop.py")

    shown = call("show", "queue:next", "--json")
    assert shown.code == 0
    assert shown.json["trace"]["trace_id"] == item["trace_id"]
    assert call("perf", "queue", "--json").json["items"][0]["state"] == "taken"

    (project / "shop.py").write_text(WRONG)
    use(project)
    code, found = audit()
    assert code == 1
    assert found["tests"]["ending"] == "failed"
    assert [held["name"] for held in found["held"]] == ["find_flights"]
    assert len(call("perf", "queue", "--json").json["items"]) == 1

    (project / "shop.py").write_text(FAST)
    use(project)
    code, found = audit()

    assert code == 0
    assert found["violations"] == []
    (left,) = found["left"]
    assert (left["state"], left["outcome"]["finding"]) == ("done", "faster")
    assert left["outcome"]["before"]["p50_ms"] > 140 > left["outcome"]["after"]["p50_ms"]
    assert left["outcome"]["ratio_interval"][1] < 0.5
    emptied = call("perf", "queue", "--json")
    assert (emptied.code, emptied.json["items"]) == (5, [])
    assert call("perf", "queue", "--all", "--json").json["items"][0]["state"] == "done"

    variants = [item["variant"], left["outcome"]["after"]["variant"]]
    compared = call("perf", "compare", *(one[:12] for one in variants), "--json")
    assert compared.code == 0
    assert compared.json["finding"] == "faster"
    assert any("time.sleep" in line and line.startswith("-") for line in compared.json["diff"])
