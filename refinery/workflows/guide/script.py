"""A session without a person: answers come from a YAML file, step by step."""

from collections.abc import Mapping
from pathlib import Path

from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.workflows.guide.context import Say
from refinery.workflows.guide.engine import ASKING, Guide
from refinery.workflows.guide.pages import Kind, Page

MAX_BYTES = 256 << 10
"""Largest file that is read; chosen by us."""
MAX_PAGES = 100
"""Most pages of one session: a script that goes round in circles ends."""
NAMES = {
    "conversation": "pick",
    "line": "mark",
    "when": "scope",
    "mentions": "condition",
    "contradiction": "clash",
    "others": "similar",
    "decision": "proof",
    "undo": "undo_pick",
}
"""Friendlier names of steps."""
_UNSAID = {"confirm": "yes", "similar": "yes", "cause": "yes", "undo_confirm": "yes"}
"""What is answered where the file says nothing and the page has no default."""


def read(path: Path) -> dict[str, list[str]]:
    """The answers of a file, by step.

    Raises:
        InputError: it cannot be read, is no mapping, or names a step there is none of.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is longer than {MAX_BYTES:,} bytes")
        value: Json = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    return answers(value, str(path))


def answers(value: Json, where: str = "the script") -> dict[str, list[str]]:
    """Answers by step, from what a YAML or JSON file says.

    Raises:
        InputError: it is no mapping, or names a step there is none of.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is no mapping of steps to answers", hint="e.g. right: 29 EUR")
    found = {}
    for name, said in value.items():
        step = NAMES.get(str(name), str(name))
        if step not in ASKING:
            known = ", ".join([*NAMES, *(s for s in ASKING if s not in NAMES.values())])
            raise InputError(f"{where} answers an unknown step {name!r}", hint=f"steps: {known}")
        found[step] = [_text(one) for one in (said if isinstance(said, list) else [said])]
    return found


def play(guide: Guide, said: Mapping[str, list[str]], say: Say) -> Page:
    """Play a session to its end, or to the first page the answers do not get past.

    Args:
        guide: where the session stands.
        said: answers by step; several for one step are used one after the other.
        say: is told what is going on.

    Returns:
        The last page.

    Raises:
        InputError: an answer was not taken, with what was said of it.
    """
    waiting = {step: list(texts) for step, texts in said.items()}
    for _ in range(MAX_PAGES):
        page = guide.page()
        if page.kind is Kind.END:
            return page
        if page.kind is Kind.WORK:
            guide.work(say)
            continue
        answer = _answer(page, waiting)
        if answer is None:
            return page
        guide.answer(answer)
        if guide.remark and guide.session.step == page.step and not waiting.get(page.step):
            raise InputError(f"{page.step}: {answer!r} was not taken: {guide.remark}")
    raise InputError("the session goes round in circles", hint="answer fewer steps twice")


def _answer(page: Page, waiting: dict[str, list[str]]) -> str | None:
    """The answer to a page; None when there is none."""
    if waiting.get(page.step):
        return waiting[page.step].pop(0)
    return page.default or _UNSAID.get(page.step)


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value is not None else ""
