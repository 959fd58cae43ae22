"""Puts the interception of a replay into a Python process of a command."""

import json
from pathlib import Path
from typing import Any

from refinery.recorders import draws, switch
from refinery.replay.inside import tape_clock
from refinery.replay.inside.chance import RecordedDraws
from refinery.replay.inside.functions import Functions
from refinery.replay.inside.models import Models
from refinery.replay.inside.redirect import Redirect
from refinery.replay.inside.stand_in import StandIns
from refinery.replay.inside.tape_clock import TapeClock
from refinery.replay.inside.under_test import UnderTest


def begin(path: str) -> None:
    """Follow the tape of a job from now on, and record again."""
    job: dict[str, Any] = json.loads(Path(path).read_bytes())
    case = job["case"]
    lines = Path(job["work"], "results", "steps.jsonl")

    def log(name: str, kind: str, fidelity: str, run_id: str | None, detail: str) -> None:
        step = [tape_clock.real_ns(), name, kind, fidelity, run_id, detail]
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(step) + "\n")

    draws.install()
    clock = TapeClock()
    clock.install()
    redirect = Redirect(job["port"])
    redirect.install()
    redirect.begin(case["token"])
    stand_ins = StandIns(UnderTest(Path(job["code"]), (), ()))
    stand_ins.install()
    Functions(stand_ins).install()
    models = Models(redirect)
    models.install()
    models.log = log
    stand_ins.begin(case, log)
    switch.record()
    chance = RecordedDraws(
        case.get("draws") or {}, case.get("drawn") or (), case["trace_id"], clock
    )
    clock.begin(case["start_ns"], case["moments"])
    chance.begin(switch.current_book())
