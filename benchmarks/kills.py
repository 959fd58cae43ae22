"""Random SIGKILLs while a change is applied, rolled back or made again: what is left behind?

    python -m benchmarks.kills [KILLS] [SEED] [BUSY]

(from the repository's root; 1,000 kills, seed 1 and no busy processes unless said)

One repository with staged, unstaged and untracked work of a person. Each round starts a change,
a roll-back or a redo in a process of its own and kills at a random moment, half the time just
behind the journal entry: the process alone, its process group, or it and every git it started.
Every fifth round the process that mends is killed as well. Then the next start mends, and this is
checked: commit, index and work tree hold the change whole or not at all, the person's work is
byte for byte there, `git fsck --full --strict` is clean, no lock and no file of ours is left, the
ledger tells the same story, what the next start says is true, and the person can add and commit.
Ends with 1 when a check failed, else with 0.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.model.patch import FileChange
from refinery.model.verdict import Change
from refinery.workflows import changes
from tests.kits.repositories import git, make_repository, write_files

SLOTS = 12
"""Places of a file that changes are made at, far enough apart to be independent."""
PATHS = ("agent.py", "sub/p.md")
OWN = {"other.txt": "my change\n", "untracked.txt": "mine\n", "staged.txt": "staged, then more\n"}
OWN_LINE = "my own line\n"
WAYS = ("process", "group", "with its git")
_TREE = {".git", ".refinery", "agent.py", "other.txt", "staged.txt", "sub", "u.txt"}


@dataclass
class Scene:
    """The repository and what ought to be in it."""

    folder: Path
    home: Path
    chance: random.Random
    usual_s: float = 0.3
    slots: dict[int, str] = field(default_factory=dict)
    """Change in force at each place."""
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What the process that is killed does."""

    name: str
    slots: dict[int, str]
    """What is in force once it is done."""
    do: Callable[[], object]


def text_of(slots: dict[int, str]) -> str:
    """The content of a file with those changes in force."""
    lines = []
    for slot in range(SLOTS):
        lines += [f"slot {slot} {slots.get(slot, 'as it was')}\n"]
        lines += [f"line {slot}.{number}\n" for number in range(4)]
    return "".join(lines)


def prepare(folder: Path, chance: random.Random) -> Scene:
    """A repository with a person's work in it."""
    begin = dict.fromkeys(PATHS, text_of({})) | {"other.txt": "x\n", "u.txt": "0\n"}
    make_repository(folder, begin)
    write_files(folder, {"staged.txt": "staged\n", ".git/info/exclude": ".refinery/\n"})
    git(folder, "add", "staged.txt")
    write_files(folder, OWN | {"agent.py": text_of({}) + OWN_LINE})
    return Scene(folder, folder / ".refinery", chance)


def choose(scene: Scene, number: int) -> Task:
    """A random change, roll-back or redo that nothing but a kill keeps from being done."""
    known = changes.history(scene.home)
    undone = [c for c in known if c.state == changes.ROLLED_BACK and _slot(c) not in scene.slots]
    free = [slot for slot in range(SLOTS) if slot not in scene.slots]
    kinds = [*["apply"] * bool(free), *["roll back"] * bool(scene.slots), *["redo"] * bool(undone)]
    kind = scene.chance.choice(kinds)
    if kind == "apply":
        slot = scene.chance.choice(free)
        after = scene.slots | {slot: f"version {number}"}
        return Task(kind, after, lambda: apply(scene, after, f"{slot} version {number}"))
    if kind == "roll back":
        slot = scene.chance.choice(sorted(scene.slots))
        named = _named(known, slot, scene.slots[slot])
        after = {k: v for k, v in scene.slots.items() if k != slot}
        return Task(kind, after, lambda: changes.rollback(_open(scene), scene.home, named))
    change = scene.chance.choice(undone)
    slot, _, version = change.title.partition(" ")
    after = scene.slots | {int(slot): version}
    return Task(kind, after, lambda: changes.redo(_open(scene), scene.home, change.change_id))


def _slot(change: Change) -> int:
    return int(change.title.partition(" ")[0])


def _named(known: list[Change], slot: int, version: str) -> str:
    return next(c.change_id for c in known if c.title == f"{slot} {version}")


def _open(scene: Scene) -> Repository:
    return Repository.open(scene.folder)


def apply(scene: Scene, after: dict[int, str], title: str) -> None:
    """Commit the change that brings the files to a state."""
    repository = _open(scene)
    files = [FileChange(p, repository.read(p), text_of(after).encode()) for p in PATHS]
    patch = build((), files, repository.head_commit())
    changes.commit_change(
        repository, patch, trace_id="trace", title=title, body="why", home=scene.home
    )


def start(do: Callable[[], object]) -> int:
    """Do something in a child that leads a process group; returns its id."""
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        do()
    os._exit(0)


