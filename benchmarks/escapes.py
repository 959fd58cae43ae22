"""Every way out of the sandbox, tried in every tier, and a table of what came of it.

    python -m benchmarks.escapes

(from the repository's root; about a minute)

`held` and `OPEN` say what the attempt came to in a real run of that tier. The last column runs the
same attempts with no sandbox: there they must be open, else the attempt tests nothing. The tier
`container` is the user's own container, declared for one process: what it leaves to the container
is shown, and it does not count as a sandbox. Three attempts are also run in a sandboxed tier with
the one defence that should hold them taken out: there they must be open. Ends with 1 when a
sandboxed tier holds less than everything, or a control is not open.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from refinery.errors import RefusedError
from refinery.model.trace import Run, Trace
from refinery.replay.program import Agent, Code
from refinery.replay.runner import Batch, replay
from refinery.replay.tape import Tape
from refinery.safety import sandbox
from refinery.safety.sandbox import (
    CONTAINER,
    FULL,
    KERNEL,
    UNSANDBOXED,
    Confinement,
    Finished,
    launch,
)
from refinery.safety.sandbox.confinement import PROCESSES
from refinery.safety.sandbox.probe import LEFT_TO_THE_CONTAINER, probe
from tests.kits.repositories import make_repository

_SPOOF = "write another case's result"
TIERS = (FULL, KERNEL, CONTAINER, UNSANDBOXED)
SANDBOXED = (FULL, KERNEL)
HELD, OPEN = "held", "OPEN"


@dataclass(frozen=True)
class Attack:
    """Code that tries to get out, and how the outside sees whether it did."""

    name: str
    code: str
    got_out: Callable[[Finished, Path], bool]
    timeout_s: float = 20.0
    memory_bytes: int = 200 << 20


def _said_open(finished: Finished, work: Path) -> bool:
    del work
    return b"open" in finished.stdout


def _lives(finished: Finished, work: Path) -> bool:
    """Whether a process the command left behind is still there."""
    del finished
    mark = f"orphan-{work.name}".encode()
    time.sleep(0.3)
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), 9)
                return True
        except OSError:
            continue
    return False


def _took_room(finished: Finished, work: Path) -> bool:
    del work
    return not finished.out_of_disk and finished.exit_code == 0


ATTACKS = (
    Attack(
        "fork bomb",
        f"""
        import os, sys, time
        count = 0
        try:
            while count < {PROCESSES} + 700:
                if os.fork() == 0:
                    time.sleep(15); os._exit(0)
                count += 1
            print("open")
        except OSError:
            print("held at", count)
        sys.stdout.flush()
        os.killpg(0, 9)
        """,
        _said_open,
    ),
    Attack(
        "memory of one process",
        "x = bytearray(1 << 30)\nfor i in range(0, 1 << 30, 4096): x[i] = 1\nprint('open')",
        _said_open,
    ),
    Attack(
        "memory of all processes",
        """
        import os, time
        for _ in range(8):
            if os.fork() == 0:
                x = b"x" * (100 << 20); time.sleep(4); os._exit(0)
        time.sleep(4); print("open")
        """,
        _said_open,
    ),
    Attack(
        "one large file",
        """
        import os, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with open("large", "wb") as file: file.truncate(1 << 30)
        print("open")
        """,
        _said_open,
    ),
    Attack(
        "fill the disk",
        """
        import os, time
        block = os.urandom(1 << 20)
        for number in range(12):
            with open(f"part{number}", "wb") as file:
                for _ in range(200): file.write(block)
        time.sleep(20)
        """,
        _took_room,
        timeout_s=120.0,
    ),
    Attack(
        "very many files",
        """
        import os, time
        for number in range(130000):
            os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
        time.sleep(20)
        """,
        _took_room,
        timeout_s=120.0,
    ),
    Attack(
        "orphan outlives the command",
        """
        import os, sys
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                import ctypes, signal
                for n in range(1, 32):
                    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)
                os.execv(sys.executable, [sys.executable, "-I", "-c",
                         "import time; time.sleep(20)", "orphan-" + os.path.basename(os.getcwd())])
            os._exit(0)
        os.wait()
        """,
        _lives,
    ),
    Attack(
        "flood of output",
        "import sys\nfor _ in range(40): sys.stdout.write('x' * (1 << 20))",
        lambda finished, work: len(finished.stdout) > 10 << 20,
    ),
    Attack(
        "talk to an agent of the user",
        """
        import socket
        s = socket.socket(socket.AF_UNIX); s.connect("SOCKET"); s.sendall(b"x"); print("open")
        """,
        _said_open,
    ),
)
"""Those that take longer than a start-up probe may. All run in a work folder of their own."""


def attack(one: Attack, tier: str) -> str:
    """Run one attack in a tier and say what came of it."""
    if tier == UNSANDBOXED and one.name in _NEVER_LOOSE:
        return _loose(one)
    with tempfile.TemporaryDirectory(prefix="refinery-attack-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        work = base / "work"
        work.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(base / "agent.sock"))
            (base / "agent.sock").chmod(0o777)
            listener.listen()
            code = textwrap.dedent(one.code).replace("SOCKET", str(base / "agent.sock"))
            confinement = Confinement(
                work, (), {"PATH": "/usr/bin:/bin"}, None, None, one.timeout_s, one.memory_bytes
            )
            finished = sandbox.run([sys.executable, "-I", "-c", code], confinement, tier)
        return OPEN if one.got_out(finished, work) else HELD


_NEVER_LOOSE = (
    "fill the disk", "very many files", "memory of one process", "memory of all processes",
    "flood of output", "orphan outlives the command", "fork bomb",
)  # fmt: skip


def _loose(one: Attack) -> str:
    """The attack with plain `subprocess`: the tier `unsandboxed` still limits and sweeps."""
    with tempfile.TemporaryDirectory(prefix="refinery-attack-") as folder:
        work = Path(folder) / "work"
        work.mkdir()
        code = textwrap.dedent(one.code).replace("time.sleep(20)\n", "pass\n")
        done = subprocess.Popen(
            [sys.executable, "-I", "-c", code], cwd=work, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if one.name == "orphan outlives the command":
            done.wait()
            assert done.stdout is not None
            done.stdout.close()
            return OPEN if one.got_out(Finished(0, b"", b"", False, 0.0), work) else HELD
        said = done.communicate()[0]
        finished = Finished(done.returncode, said, b"", False, 0.0)
        return OPEN if one.got_out(finished, work) else HELD


SPOOF = '''
import gc, json, os, pathlib, re, select

def answer(question):
    """Looks for the nonce wherever it may be and writes results as if it were the harness."""
    work = pathlib.Path.cwd().parent
    found = set()
    for name, value in os.environ.items():
        found.add(value)
    for path in work.rglob("job*.json"):
        found.add(json.loads(path.read_text()).get("nonce"))
    for thing in gc.get_objects():
        if isinstance(thing, dict) and isinstance(thing.get("nonce"), str):
            found.add(thing["nonce"])
    if question == "2":
        select.select([], [], [], 1.0)  # the others are done, nothing writes over the fakes
    for nonce in found:
        if not re.fullmatch("[0-9a-f]{32}", str(nonce)):
            continue
        for index in range(3):
            fake = {"nonce": nonce, "status": "ok", "output": "SPOOFED", "error": None,
                    "steps": [], "refused": [], "checks": [{"check": "x", "held": True}]}
            target = work / "results" / f"{index}.json"
            if str(index) != question:
                target.write_text(json.dumps(fake))
    return "honest " + question
'''


def spoof(tier: str) -> str:
    """Whether a case writes the result, or the checks, of another one."""
    with tempfile.TemporaryDirectory(prefix="refinery-spoof-") as folder:
        root = make_repository(Path(folder) / "agent", {"agent.py": SPOOF})
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        tapes = tuple(_tape(root, str(index)) for index in range(3))
        agent = Agent(root, tier=tier, timeout_s=20)
        done = replay(Batch(agent, Code(head), tapes))
        outputs = [one.result.output for one in done]
        checks = [one.result.checks for one in done]
        spoofed = any("SPOOFED" in json.dumps(output) for output in outputs) or any(checks)
        ran = [output for output in outputs if output is not None]
        if not ran:
            return f"broken: {[one.result.error for one in done]}"
        # A result written over with a wrong nonce counts as none: that is an error, not a pass.
        return OPEN if spoofed else HELD


def _tape(root: Path, question: str) -> Tape:
    entry = {
        "kind": "callable", "target": "agent:answer", "argument": question,
        "repository": str(root),
    }  # fmt: skip
    run = Run(
        f"t{question}", f"t{question}", "agent", start_ns=1, end_ns=2,
        inputs={"input": question}, outputs={"output": "x"},
        metadata={"refinery": {"entry_point": entry}},
    )  # fmt: skip
    return Tape.from_trace(Trace(run.trace_id, (run,)))


def table() -> dict[str, dict[str, str]]:
    """What every escape came to in every tier, by escape and tier."""
    found: dict[str, dict[str, str]] = {}
    for tier in TIERS:
        report = probe(tier)
        for reason in report.missing:
            found.setdefault(f"(needs) {reason}", {})[tier] = "FAILS"
        if report.missing:
            continue
        for name in report.tried:
            found.setdefault(name, {})[tier] = OPEN if name in report.escaped else HELD
        for one in ATTACKS:
            try:
                found.setdefault(one.name, {})[tier] = attack(one, tier)
            except RefusedError as error:
                found.setdefault(one.name, {})[tier] = f"refused: {error}"[:40]
        found.setdefault(_SPOOF, {})[tier] = spoof(tier)
    return found


def controls() -> dict[str, str]:
    """What attempts come to where the defence against them is taken out: each must be open."""
    found: dict[str, str] = {}
    for tier in SANDBOXED:
        found[f"{_SPOOF}, one nonce for all ({tier})"] = spoof_with_one_nonce(tier)
        with mock.patch.object(launch, "FILES", 10**9):
            found[f"very many files, no limit ({tier})"] = attack(_named("very many files"), tier)
    found[f"orphan, no sweep ({KERNEL})"] = orphan_without_a_sweep()
    return found


def spoof_with_one_nonce(tier: str) -> str:
    """The spoof where every case is known by the same nonce."""
    with mock.patch("refinery.replay.runner.secrets.token_hex", lambda size: "0" * 2 * size):
        return spoof(tier)


def orphan_without_a_sweep() -> str:
    """The orphan in the tier `kernel` with a launcher that ends nobody but the command."""
    arranged = launch._arrange

    def unswept(*given: Any) -> tuple[dict[str, Any], list[str]]:
        config, words = arranged(*given)
        return {**config, "sweep": False}, words

    with mock.patch.object(launch, "_arrange", unswept):
        return attack(_named("orphan outlives the command"), KERNEL)


def _named(name: str) -> Attack:
    return next(one for one in ATTACKS if one.name == name)


def problems(found: dict[str, dict[str, str]]) -> list[str]:
    """What is wrong with a table; empty when all holds that should and every control is red."""
    wrong = []
    for name, row in found.items():
        wrong += [
            f"{tier}: {name} is {row.get(tier)}" for tier in SANDBOXED if row.get(tier) != HELD
        ]
        left = name in LEFT_TO_THE_CONTAINER
        if row.get(CONTAINER, HELD) != HELD and not left:
            wrong.append(f"{CONTAINER}: {name} is {row[CONTAINER]}")
        if row.get(UNSANDBOXED) != OPEN and name != _SPOOF:
            wrong.append(f"control: {name} is not open without a sandbox")
    return wrong


def main() -> int:
    """Print the table and what is wrong with it."""
    found = table()
    columns = "".join(f"{tier:>13}" for tier in TIERS)
    print(f"{'escape':40}{columns}")
    for name, row in found.items():
        cells = "".join(f"{row.get(tier, '-'):>13}" for tier in TIERS)
        print(f"{name[:39]:40}{cells}")
    without = controls()
    print("\nwith the defence taken out")
    for name, state in without.items():
        print(f"  {name:70} {state}")
    wrong = problems(found)
    wrong += [f"control: {name} is {state}" for name, state in without.items() if state != OPEN]
    print(f"\n{len(found)} escapes, {len(wrong)} problems")
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
