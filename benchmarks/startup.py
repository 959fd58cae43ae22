"""Time of `refinery --help` beside other command lines, in alternating runs on this machine.

All start in the interpreter that runs this file, with their bytecode cached; each peer is
installed into a folder of its own. Prints medians and their ratios; decides nothing.

    python benchmarks/startup.py [--runs 9] [--peers llm,mlflow,inspect] [--keep DIR]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REFINERY = "refinery"
PROGRAMS = {
    REFINERY: "from refinery.cli.main import main; main()",
    "llm": "from llm.cli import cli; cli(prog_name='llm')",
    "mlflow": "from mlflow.cli import cli; cli(prog_name='mlflow')",
    "inspect": "from inspect_ai._cli.main import main; main()",
}
DISTRIBUTIONS = {"llm": "llm", "mlflow": "mlflow", "inspect": "inspect-ai"}
PROMISED = {"llm": " (the promise is 0.25 or less)"}


def time_s(program: str, name: str, path: str) -> float:
    """Wall seconds of one start with `--help`."""
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = f"import sys; sys.argv = [{name!r}, '--help']\n{program}"
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def install(peer: str, folder: Path) -> bool:
    """Install a peer into a folder unless it is there; whether it is there now."""
    if folder.is_dir():
        return True
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    installer = (
        [uv, "pip", "install", "--python", sys.executable]
        if uv
        else [*(sys.executable, "-m", "pip", "install")]
    )
    command = [*installer, "--quiet", "--target", str(folder), DISTRIBUTIONS[peer]]
    return subprocess.run(command).returncode == 0


def measure(paths: dict[str, str], runs: int) -> dict[str, list[float]]:
    """Seconds of each program's starts, in alternating turns."""
    for name, path in paths.items():
        time_s(PROGRAMS[name], name, path)  # writes the bytecode
    seen: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(runs):
        for name, path in paths.items():
            seen[name].append(time_s(PROGRAMS[name], name, path))
    return seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Start of refinery beside others.")
    parser.add_argument("--runs", type=int, default=9, help="runs of each, at least 5")
    parser.add_argument("--peers", default="llm", help="some of llm, mlflow, inspect")
    parser.add_argument("--keep", type=Path, help="folder the peers are installed in, and stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        paths = {REFINERY: str(Path(__file__).parents[1])}
        for peer in asked.peers.split(","):
            if install(peer, folder / peer):
                paths[peer] = str(folder / peer)
            else:
                print(f"{peer} cannot be installed here")
        seen = measure(paths, max(5, asked.runs))
    medians = {name: statistics.median(times) for name, times in seen.items()}
    for name, median in medians.items():
        spread = f"{min(seen[name]) * 1000:.0f}-{max(seen[name]) * 1000:.0f}"
        told = f"{name} --help"
        print(f"{told:<16} median {median * 1000:4.0f} ms  ({spread} ms, {len(seen[name])} runs)")
    for peer in list(medians)[1:]:
        ratio = medians[REFINERY] / medians[peer]
        print(f"beside {peer:<9} {ratio:.2f}{PROMISED.get(peer, '')}")


if __name__ == "__main__":
    main()
