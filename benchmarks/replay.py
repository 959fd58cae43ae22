"""Agents of different shape, recorded with a random model and replayed from their tapes.

    python -m benchmarks.replay [SEED] [INPUTS] [NAME ...]

Each agent of `replayed_agents` becomes a git repository, is recorded with a model at temperature
above 0 that answers at random and sometimes refuses, and is then replayed with that model gone.
Counted are the steps by how they were answered, and whether result and order are as recorded.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.replayed_agents.model import RandomModel
from refinery.model.trace import Trace
from refinery.model.verdict import Fidelity
from refinery.workflows import wiring
from refinery.workflows.record import record_inputs
from refinery.workflows.replay import ReplayOutcome, replay_trace
from tests.kits.repositories import make_repository

AGENTS = Path(__file__).parent / "replayed_agents"
NAMES = tuple(sorted(path.parent.name for path in AGENTS.glob("*/agent.py")))
SETTINGS = '[agent]\nentrypoint = "agent:answer"\n'
QUESTIONS = ("What is new?", "Again, please.", "And now?", "Why?", "How much?")
TRUE = frozenset({Fidelity.EXACT, Fidelity.NORMALISED})


@dataclass(frozen=True)
class Row:
    """One recorded run of an agent, and its replay."""

    name: str
    trace: Trace
    outcome: ReplayOutcome

    @property
    def counts(self) -> Counter[str]:
        """Steps by how they were answered."""
        return Counter(step.fidelity.value for step in self.outcome.result.steps)

    @property
    def is_exact(self) -> bool:
        """Whether every step was true to the recording, and the result the same."""
        steps = self.outcome.result.steps
        return self.outcome.is_same and all(step.fidelity in TRUE for step in steps)


def replayed(name: str, seed: int, inputs: int, folder: Path) -> Iterator[Row]:
    """Record an agent with `inputs` questions and replay each of its traces."""
    files = {
        path.relative_to(AGENTS / name).as_posix(): path.read_text()
        for path in (AGENTS / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    root = make_repository(folder / name, {**files, "refinery.toml": SETTINGS})
    workspace = wiring.open_workspace(root)
    try:
        with RandomModel(seed) as model, _asking(model.url):
            asked = [{"question": QUESTIONS[n % len(QUESTIONS)]} for n in range(inputs)]
            done = record_inputs(workspace, asked, root)
        with _in_folder(root):
            for one in done:
                trace = workspace.store.get_trace(one.trace_id or "")
                assert trace is not None, f"{name} was not recorded"
                yield Row(name, trace, replay_trace(workspace, trace))
    finally:
        workspace.store.close()


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """Both vendors' variables lead to a model."""
    ours = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "none",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "none",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> int:
    """Print one line a recorded run; the exit code is 1 when one was not exact."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    inputs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    print(f"seed {seed}, {inputs} runs of each agent")
    print(f"{'agent':18}{'runs':>6}{'steps':>7}{'exact':>7}{'norm.':>7}{'other':>7}  result")
    failed = total = 0
    with tempfile.TemporaryDirectory(prefix="refinery-bench-") as folder:
        for name in sys.argv[3:] or NAMES:
            for row in replayed(name, seed, inputs, Path(folder)):
                total += 1
                failed += not row.is_exact
                counts = row.counts
                other = sum(counts.values()) - counts["exact"] - counts["normalised"]
                print(
                    f"{row.name:18}{len(row.trace.runs):6}{sum(counts.values()):7}"
                    f"{counts['exact']:7}{counts['normalised']:7}{other:7}  "
                    + str(row.outcome.divergence or "same")[:300],
                    flush=True,
                )
                for step in row.outcome.result.steps:
                    if step.fidelity not in TRUE:
                        print(f"    {step.kind} {step.name}: {step.fidelity} {step.detail}"[:300])
    print(f"{total - failed} of {total} replays exact")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
