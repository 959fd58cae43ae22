"""Random edits after a fix, then a roll-back: is the fix gone, is every line of a person kept?

    python -m benchmarks.rollback [SEQUENCES] [SEED]

(from the repository's root; 1,000 sequences and seed 1 unless said)

Each sequence commits a fix to one function of a three-file repository, lets a "person" make one
to eight random edits, committed or not (comments, statements in the same function, arguments of
the same call, names changed throughout, functions and lines moved, the file put through an
autoformatter or given CRLF line ends, other files, and rarely words of the fix itself), rolls the
fix back and does it again.

The oracle: the same edits made to the file that never had the fix. After the roll-back the file
has to be that, byte for byte, or (after a formatter, which lays out shorter code otherwise) the
same program with the same words. Ends with 1 when a word of the person was lost, one of the fix
left, or another file changed, else with 0.
"""

import ast
import hashlib
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import ConflictError, RefusedError
from refinery.model.patch import FileChange
from refinery.workflows import changes
from tests.kits.repositories import commit_all, git, make_repository

AGENT = '''"""An agent."""

from chat import Chat

LIMIT = 3


def ask(question):
    documents = search(question, k=LIMIT)
    model = Chat("small")
    prompt = "Answer: " + question
    return model.run(prompt, documents)


def search(text, k):
    words = text.split()
    return sorted(words)[:k]
'''
FIX = (
    ('Chat("small")', 'Chat("small", max_tokens=500)'),
    ('"Answer: "', '"Answer from the newest document: "'),
    ("    return model.run", "    documents.reverse()\n    return model.run"),
)
FIX_WORDS = ("max_tokens=500", "newest document", "documents.reverse()")
FILES = {"agent.py": AGENT, "chat.py": "class Chat: ...\n", "prompts.yaml": "system: be brief\n"}
ANCHORS = ("import Chat", "LIMIT = ", "def ask", "search(", "Chat(", "prompt =", "return", "split")
NAMES = ("question", "model", "prompt", "documents", "words", "text")
OVERWRITTEN = (("max_tokens=500", "max_tokens=900"), ("newest document", "latest page"))
_WORD = re.compile(rb"\w+")

Edit = Callable[[str], str]


