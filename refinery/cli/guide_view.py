"""A session of the guide on a terminal."""

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from refinery.cli import output
from refinery.workflows.guide.engine import Guide
from refinery.workflows.guide.pages import Kind, Line, Page, Pair

if TYPE_CHECKING:
    from rich.console import Console

HELP = (
    "Type a number or words and press Enter. An empty line takes the answer in brackets.",
    "  ?        this help; “? word” explains a word",
    "  back     one page back",
    "  d        details for an engineer",
    "  later    stop here; everything is kept, go on with: refinery guide",
)
MOST_WIDE = 100
"""Widest line; longer ones are hard to read."""
WELCOME = "You can stop at any time: your answers are kept. Type ? for help."


class LeftError(Exception):
    """The person went away; the session is kept."""


def play(guide: Guide, screen: "Console") -> Page:
    """Show page after page until the session is over.

    Raises:
        LeftError: the person stopped, closed the terminal, or pressed Ctrl-C.
    """
    while True:
        page = guide.page()
        show(page, guide.remark, screen)
        if page.kind is Kind.END:
            return page
        if page.kind is Kind.WORK:
            _work(guide, screen)
        else:
            _ask(guide, page, screen)


def _work(guide: Guide, screen: "Console") -> None:
    try:
        guide.work(lambda line: _put(screen, [line], indent="  "))
    except KeyboardInterrupt:
        raise LeftError from None


def _ask(guide: Guide, page: Page, screen: "Console") -> None:
    """Ask until there is an answer; help and details are no answers."""
    while True:
        said = _typed(page, screen)
        if said.startswith("?"):
            _put(screen, [guide.explain(said[1:])] if said[1:].strip() else [*HELP])
            if not said[1:].strip():
                _put(screen, [guide.explain("")])
        elif said.casefold() in ("d", "details"):
            _put(screen, page.details or ("There are no details on this page.",), indent="  ")
        elif said.casefold() in ("later", "quit", "exit", "q"):
            raise LeftError
        elif said.casefold() in ("help", "h"):
            _put(screen, HELP)
        else:
            guide.answer(said)
            return


def _typed(page: Page, screen: "Console") -> str:
    default = f" [{page.default}]" if page.default else ""
    _put(screen, [f"{page.question}{default}"], style="bold")
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt, OSError):  # the terminal may be gone
        raise LeftError from None
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}"


def show(page: Page, remark: str, screen: "Console") -> None:
    """Draw a page, after a remark on the last answer."""
    screen.print()
    if remark:
        _put(screen, [remark], style="magenta")
        screen.print()
    _put(screen, [page.title], style="bold")
    _put(screen, page.said)
    for line in page.lines:
        _put_line(screen, line)
    _put(screen, page.quotes, indent="  ")
    for pair in page.pairs:
        _put_pair(screen, pair)
    if page.choices:
        screen.print()
    wide = max((len(choice.key) for choice in page.choices), default=0)
    for choice in page.choices:
        _put(screen, [f"{choice.key:>{wide}}  {choice.label}"], hang=" " * (wide + 2))
        if choice.note:
            _put(screen, [choice.note], indent=" " * (wide + 2), style="dim")
    sys.stdout.flush()


def _put_line(screen: "Console", line: Line) -> None:
    number = f"{line.number:>2} " if line.number is not None else "   "
    mark = "  ← here" if line.is_marked else ""
    style = "bold" if line.is_marked else "dim" if line.who in ("looked up", "did") else None
    _put(screen, [f"{number} {line.who}: {line.text}{mark}"], hang="      ", style=style)


def _put_pair(screen: "Console", pair: Pair) -> None:
    screen.print()
    _put(screen, [f"Asked: {pair.asked}"], indent="  ")
    _put(screen, [f"before: {pair.before}"], indent="    ", hang="        ", style="red")
    _put(screen, [f"after:  {pair.after}"], indent="    ", hang="        ", style="green")


def _put(
    screen: "Console",
    texts: "list[str] | tuple[str, ...]",
    *,
    indent: str = "",
    hang: str = "",
    style: str | None = None,
) -> None:
    for text in texts:
        for line in _wrapped(output.safe(text), indent, hang, min(screen.width, MOST_WIDE)):
            screen.print(line, style=style)


def _wrapped(text: str, indent: str, hang: str, width: int) -> Iterator[str]:
    for line in text.splitlines() or [""]:
        yield from textwrap.wrap(
            line,
            max(width, 30),
            initial_indent=indent,
            subsequent_indent=indent + hang,
            break_long_words=True,
            replace_whitespace=False,
            drop_whitespace=True,
        ) or [""]
