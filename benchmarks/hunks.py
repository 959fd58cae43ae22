"""Does a patch of several hunks come out with those that matter?

    python -m benchmarks.hunks [PATCHES] [SEED]

Each patch of a small recorded agent has three to eight hunks: one, or two that need each other,
take the seeded fault out; the others change names, words and limits that play no part. Each patch
is tried as `refinery fix` does and then made small. Printed are the hunks before and after, which
of them mattered, and how many parts were tried.
"""

import random
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.codebase.patches import build
from refinery.detectors import observe
from refinery.model.patch import FileChange, Patch
from refinery.replay.cases import Case, TrialRequest
from refinery.replay.checks import parse
from refinery.replay.hunks import split
from refinery.replay.minimise import minimise
from refinery.replay.program import Agent
from refinery.replay.trial import baseline, run_trial
from refinery.safety import sandbox
from tests.kits.repositories import git, make_repository
from tests.replay import kit

AGENT = '''"""Answers from notes."""

LIMIT = 20

NOTES = [("2022", "14 days"), ("2025", "30 days")]

GREETING = "Dear customer"


def greeting():
    return GREETING


def newest(notes):
    return notes[0]


def limit():
    return LIMIT


def note_of(question):
    found = newest(NOTES)
    return found[1]


def shortened(text):
    return text[: limit()]


def title():
    return "Returns"


def answer(question):
    return {"answer": shortened(note_of(question)), "title": title()}
'''
ONE = [("    return notes[0]", "    return max(notes)")]
TWO = [
    ("    found = newest(NOTES)", "    found = latest(NOTES)"),
    (
        "def limit():\n    return LIMIT\n",
        "def limit():\n    return LIMIT\n\n\ndef latest(notes):\n    return max(notes)\n",
    ),
]
IDLE = [
    ('"""Answers from notes."""', '"""Answers questions from notes."""'),
    ("LIMIT = 20", "LIMIT = 40"),
    ('GREETING = "Dear customer"', 'GREETING = "Hello"'),
    ("    return GREETING", "    return GREETING.strip()"),
    ("    return text[: limit()]", "    return text.strip()[: limit()]"),
    ('    return "Returns"', '    return "Return policy"'),
]


@dataclass(frozen=True)
class Outcome:
    """One patch made small."""

    before: int
    after: int
    needed: int
    parts_tried: int
    is_right: bool


def patched(base: str, chance: random.Random, *, most: int = 6) -> tuple[Patch, str, int]:
    """A patch, the smallest file that fixes the agent, and how many hunks that needs."""
    needed = chance.choice([ONE, ONE, TWO])
    idle = chance.sample(IDLE, chance.randint(max(1, 3 - len(needed)), min(most, len(IDLE))))
    whole = smallest = AGENT
    for old, new in needed:
        smallest = smallest.replace(old, new)
    for old, new in [*needed, *idle]:
        whole = whole.replace(old, new)
    change = FileChange("app.py", AGENT.encode(), whole.encode())
    return build((), (change,), base), smallest, len(needed)


def request_of(folder: Path) -> TrialRequest:
    """The agent, recorded as it fails."""
    root = make_repository(folder / "agent", {"app.py": AGENT})
    (bad,) = kit.record(root, "app:answer", ["How long?"], {}, folder / "spool")
    return TrialRequest(
        hypothesis_id="H1",
        patch=None,
        failing=(Case(bad, (parse("contains@answer:30 days"),)),),
        controls=(),
        agent=Agent(root, tier=sandbox.strongest(allow_unsandboxed=True)),
        base_commit=git(root, "rev-parse", "HEAD").strip(),
        observe=observe,
        touched=("app.py",),
    )


def main(patches: int, seed: int) -> int:
    """Run the benchmark; returns 1 when a patch is not as small as it can be."""
    chance = random.Random(seed)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        shared = request_of(Path(folder))
        base = baseline(shared)
        for number in range(patches):
            patch, smallest, needed = patched(shared.base_commit, chance)
            request = replace(shared, hypothesis_id=f"H{number}", patch=patch)
            trial = run_trial(request, base)
            left = minimise(request, trial, base, lambda _: True)
            is_right = left.patch.changes[0].after == smallest.encode()
            tried = int(str(left.trial.facts["minimal"]["parts_tried"]))  # type: ignore[index,call-overload]
            one = Outcome(len(split(patch)), len(left.kept), needed, tried, is_right)
            found.append(one)
            kept = ", ".join(map(str, left.kept))
            print(
                f"{trial.verdict.value}: {one.before} hunks -> {one.after} ({kept}), "
                f"{needed} mattered, {tried} parts tried, {'right' if is_right else 'WRONG'}",
                flush=True,
            )
    right = sum(one.is_right for one in found)
    print(f"\n{right} of {len(found)} patches came out with exactly what mattered")
    return int(right < len(found))


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    raise SystemExit(main(*(given + [20, 7][len(given) :])))
