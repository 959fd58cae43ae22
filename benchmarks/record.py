"""What recording costs, beside OpenTelemetry, LangSmith, Langfuse and MLflow, on this machine.

    python -m benchmarks.record --peers-venv DIR [--runs 3]

The peers are installed into the environment `DIR`, which is made when it is missing; each
recorder runs in a process of its own, in turn, and sends to a stub in yet another. Prints the
median over the turns: µs a run on the caller's path, processor time a run, bytes a run, runs lost
in a burst of 20,000 at default settings, and µs added to a LangChain chain; beside each the ratio
to OpenTelemetry's. Peers that cannot be installed are said. Decides nothing.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.recording.workload import BURST, RUNS, WARM_UP
from refinery.recorders.spool_file import Reader, spool_files

ROOT = Path(__file__).resolve().parents[1]
PEERS = {
    "opentelemetry": (
        "otlp",
        ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "orjson"],
    ),
    "langsmith": ("langsmith_traceable", ["langsmith", "langchain-core"]),
    "langfuse": ("langfuse_span", ["langfuse", "langchain"]),
    "mlflow": ("mlflow_span", ["mlflow-skinny", "sqlalchemy", "alembic"]),
    "openinference": (None, ["openinference-instrumentation-langchain"]),
}
CHAIN = "langchain_chain"


def installed(folder: Path) -> tuple[str, list[str]]:
    """The interpreter of the peers' environment, and the peers that are in it."""
    python = str(folder / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    found = []
    for name, (_, packages) in PEERS.items():
        command = [python, "-m", "pip", "install", "-q", *packages]
        if (uv := Path(sys.executable).with_name("uv")).exists():
            command = [str(uv), "pip", "install", "-q", "--python", python, *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found.append(name)
        else:
            print(f"{name} cannot be installed: {done.stderr.strip()[-200:]}")
    return python, found


@contextlib.contextmanager
def stub(python: str) -> Iterator[str]:
    """Address of a collector in a process of its own."""
    command = [python, "-m", "benchmarks.recording.stub"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
    finally:
        child.terminate()
        child.wait()


def counted(address: str) -> dict[str, int]:
    """What the stub has been sent since it was last asked."""
    with urllib.request.urlopen(f"http://{address}/counted") as answer:
        told: dict[str, int] = json.load(answer)
    return told


def run(python: str, module: str, address: str, *arguments: str) -> tuple[Any, Path]:
    """Run a recorder's file; what it printed, and the folder it may have written to."""
    folder = Path(tempfile.mkdtemp(prefix="refinery-bench-"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STUB": address,
        "FOLDER": str(folder),
        "REFINERY_SPOOL": str(folder / "spool"),
    }
    done = subprocess.run(
        [python, "-m", f"benchmarks.recording.{module}", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        print(f"{module} failed: {done.stderr.strip()[-300:]}")
        return None, folder
    last = done.stdout.strip().splitlines()[-1:]
    return (json.loads(last[0]) if last else {}), folder


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def spooled(folder: Path) -> int:
    """Runs that ended in the spool of a folder."""
    ended = set()
    for path in spool_files(folder / "spool"):
        with path.open("rb") as file:
            for view in Reader(file, path.name, is_finished=True).views():
                if view and view["run"].get("end_ns"):
                    ended.add(view["run"]["run_id"])
    return len(ended)


def measured(name: str, python: str, module: str, address: str) -> dict[str, float]:
    """One turn of one recorder."""
    counted(address)
    told, folder = run(python, module, address)
    if told is None:
        return {}
    row = {f"{load} {what}": value for load, of in told.items() for what, value in of.items()}
    reached, given = counted(address), 2 * (RUNS + WARM_UP)
    sent = reached["bytes"] or size(folder / "spool" if name == "refinery" else folder)
    row["bytes"] = sent / given if name != "mlflow" else 0.0
    if name in ("refinery", "opentelemetry"):
        lost = given - (spooled(folder) if name == "refinery" else reached["runs"])
        row["tight lost"] = float(lost)
        # Nothing is lost with pauses, so what is missing was not worked on in the tight loop.
        row["tight cpu of a kept run"] = row["tight cpu"] * RUNS / max(1, RUNS - lost)
        row["bytes"] = sent / max(1, given - lost)
        _, folder = run(python, module, address, "burst")
        kept = spooled(folder) if name == "refinery" else counted(address)["runs"]
        row["burst lost"] = float(BURST - kept)
    return row


def table(rows: dict[str, list[dict[str, float]]]) -> None:
    """Medians, and their ratio to OpenTelemetry's."""
    base = _medians(rows.get("opentelemetry", []))
    for name, turns in rows.items():
        print(name)
        for what, value in _medians(turns).items():
            ratio = f"{value / base[what]:6.2f} x" if base.get(what) else ""
            print(f"  {what:24} {value:10.1f} {ratio}")


def _medians(turns: list[dict[str, float]]) -> dict[str, float]:
    names = [name for turn in turns for name in turn]
    return {
        name: statistics.median(turn[name] for turn in turns if name in turn)
        for name in dict.fromkeys(names)
    }


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers-venv", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    peers_python, peers = installed(asked.peers_venv.absolute())
    recorders = {"no recording": (sys.executable, "nothing")}
    recorders["refinery"] = (sys.executable, "refinery_book")
    for name in peers:
        if module := PEERS[name][0]:
            recorders[name] = (peers_python, module)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in recorders}
    chains: dict[str, list[dict[str, float]]] = {}
    with stub(sys.executable) as address:
        for _ in range(asked.runs):
            for name, (python, module) in recorders.items():
                rows[name].append(measured(name, python, module, address))
            for name in ("refinery", "empty handler", "langsmith", "langfuse", "openinference"):
                python = sys.executable if name in ("refinery", "empty handler") else peers_python
                if name in (*peers, "refinery", "empty handler"):
                    told, _ = run(python, CHAIN, address, name)
                    chains.setdefault(name, []).extend([told] if told else [])
    print("µs a run on the caller's path and of processor time; bytes a run; runs lost in a burst")
    table(rows)
    print("LangChain chain of four runs: its own p50 and what a recorder adds, µs")
    for name, turns in chains.items():
        told = _medians(turns)
        if told:
            print(f"  {name:14} {told['plain']:8.0f} + {told['added']:8.0f}")


if __name__ == "__main__":
    main()
