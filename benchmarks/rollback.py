"""Random edits after a fix, then a roll-back: is the fix gone, is every line of a person kept?

    python -m benchmarks.rollback [SEQUENCES] [SEED]

Each sequence commits a fix to one function of a three-file repository, lets a "person" make one
to eight random edits (comments behind lines, new statements in the same function, arguments added
to the same call, renamed names, other files; committed or not), rolls the fix back, does it again,
and counts: words of the person lost, words of the fix left, other files changed, refusals.
"""

import hashlib
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import ConflictError
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
    return sorted(text.split())[:k]
'''
FIX = (
    ('Chat("small")', 'Chat("small", max_tokens=500)'),
    ('"Answer: "', '"Answer from the newest document: "'),
    ("    return model.run", "    documents.reverse()\n    return model.run"),
)
FIX_WORDS = ("max_tokens", "newest document", "documents.reverse")
FILES = {"agent.py": AGENT, "chat.py": "class Chat: ...\n", "prompts.yaml": "system: be brief\n"}


@dataclass
class Figures:
    """What was counted."""

    rolled_back: int = 0
    refused: int = 0
    redone: int = 0
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def edited(source: str, mark: str, chance: random.Random) -> str:
    """The source with one random edit that holds the mark."""
    lines = source.splitlines()
    at = chance.randrange(4, len(lines))
    kind = chance.randrange(5)
    if kind == 0 and lines[at].strip():
        lines[at] += f"  # {mark}"
    elif kind == 1 and lines[at].startswith("    "):
        lines.insert(at, f"    {mark} = len(question)" if at < 14 else f"    {mark} = 1")
    elif kind == 2:
        found = [n for n, line in enumerate(lines) if 'Chat("small"' in line]
        if found:
            lines[found[0]] = lines[found[0]].replace('Chat("small"', f'Chat("small", {mark}=1', 1)
    elif kind == 3:
        found = [n for n, line in enumerate(lines) if "Chat(" in line and ")" in line]
        if found:
            head, _, tail = lines[found[0]].rpartition(")")
            lines[found[0]] = f"{head}, {mark}=2){tail}"
    else:
        lines += ["", "", f"def {mark}():", "    return None"]
    return "\n".join(lines) + "\n"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sequence(folder: Path, chance: random.Random, figures: Figures) -> None:
    """One fix, some edits, a roll-back, and doing it again."""
    repository = Repository.open(make_repository(folder, FILES))
    home, agent = folder / ".refinery", folder / "agent.py"
    git(folder, "config", "core.excludesFile", "/dev/null")
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "exclude").write_text(".refinery/\n")
    after = AGENT
    for old, new in FIX:
        after = after.replace(old, new)
    patch = build(
        (), (FileChange("agent.py", AGENT.encode(), after.encode()),), repository.head_commit()
    )
    changes.commit_change(repository, patch, trace_id="t", title="fix", body="b", home=home)
    marks = [f"user_{n}" for n in range(chance.randint(1, 8))]
    for mark in marks:
        if chance.random() < 0.15:
            (folder / "prompts.yaml").write_text(
                (folder / "prompts.yaml").read_text() + f"{mark}: 1\n"
            )
        else:
            agent.write_text(edited(agent.read_text(), mark, chance))
        if chance.random() < 0.6:
            commit_all(folder, mark)
    users = agent.read_text() + (folder / "prompts.yaml").read_text()
    marks = [mark for mark in marks if mark in users]
    before = {name: digest(folder / name) for name in FILES if name != "agent.py"}
    try:
        changes.rollback(repository, home)
    except ConflictError:
        figures.refused += 1
        if agent.read_text() + (folder / "prompts.yaml").read_text() != users:
            figures.lost.append(folder.name)
        return
    figures.rolled_back += 1
    check(folder, marks, before, figures)
    try:
        changes.redo(repository, home)
    except ConflictError:
        return
    text = agent.read_text()
    if (
        all(word in text for word in FIX_WORDS)
        and text + (folder / "prompts.yaml").read_text() == users
    ):
        figures.redone += 1


def check(folder: Path, marks: list[str], before: dict[str, str], figures: Figures) -> None:
    """Count what was lost and what was left."""
    text = (folder / "agent.py").read_text() + (folder / "prompts.yaml").read_text()
    figures.lost += [mark for mark in marks if mark not in text]
    figures.left += [word for word in FIX_WORDS if word in text]
    figures.others += [name for name, was in before.items() if digest(folder / name) != was]
    compile((folder / "agent.py").read_text(), "agent.py", "exec")


def main(sequences: int = 1000, seed: int = 1) -> None:
    """Run the sequences and print the figures."""
    chance, figures = random.Random(seed), Figures()
    with tempfile.TemporaryDirectory(prefix="rollback-") as root:
        for number in range(sequences):
            sequence(Path(root, f"s{number}"), chance, figures)
    print(f"sequences {sequences}, seed {seed}")
    print(f"rolled back {figures.rolled_back}, refused as a conflict {figures.refused}")
    print(f"done again, byte for byte as before the roll-back: {figures.redone}")
    print(f"words of the person lost {len(figures.lost)}")
    print(f"words of the fix left {len(figures.left)}")
    print(f"other files changed {len(figures.others)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
