"""Plays domain experts at real terminals: do they get from a wrong answer to a proven fix, alone?

    python -m benchmarks.guide_sessions [--only NAME …] [--cuts NAME] [--ways kill …] [--json]

Each agent is recorded against its scripted model and nothing is labelled. An expert then sits at a
pseudo-terminal (80 columns), uses plain words only, approves the proven fix and takes it out
again. Counted are sessions that reach a commit, transcripts with a word of the list of jargon, and
undos after which the agent's files are as before.

`--cuts` ends the session of one agent at every prompt in turn, by closing the terminal, by Ctrl-C
and by killing the process, goes on in a new terminal, and compares how it ends: the files of the
fix, the number of commits, and what is kept as right.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._expert import Cut, Expert, Seen, jargon_in
from benchmarks.agents._model import Model, serve
from benchmarks.fixture_fixes import AGENTS, _environment, _repository, read
from refinery.workflows import check_book, record
from refinery.workflows.wiring import open_workspace

WAYS = ("terminal", "ctrl-c", "kill")
_USUAL = {
    "mark": "last",
    "confirm": "yes",
    "scope": "only when this very question is asked",
    "similar": "yes",
    "cause": "yes",
    "fix": "1",
    "proof": "approve",
    "undo_pick": "1",
    "undo_confirm": "yes",
}
EXPERTS = {
    "stamp_prices": {
        "pick": "Blue Heron|1",
        "wrong": "Something is missing from it",
        "right": "It must say 45 crowns",
    },
    "hotel_board": {
        "pick": "massage|1",
        "wrong": "It says something that is not true",
        "right": "A massage takes fifty minutes",
    },
    "library_fines": {
        "pick": "R-200|1",
        "wrong": "The agent broke off",
        "right": "any answer",
        "scope": "always",
    },
    "vet_clinic": {
        "pick": "appointment|1",
        "wrong": "It says something it must not say",
        "right": "it must not say “I have cancelled”",
        "scope": "always",
    },
    "seed_catalogue": {
        "pick": "tomato|1",
        "wrong": "the month is not there",
        "right": "in March",
    },
    "chess_club": {
        "pick": "favourite|1",
        "wrong": "It says something that is not true",
        "right": "the Caro-Kann",
    },
}
"""What an expert types, by agent."""


@dataclass(frozen=True, slots=True)
class Told:
    """How one expert fared."""

    agent: str
    is_fixed: bool
    is_undone: bool
    jargon: list[str]
    prompts: int
    seconds: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CutTold:
    """How a session that was cut off ended."""

    page: str
    number: int
    """How often the page had been asked."""
    how: str
    is_same: bool
    ending: str


@contextmanager
def recorded(name: str, folder: Path) -> Iterator[Path]:
    """The repository of a fixture agent, recorded and not labelled, while its model is served."""
    fixture = read(AGENTS / name)
    root = _repository(fixture, folder)
    with serve(Model.read(AGENTS / name / "model.json")) as address, _environment(address):
        given = [one.input for one in fixture.inputs if one.group != "held_out"]
        record.record_inputs(open_workspace(root), given, root)
        yield root


def expert(name: str, root: Path) -> Expert:
    """The expert of an agent, in its repository."""
    return Expert(root, {**_USUAL, **EXPERTS[name]})


def play(name: str, folder: Path) -> Told:
    """One expert: from the conversation to the fix, and back."""
    started = time.monotonic()
    with recorded(name, folder) as root:
        before = git(root, "rev-parse", "HEAD^{tree}")
        try:
            seen = expert(name, root).sit()
            undone = expert(name, root).sit("--undo", EXPERTS[name]["pick"].partition("|")[0])
        except AssertionError as error:
            return Told(name, False, False, [], 0, time.monotonic() - started, str(error)[-600:])
        commits = int(git(root, "rev-list", "--count", "HEAD"))
        is_fixed = seen.exit_code == 0 and commits >= 2
        is_undone = undone.exit_code == 0 and git(root, "rev-parse", "HEAD^{tree}") == before
        return Told(
            agent=name,
            is_fixed=is_fixed,
            is_undone=is_undone and is_fixed,
            jargon=jargon_in(seen.transcript + undone.transcript),
            prompts=len(seen.asked),
            seconds=round(time.monotonic() - started, 1),
            problem="" if is_fixed else seen.transcript[-600:],
        )


def cuts(name: str, folder: Path, ways: tuple[str, ...] = WAYS) -> list[CutTold]:
    """Cut a session off at every prompt in turn, each way, and let it go on."""
    found = []
    with recorded(name, folder / "first") as root:
        whole = folder / "whole"
        shutil.copytree(root, whole, symlinks=True)
        seen = expert(name, whole).sit()
        wanted = ending(whole)
        for how in ways:
            for number, page in enumerate(seen.asked):
                copy = folder / f"{how}-{number}"
                shutil.copytree(root, copy, symlinks=True)
                times = seen.asked[: number + 1].count(page)
                again = cut_and_go_on(expert(name, copy), Cut(page, how, times))
                is_same = ending(copy) == wanted and again.exit_code == 0
                found.append(CutTold(page, times, how, is_same, ending(copy)))
                print(f"{how} at {page}: {'same' if is_same else 'DIFFERENT'}", file=sys.stderr)
                shutil.rmtree(copy)
    return found


def cut_and_go_on(who: Expert, cut: Cut) -> Seen:
    """A session that is cut off and goes on in a new terminal."""
    who.sit(cut=cut)
    return who.sit()


def ending(root: Path) -> str:
    """How a session left the repository and what is kept as right."""
    tree = git(root, "rev-parse", "HEAD^{tree}")
    commits = git(root, "rev-list", "--count", "HEAD")
    kept = check_book.entries(root / ".refinery")
    right = sorted(
        (*entry.checks, entry.scope, str(entry.change_id is not None)) for entry in kept
    )
    return f"{tree} {commits} {right}"


def git(root: Path, *arguments: str) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main() -> None:
    """Play the sessions and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(EXPERTS), metavar="NAME")
    parser.add_argument("--cuts", metavar="NAME", help="cut this agent's session at every prompt")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    told: list[Told] = []
    cut: list[CutTold] = []
    with tempfile.TemporaryDirectory(prefix="experts-") as folder:
        for name in chosen.only:
            told.append(play(name, Path(folder) / name))
            print(f"{name}: {told[-1]}"[:400], file=sys.stderr, flush=True)
        if chosen.cuts:
            cut = cuts(chosen.cuts, Path(folder) / "cuts", tuple(chosen.ways))
    if chosen.json:
        print(
            json.dumps({"sessions": [asdict(t) for t in told], "cuts": [asdict(c) for c in cut]})
        )
        return
    for one in told:
        said = "fixed and undone" if one.is_undone else "fixed" if one.is_fixed else "not fixed"
        print(f"{one.agent:18}{said:18}{one.prompts:3} prompts {one.seconds:6.0f} s {one.jargon}")
        if one.problem:
            print(one.problem)
    for how in dict.fromkeys(one.how for one in cut):
        own = [one for one in cut if one.how == how]
        bad = [f"{one.page} {one.number}" for one in own if not one.is_same]
        print(f"cut by {how:10}{sum(o.is_same for o in own):3} of {len(own)} end the same {bad}")


if __name__ == "__main__":
    main()
