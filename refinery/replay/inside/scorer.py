"""Calls checks written in Python over the results of replays, in a process of their own.

    python -m refinery.replay.inside.scorer JOB

The job names functions of the repository as committed, never as patched, and the results they
judge: `{"code", "folder", "answers", "nonce", "questions": [{"check", "function", "output"}]}`.
Written to `answers`: `{"nonce", "answers": [{"held", "detail"}]}` in the order of the questions.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from refinery.recorders import entry


def main(arguments: list[str]) -> int:
    """Answer the questions of the job; returns the exit code 0."""
    path = Path(arguments[0])
    job: dict[str, Any] = json.loads(path.read_bytes())
    path.unlink()
    folder = Path(job["code"]) / job["folder"]
    os.chdir(folder)
    sys.path[0:1] = [str(folder)]
    answers = [_answer(question["function"], question["output"]) for question in job["questions"]]
    whole = {"nonce": job["nonce"], "answers": answers}
    Path(job["answers"]).write_text(json.dumps(whole, default=str), "utf-8", "replace")
    return 0


def _answer(spec: str, output: Any) -> dict[str, Any]:
    """What one function says of one result; whatever it raises is a no with a reason."""
    try:
        outcome = entry.run_one(entry.load_target(spec), output)
    except entry.TargetError as error:
        return {"held": False, "detail": str(error)}
    if outcome.error:
        told = f"{outcome.error['type']}: {outcome.error['message']}"
        return {"held": False, "detail": f"{spec} raised {told}"[:400]}
    said = outcome.output
    if isinstance(said, list) and len(said) == 2:
        return {"held": bool(said[0]), "detail": str(said[1])[:400]}
    return {"held": bool(said), "detail": "" if said else f"{spec} returned {said!r}"[:400]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