@dataclass
class Figures:
    """What was counted."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def comment(mark: str, chance: random.Random) -> Edit:
    """A comment behind a line."""
    anchor = chance.choice(ANCHORS)
    return lambda text: _at(text, anchor, lambda line: [f"{line}  # {mark}"])


def statement(mark: str, chance: random.Random) -> Edit:
    """A statement before a line of a function."""
    anchor = chance.choice(("search(question", "Chat(", "prompt =", "split", "return sorted"))
    return lambda text: _at(text, anchor, lambda line: [f"    {mark} = 1", line])


def first_argument(mark: str, chance: random.Random) -> Edit:
    """An argument right behind the first one of the call the fix changed."""
    del chance
    return lambda text: text.replace('"small"', f'"small", {mark}=1', 1)


def last_argument(mark: str, chance: random.Random) -> Edit:
    """An argument at the end of the call the fix changed, when it stands on one line."""
    del chance
    return lambda text: re.sub(r"(Chat\(.*)\)", rf"\1, {mark}=2)", text, count=1)


def longer_prompt(mark: str, chance: random.Random) -> Edit:
    """More words behind the text the fix changed."""
    del chance
    return lambda text: re.sub(r'(: ") \+ ', rf'\1 + "{mark}" + ', text, count=1)


def renamed(mark: str, chance: random.Random) -> Edit:
    """A name changed throughout, as an editor does it."""
    name = chance.choice(NAMES)
    return lambda text: re.sub(rf"\b{name}\b(?!=\")", f"{name}_{mark}", text)


def moved(mark: str, chance: random.Random) -> Edit:
    """The functions in another order."""
    del mark, chance

    def edit(text: str) -> str:
        end = "\r\n" if "\r\n" in text else "\n"
        head, *functions = text.split(f"{end}{end}{end}def ")
        functions = [one.rstrip("\r\n") for one in functions]
        return f"{end}{end}{end}def ".join([head, *functions[::-1]]) + end

    return edit


def new_function(mark: str, chance: random.Random) -> Edit:
    """A function at the end."""
    del chance
    return lambda text: (
        text
        + f"\n\ndef {mark}():\n    return None\n".replace("\n", "\r\n" if "\r\n" in text else "\n")
    )


def formatted(mark: str, chance: random.Random) -> Edit:
    """The file put through an autoformatter, with short lines."""
    del mark
    width = chance.choice(("40", "60", "100"))
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", width, "-"]
    return lambda text: subprocess.run(
        command, input=text.encode(), capture_output=True, check=True
    ).stdout.decode()


def other_line_ends(mark: str, chance: random.Random) -> Edit:
    """The file with CRLF, or back with LF."""
    del mark, chance
    return lambda text: (
        text.replace("\r\n", "\n") if "\r\n" in text else text.replace("\n", "\r\n")
    )


def overwritten(mark: str, chance: random.Random) -> Edit:
    """Words of the fix written over."""
    del mark
    old, new = chance.choice(OVERWRITTEN)
    return lambda text: text.replace(old, new)


EDITS = {
    comment: 4,
    statement: 4,
    first_argument: 2,
    last_argument: 2,
    longer_prompt: 2,
    renamed: 2,
    moved: 1,
    new_function: 2,
    formatted: 1,
    other_line_ends: 0.5,
    overwritten: 0.4,
}
"""Each kind of edit and how often it is made, relatively."""


def _at(text: str, anchor: str, edit: Callable[[str], list[str]]) -> str:
    """The text with the first line that holds the anchor edited."""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(end)
    found = [number for number, line in enumerate(lines) if anchor in line]
    if found:
        lines[found[0] : found[0] + 1] = edit(lines[found[0]])
    return end.join(lines)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sequence(folder: Path, chance: random.Random, figures: Figures) -> None:
    """One fix, some edits, a roll-back, and doing it again."""
    make_repository(folder, {**FILES, ".gitignore": ".refinery/\n"})
    repository, home, agent = Repository.open(folder), folder / ".refinery", folder / "agent.py"
    after = AGENT
    for old, new in FIX:
        after = after.replace(old, new)
    patch = build(
        (), (FileChange("agent.py", AGENT.encode(), after.encode()),), repository.head_commit()
    )
    changes.commit_change(repository, patch, trace_id="t", title="fix", body="b", home=home)
    wanted, kinds = edit_at_random(folder, chance)
    users = agent.read_bytes()
    before = {name: digest(folder / name) for name in FILES if name != "agent.py"}
    is_overwritten = not all(word in users.decode() for word in FIX_WORDS)
    try:
        changes.rollback(repository, home)
    except RefusedError as error:
        kind = "written over" if is_overwritten else "not written over"
        shown = isinstance(error, ConflictError) and any(error.versions or ())
        figures.counts[f"refused, fix {kind}, {'' if shown else 'not '}shown three ways"] += 1
        if agent.read_bytes() != users:
            figures.failures.append(f"{folder.name}: refused, yet written ({kinds})")
        return
    figures.counts["rolled back"] += 1
    figures.counts["rolled back though the fix was written over"] += is_overwritten
    check(folder, wanted.encode(), before, (figures, kinds))
    try:
        changes.redo(repository, home)
    except RefusedError:
        figures.counts["redo refused"] += 1
        return
    is_same = agent.read_bytes() == users
    figures.counts[f"redone, {'byte for byte' if is_same else 'differs'}"] += 1


def edit_at_random(folder: Path, chance: random.Random) -> tuple[str, str]:
    """Edit the repository; returns the agent as it would be without the fix, and what was done."""
    agent, wanted, kinds = folder / "agent.py", AGENT, []
    for number in range(chance.randint(1, 8)):
        mark = f"user_{number}"
        if chance.random() < 0.1:
            path = folder / "prompts.yaml"
            path.write_bytes(path.read_bytes() + f"{mark}: 1\n".encode())
        kind = chance.choices(list(EDITS), list(EDITS.values()))[0]
        edit = kind(mark, chance)
        now = agent.read_bytes().decode()
        edited, same = edit(now), edit(wanted)
        # Laid out otherwise, one of the two may not have the place: then nobody typed the mark.
        is_same_edit = edited.count(mark) == same.count(mark)
        if is_same_edit and _parses(edited) and _parses(same):
            kinds.append(kind.__name__)
            agent.write_bytes(edited.encode())
            wanted = same
        if chance.random() < 0.6 and git(folder, "status", "--porcelain"):
            commit_all(folder, mark)
    return wanted, ", ".join(kinds)


def check(folder: Path, wanted: bytes, before: dict[str, str], told: tuple[Figures, str]) -> None:
    """Hold the file against the one that never had the fix."""
    figures, kinds = told
    now = (folder / "agent.py").read_bytes()
    missing = Counter(_WORD.findall(wanted)) - Counter(_WORD.findall(now))
    left = Counter(_WORD.findall(now)) - Counter(_WORD.findall(wanted))
    is_program = ast.dump(ast.parse(now)) == ast.dump(ast.parse(wanted))
    if missing or left or not is_program:
        figures.failures.append(f"{folder.name}: lost {missing}, left {left} ({kinds})")
    elif now == wanted:
        figures.counts["as if the fix had never been: byte for byte"] += 1
    else:
        figures.counts["as if the fix had never been: same program and words"] += 1
    changed = [name for name, was in before.items() if digest(folder / name) != was]
    figures.failures += [f"{folder.name}: {name} changed" for name in changed]


def run(folder: Path, sequences: int, seed: int = 1) -> Figures:
    """Run the sequences, each from a seed of its own."""
    figures = Figures()
    for number in range(sequences):
        sequence(folder / f"s{number}", random.Random(f"{seed}/{number}"), figures)
    return figures


def main(sequences: int = 1000, seed: int = 1) -> int:
    """Run the sequences and print the figures."""
    with tempfile.TemporaryDirectory(prefix="rollback-") as root:
        figures = run(Path(root), sequences, seed)
    print(f"sequences {sequences}, seed {seed}")
    for name, count in sorted(figures.counts.items()):
        print(f"  {name}: {count}")
    print(f"lost, left or other files changed: {len(figures.failures)}")
    for failure in figures.failures[:20]:
        print(f"  {failure}")
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
