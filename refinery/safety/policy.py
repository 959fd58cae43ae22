"""The guard: decides on the final bytes of a patch, and says no when it cannot decide.

Every rule of `refinery.safety.rules` runs in one child process with limits on time and memory,
because parsers may die of what they read. A rule that raises, hangs or ends the process blocks.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from refinery import plugins
from refinery.model.patch import Patch
from refinery.model.trace import Json
from refinery.model.verdict import GuardReport, Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _diff
from refinery.safety._review import ROOM

TIMEOUT_S = 60.0
"""Wall seconds all rules may take together; a review takes about half a second."""
_ORDER = (Outcome.ALLOW, Outcome.HOLD, Outcome.BLOCK)
_START = "import json,sys;sys.path[:]=json.loads(sys.argv[1]);from refinery.safety import _review;"


def review(patch: Patch, given: GuardInput, *, timeout_s: float = TIMEOUT_S) -> GuardReport:
    """Judge a patch by every rule.

    Args:
        patch: what would be committed.
        given: its context; `given.changes` must be the patch's own.
        timeout_s: wall seconds all rules may take together.

    Returns:
        The worst outcome of all remarks, `allow` when there are none, and the remarks, worst
        first. A rule that could not be run is a remark that blocks.
    """
    remarks = _mismatches(patch, given)
    if not remarks:
        remarks = _run_rules(given, timeout_s)
    remarks.sort(key=lambda remark: -_ORDER.index(remark.outcome))
    outcome = remarks[0].outcome if remarks else Outcome.ALLOW
    return GuardReport(outcome, tuple(remarks), patch.digest)


def _mismatches(patch: Patch, given: GuardInput) -> list[Remark]:
    """Why the patch is not the one that was shown; empty when it is."""
    found = []
    if patch.changes != given.changes:
        found.append(_blocked("policy", "the guard was shown other changes than the patch holds"))
    text = f"{patch.base_commit}\n{patch.diff}".encode("utf-8", "surrogateescape")
    if hashlib.sha256(text).hexdigest() != patch.digest:
        found.append(_blocked("policy", "the digest does not belong to this base and diff"))
    if not _diff.tells(patch.diff, patch.changes):
        found.append(_blocked("policy", "the diff does not say what the patch does"))
    return found


def _blocked(rule: str, message: str) -> Remark:
    return Remark(rule, Outcome.BLOCK, message)


def _run_rules(given: GuardInput, timeout_s: float) -> list[Remark]:
    code = f"{_START}_review.main()"
    command = [sys.executable, "-I", "-c", code, json.dumps(_search_path())]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    try:
        child = subprocess.run(
            command,
            input=json.dumps(_question(given)).encode(),
            capture_output=True,
            timeout=timeout_s,
            env=env | {"LC_ALL": "C.UTF-8"},
            cwd="/",
            check=False,
        )
        output, reason = child.stdout, _reason(child)
    except subprocess.TimeoutExpired as error:
        output, reason = error.stdout or b"", f"the rules took more than {timeout_s:g} s"
    except (OSError, ValueError, TypeError) as error:
        output, reason = b"", f"the rules could not be run: {error}"
    return _collect(output, reason)


def _reason(child: subprocess.CompletedProcess[bytes]) -> str:
    last = child.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"the rule failed: {last[0][:300]}" if last else f"it ended with {child.returncode}"


def _collect(output: bytes, reason: str) -> list[Remark]:
    """Remarks of the rules that answered, and one that blocks for each that did not."""
    remarks: list[Remark] = []
    missing = plugins.names(ROOM)
    for line in output.splitlines():
        try:
            said = json.loads(line)
            rows = [
                Remark(rule, Outcome(outcome), message, path, number)
                for rule, outcome, message, path, number in said["remarks"]
            ]
            missing.remove(said["rule"])
        except (ValueError, KeyError, TypeError):
            break  # the last line of a process that was killed
        remarks += rows
    return remarks + [_blocked(name, reason) for name in missing]


def _question(given: GuardInput) -> dict[str, Json]:
    return {
        "changes": [(c.path, _text(c.before), _text(c.after)) for c in given.changes],
        "repository": str(given.repository.absolute()),
        "located": list(given.located),
        "trace_texts": list(given.trace_texts),
        "columns": list(given.columns),
        "fills": list(given.fills),
        "limits": None if given.limits is None else dict(given.limits),
    }


def _text(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


def _search_path() -> list[str]:
    """Our own module search path without the working folder, which may hold anybody's modules."""
    root = str(Path(__file__).resolve().parents[2])
    here = (str(Path.cwd()), "", ".")
    return [p for p in sys.path if p == root or p not in here] + [root]
