"""Time of `refinery --help` beside `llm --help`, in alternating runs on this machine.

Both start in the interpreter that runs this file, with their bytecode cached; `llm` is installed
into a folder of its own when it is missing. Prints medians and their ratio; decides nothing.

    python benchmarks/startup.py [--runs 9]
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = {
    "refinery --help": "from refinery.cli.main import main; main()",
    "llm --help": "from llm.cli import cli; cli(prog_name='llm')",
}


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


def install_llm(folder: Path) -> bool:
    """Install `llm` into a folder when it cannot be imported; whether it is there now."""
    if importlib.util.find_spec("llm"):
        return True
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "llm"]
    return subprocess.run(command).returncode == 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Start of refinery beside llm.")
    parser.add_argument("--runs", type=int, default=9, help="runs of each, at least 5")
    runs = max(5, parser.parse_args().runs)
    with tempfile.TemporaryDirectory() as folder:
        if not install_llm(Path(folder)):
            print("llm cannot be installed here; nothing to compare with")
            return
        here = str(Path(__file__).parents[1])
        paths = {"refinery --help": here, "llm --help": folder}
        for name, program in PROGRAMS.items():
            time_s(program, name.split()[0], paths[name])  # writes the bytecode
        seen: dict[str, list[float]] = {name: [] for name in PROGRAMS}
        for _ in range(runs):
            for name, program in PROGRAMS.items():
                seen[name].append(time_s(program, name.split()[0], paths[name]))
    medians = {name: statistics.median(times) for name, times in seen.items()}
    for name, median in medians.items():
        spread = f"{min(seen[name]) * 1000:.0f}-{max(seen[name]) * 1000:.0f}"
        print(f"{name:<16} median {median * 1000:4.0f} ms  ({spread} ms, {runs} runs)")
    ratio = medians["refinery --help"] / medians["llm --help"]
    print(f"ratio            {ratio:.2f}  (the promise is 0.25 or less)")


if __name__ == "__main__":
    main()
