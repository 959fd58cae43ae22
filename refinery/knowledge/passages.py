"""Passages: what a search returns, and how markdown is cut into them."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

MAX_CHARACTERS = 3_000
"""Longest passage; longer sections are cut at blank lines, so a prompt can hold several."""
SOURCES = "Sources"
"""Heading of the literature a guide rests on; for readers of the file, never a passage."""
_HEADING = re.compile(r"^(#{1,2})[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Passage:
    """One section of a guide or of a text the user added."""

    guide: str
    """File name without its ending, or the name given when a text was added."""
    heading: str
    text: str
    score: float = 0.0
    """Fused rank score of a search, higher is better; only order means something."""
    arm: str = ""
    """What found it: `lexical`, `vector` or `both`; empty when it was not searched for."""
    origin: str = "guide"
    """`guide` (ships with Refinery), `user` (added), `project` (a file in `.refinery/guides`) or
    `lesson`."""

    @property
    def citation(self) -> str:
        """How a hypothesis cites it: `guide-name#heading`."""
        return f"{self.guide}#{self.heading}"

    @property
    def passage_id(self) -> str:
        """Stable identifier: changes when anything of the content changes."""
        parts = "\0".join((self.origin, self.guide, self.heading, self.text))
        return sha256(parts.encode("utf-8", "replace")).hexdigest()[:32]


def cut(guide: str, markdown: str, origin: str = "guide") -> list[Passage]:
    """Passages of a markdown text, in order; a text without headings is cut by length."""
    masked = _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), markdown)
    marks = list(_HEADING.finditer(masked))
    title = next((mark[2] for mark in marks if mark[1] == "#"), guide)
    starts = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(markdown)]
    headings = [title, *(mark[2] for mark in marks)]
    passages = []
    for start, end, heading in zip(starts, ends, headings, strict=True):
        for number, piece in enumerate(_pieces(markdown[start:end].strip()), start=1):
            name = heading if number == 1 else f"{heading} ({number})"
            passages.append(Passage(guide, name, piece, origin=origin))
    return passages


def read_guides(folder: Path, origin: str = "guide") -> list[Passage]:
    """Passages of every markdown file of a folder, by file name.

    Raises:
        OSError: a file cannot be read.
        UnicodeDecodeError: a file is no UTF-8 text.
    """
    found: list[Passage] = []
    for path in sorted(folder.glob("*.md")):
        passages = cut(path.stem, path.read_text(encoding="utf-8"), origin)
        found += [passage for passage in passages if passage.heading != SOURCES]
    return found


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text) if text else []:
        for start in range(0, len(paragraph), MAX_CHARACTERS):
            part = paragraph[start : start + MAX_CHARACTERS]
            if pieces and len(pieces[-1]) + len(part) + 2 <= MAX_CHARACTERS:
                pieces[-1] += f"\n\n{part}"
            else:
                pieces.append(part)
    return pieces
