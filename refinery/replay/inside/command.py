"""The process that replays a command: runs it with the gateway's address in its environment.

    python -m refinery.replay.inside.command JOB

Any program is answered by the gateway. A Python program also gets what `child` gives an entry
point (clock, tools, models without HTTP), by way of `boot/sitecustomize.py`. The result is
`results/0.json`: `{"nonce", "status", "output", "error", "printed"}`; steps of tools are lines of
`results/steps.jsonl`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from refinery.replay.inside.redirect import Redirect

JOB = "REFINERY_REPLAY_JOB"
"""Variable that names the job to a Python program's `boot/sitecustomize.py`."""
PRINTED_BYTES = 64 << 10
"""Most bytes kept of what the command prints, from its end."""
BOOT = Path(__file__).parent / "boot"


def main(arguments: list[str]) -> int:
    """Run the job; returns the exit code, which is 0 whatever came of the command."""
    path = Path(arguments[0])
    job: dict[str, Any] = json.loads(path.read_bytes())
    nonce = job.pop("nonce")  # the command must not be able to write a result
    path.write_text(json.dumps(job), "utf-8")
    os.chdir(Path(job["code"], job["folder"]))
    redirect = Redirect(job["port"])
    redirect.set_variables(job["case"]["token"])
    environment = {**os.environ, JOB: str(path), "REFINERY_RECORD": "1"}
    environment["REFINERY_SPOOL"] = str(Path(job["work"], "spool", "0"))
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(BOOT), os.environ.get("PYTHONPATH")])
    )
    told = _run(job, environment)
    target = Path(job["work"], "results", "0.json")
    target.write_text(json.dumps({"nonce": nonce, **told}), "utf-8", "replace")
    return 0


def _run(job: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    command = list(job["command"])
    if job["is_python"]:
        command[0] = sys.executable
    with tempfile.TemporaryFile() as printed:
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=job["timeout_s"],
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"status": "timeout", "error": f"longer than {job['timeout_s']} s"}
        except OSError as error:
            text = f"{command[0]!r} cannot be run in the sandbox: {error.strerror}"
            return {"status": "error", "error": text}
        size = printed.seek(0, os.SEEK_END)
        printed.seek(max(0, size - PRINTED_BYTES))
        said = printed.read().decode("utf-8", "replace")
    code = 128 - done.returncode if done.returncode < 0 else done.returncode
    ended = f"ExitCode: the command ended with exit code {code}" if code else None
    return {
        "status": "error" if code else "ok",
        "output": {"exit_code": code},
        "error": ended,
        "printed": said,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
