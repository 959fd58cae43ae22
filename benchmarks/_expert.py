"""An expert at a terminal: reads pages, types plain words, and is cut off where one wants."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

PROMPT = "\n> "
PAGES = {
    "Go on with it?": "unfinished",
    "Which conversation is it about?": "pick",
    "This is the conversation": "mark",
    "What is wrong here?": "wrong",
    "What would be right?": "right",
    "Have I understood you?": "confirm",
    "Is that always so?": "scope",
    "Only when the customer mentions what?": "condition",
    "That does not fit together": "clash",
    "Others like this one": "similar",
    "This is what went wrong": "cause",
    "What could be changed": "fix",
    "What shall I do?": "proof",
    "Which fix shall I take out?": "undo_pick",
    "Take this fix out?": "undo_confirm",
}
"""What stands on each page that asks, the first one found on a screen counts."""
JARGON = (
    *("trace", "span", "json", "yaml", "xml", "diff", "patch", "commit", "repository", "repo"),
    *("branch", "git", "merge", "rollback", "revert", "hash", "sha", "hypothesis", "hypotheses"),
    *("replay", "sandbox", "prompt", "token", "llm", "retriever", "embedding", "regex", "schema"),
    *("exception", "traceback", "stack", "stderr", "stdout", "api", "endpoint", "null", "stdin"),
    *("boolean", "string", "integer", "parameter", "argument", "function", "callable", "module"),
    *("python", "langgraph", "langchain", "openai", "keyerror", "uuid", "id", "ids", "p-value"),
    *("interval", "verdict", "guard", "detector", "playbook", "heuristic", "regression", "arm"),
    *("entry point", "entrypoint", "system message", "temperature", "checkpoint", "thread"),
    *("pipeline", "workflow", "orchestration", "deterministic", "stub", "tape", "tool call"),
)
"""Words a domain expert should not have to read."""
_IDENTIFIERS = (
    r"\b[0-9a-f]{8}-[0-9a-f]{4}",
    r"\b[0-9a-f]{12,}\b",
    r"\b(?:session|guide|fix|check|change)-[0-9a-f]{6,}",
    r"\b[FH]\d\b",
    r"\b\w+\.(?:py|txt|toml|jinja|md)\b",
    r"[{}\[\]]\"|\":|\b\w+_\w+\b|[a-z]+:[a-z]+\(",
)
MOST_TRIED = 4
"""Fixes an expert tries before an engineer is asked."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


@dataclass
class Seen:
    """What came over the terminal."""

    transcript: str = ""
    asked: list[str] = field(default_factory=list)
    """Pages that asked, in order."""
    exit_code: int | None = None
    """None: the terminal was closed, or the process was killed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a session is cut off."""

    page: str
    how: str
    """`terminal` (hang-up), `kill`, or `ctrl-c`."""
    number: int = 1
    """When the page is asked for so many times."""


@dataclass(frozen=True, slots=True)
class Expert:
    """Who sits at the terminal."""

    folder: Path
    """The agent's repository, the working folder."""
    answers: Mapping[str, str]
    """What is typed on each page; several for one page are parted by `|`."""
    width: int = 80
    timeout_s: float = 240.0

    def sit(
        self, *arguments: str, cut: Cut | None = None, say: Callable[[str], None] = str
    ) -> Seen:
        """Run `refinery guide` and answer its pages, to the end or to the cut.

        Raises:
            AssertionError: a page came that nobody has an answer to, or the same one too often.
        """
        seen = Seen()
        waiting = {page: text.split("|") for page, text in self.answers.items()}
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        child = pexpect.spawn(
            sys.executable,
            ["-m", "refinery", "guide", *arguments],
            cwd=str(self.folder),
            env=environment,
            encoding="utf-8",
            codec_errors="replace",
            timeout=self.timeout_s,
            dimensions=(50, self.width),
        )
        child.delaybeforesend = None
        while True:
            at = child.expect_exact([PROMPT, pexpect.EOF])
            screen = _plain(child.before or "")
            seen.transcript += screen
            if at == 1:
                child.close()
                seen.exit_code = child.exitstatus
                return seen
            page = page_of(seen.transcript)
            seen.asked.append(page)
            say(page)
            if cut and (cut.page, cut.number) == (page, seen.asked.count(page)):
                _cut(child, cut.how)
                return seen
            child.sendline(_next(waiting, page, screen, seen.asked.count(page)))


def page_of(screen: str) -> str:
    """The page that asks at the end of a screen."""
    found = {screen.rfind(text): page for text, page in PAGES.items() if text in screen}
    assert found, f"a page nobody knows:\n{screen[-1500:]}"
    return found[max(found)]


def jargon_in(text: str) -> list[str]:
    """Words and identifiers in a transcript that an expert should not have to read."""
    words = [w for w in JARGON if re.search(rf"\b{re.escape(w)}s?\b", text, re.IGNORECASE)]
    marks = [m[0] for shape in _IDENTIFIERS for m in re.finditer(shape, text)]
    return [*words, *marks]


def _next(waiting: dict[str, list[str]], page: str, screen: str, times: int) -> str:
    assert times < 8, f"{page} was asked {times} times:\n{screen[-1500:]}"
    texts = waiting.get(page)
    if page == "unfinished":
        return "yes"
    if page == "proof" and "approve  " not in screen:
        return "another" if "another  " in screen and times < MOST_TRIED else "engineer"
    if page == "fix" and times > 1:
        return str(times)
    assert texts, f"nobody has an answer to {page}:\n{screen[-1500:]}"
    return texts.pop(0) if len(texts) > 1 else texts[0]


def _cut(child: "pexpect.spawn[str]", how: str) -> None:
    """End the session as a person or a power cut does."""
    if how == "ctrl-c":
        until = time.monotonic() + child.timeout
        child.sendintr()
        # Pressed in the moment between the question and the wait for an answer, `input` misses it.
        while child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=10) == 1:
            assert time.monotonic() < until, "Ctrl-C does not end the session"
            child.sendintr()
        child.close()
    elif how == "kill":
        child.kill(signal.SIGKILL)
        child.wait()
        child.close()
    else:
        child.close(force=True)


def _plain(text: str) -> str:
    return _ESCAPES.sub("", text)