def kill_at_random(scene: Scene, child: int) -> bool:
    """Kill the child at a random moment; whether it still lived."""
    chance = scene.chance
    until = time.monotonic() + chance.uniform(0, scene.usual_s)
    if chance.random() < 0.5:
        limit = time.monotonic() + 5
        journal = scene.home / "journal"
        while not list(journal.glob("apply-*/entry.json")) and time.monotonic() < limit:
            if has_ended(child):
                break
        until = time.monotonic() + chance.uniform(0, 0.05)
    time.sleep(max(0.0, until - time.monotonic()))
    lived = not has_ended(child)
    way = chance.choice(WAYS)
    targets = [child, *_children(child)] if way == "with its git" else [child]
    for target in targets:
        with contextlib.suppress(ProcessLookupError):
            if way == "group":
                os.killpg(target, signal.SIGKILL)
            else:
                os.kill(target, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return lived


def has_ended(child: int) -> bool:
    """Whether a child has ended; it stays to be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        listed = Path(f"/proc/{process}/task/{process}/children").read_text()
        return [int(word) for word in listed.split()]
    return []


def check(scene: Scene, task: Task, said: list[str]) -> None:
    """Find out which of the two states holds, and that nothing else does.

    Raises:
        AssertionError: something is neither before nor whole.
    """
    folder, head = scene.folder, git(scene.folder, "show", "HEAD:agent.py")
    states = {text_of(scene.slots): scene.slots, text_of(task.slots): task.slots}
    assert head in states, f"HEAD is neither: {said}"
    is_whole = states[head] is task.slots
    for path in PATHS:
        assert git(folder, "show", f"HEAD:{path}") == head, f"HEAD:{path} differs: {said}"
        assert git(folder, "show", f":{path}") == head, f"the index of {path} differs: {said}"
    assert (folder / "agent.py").read_text() == head + OWN_LINE, f"agent.py differs: {said}"
    assert (folder / "sub/p.md").read_text() == head, f"sub/p.md differs: {said}"
    for name, text in OWN.items():
        assert (folder / name).read_text() == text, f"{name} differs"
    assert git(folder, "show", ":staged.txt") == "staged\n", "staged.txt differs"
    assert {path.name for path in folder.iterdir()} == _TREE | {"untracked.txt"}
    assert [path.name for path in (folder / "sub").iterdir()] == ["p.md"]
    locks = [*(folder / ".git").rglob("*.lock"), *(folder / ".git").glob("refinery-*")]
    assert not locks, f"left {locks}: {said}"
    assert not list((scene.home / "journal").glob("apply-*")), "an entry is left"
    git(folder, "fsck", "--full", "--strict")
    _check_story(scene, task, said, is_whole=is_whole)
    scene.counts["whole" if is_whole else "before"] += 1
    scene.slots = states[head]


def _check_story(scene: Scene, task: Task, said: list[str], *, is_whole: bool) -> None:
    """The ledger and what was said agree with the repository."""
    state = changes.APPLIED
    known = {c.title for c in changes.history(scene.home) if c.state == state}
    now = task.slots if is_whole else scene.slots
    assert known == {f"{slot} {version}" for slot, version in now.items()}, f"ledger: {said}"
    told = " ".join(said)
    if "stopped before it was made" in told or "never committed" in told or "not happen" in told:
        assert not is_whole, f"said it was not made: {said}"
        scene.counts["said: as before"] += 1
    elif "the ledger says so now" in told or "stopped halfway" in told:
        assert is_whole, f"said it was made: {said}"
        scene.counts["said: whole"] += 1
    scene.counts["said something"] += bool(said)


def one_round(scene: Scene, number: int) -> None:
    """Start, kill, mend, check, and let the person go on."""
    task = choose(scene, number)
    scene.counts[task.name] += 1
    scene.counts["killed while it ran"] += kill_at_random(scene, start(task.do))
    is_open = _open_entries(scene)
    if scene.chance.random() < 0.2:
        mend = start(lambda: changes.recover(_open(scene), scene.home))
        scene.counts["killed while mending"] += kill_at_random(scene, mend)
        is_open = _open_entries(scene)
    said = changes.recover(_open(scene), scene.home)
    assert said or not is_open, "nothing was said of what was left"
    check(scene, task, said)
    write_files(scene.folder, {"u.txt": f"{number}\n"})
    git(scene.folder, "add", "u.txt")
    git(scene.folder, "commit", "-q", "-m", f"user {number}", "--", "u.txt")


def _open_entries(scene: Scene) -> bool:
    """Whether the journal or the ledger has something to be mended."""
    if list((scene.home / "journal").glob("apply-*/entry.json")):
        return True
    ledger = scene.home / "ledger.jsonl"
    last = ledger.read_bytes().splitlines()[-1] if ledger.exists() else b""
    return any(f'"kind":"{kind}"'.encode() in last for kind in changes.BEGUN)


def run(folder: Path, kills: int, seed: int = 1) -> Scene:
    """Kill so many times in a fresh repository; what was counted and what failed."""
    scene = prepare(folder / "repo", random.Random(seed))
    began = time.monotonic()
    os.waitpid(start(lambda: apply(scene, {0: "version 0"}, "0 version 0")), 0)
    scene.usual_s = time.monotonic() - began
    scene.slots = {0: "version 0"}
    for number in range(1, kills + 1):
        try:
            one_round(scene, number)
        except (AssertionError, OSError) as error:
            scene.failures.append(f"kill {number}: {error}")
            break  # what follows in a broken repository tells nothing
    return scene


def main(kills: int = 1000, seed: int = 1, busy: int = 0) -> int:
    """Run in repositories of at most 100 kills each, and print what was counted."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    counts: Counter[str] = Counter()
    failures: list[str] = []
    began = time.monotonic()
    try:
        for first in range(0, kills, 100):
            with tempfile.TemporaryDirectory(prefix="kills-") as folder:
                scene = run(Path(folder), min(100, kills - first), seed + first)
                counts += scene.counts
                failures += [f"seed {seed + first}, {failure}" for failure in scene.failures]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    done = counts["before"] + counts["whole"]
    print(f"kills {done}, seed {seed}, {busy} busy processes, {time.monotonic() - began:.0f} s")
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count}")
    print(f"failed checks: {len(failures)} (0 of {done} means below {3 / max(1, done):.1%})")
    for failure in failures:
        print(f"  {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
