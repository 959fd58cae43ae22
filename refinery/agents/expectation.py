"""Reads an expectation in plain English into checks, without a model.

What is read is a closed list of forms, each clause by itself: quoted texts and amounts an answer
must or must not hold, exact, first and last words, language, length, JSON, links, tools called or
not called, their order, asking first, and not failing. Nothing is guessed: a clause of any other
form is left over, for a model or for the person who wrote it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from refinery.agents import expectation_forms as forms
from refinery.agents.expectation_forms import CALLS, FORMS, MODAL, OF_CONTENT, QUOTED, SAYS, apart
from refinery.model.verdict import Check

MAX_CHARS = 4_000
"""Longest expectation that is read."""
MAX_CLAUSES = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """What one clause says, as a check."""

    clause: str
    check: Check
    is_flipped: bool = False
    """Whether the clause says that the check must *not* hold, where no kind of check says so."""
    is_about_content: bool = False
    """Whether it asks for certain words, which only an answer to the same input can hold."""


@dataclass(frozen=True, slots=True)
class Readings:
    """An expectation, clause by clause."""

    found: tuple[Reading, ...]
    left_over: tuple[str, ...]
    """Clauses of no known form, in the order they were written."""


def read(words: str, tools: Collection[str] = ()) -> Readings:
    """The checks an expectation in plain English states.

    Args:
        words: what the right behaviour is; at most `MAX_CHARS` characters are read.
        tools: names of the agent's tools; others are taken for tools only when they are quoted
            or written with an underscore.
    """
    found: list[Reading] = []
    left: list[str] = []
    for text in clauses(words):
        readings = read_clause(text, tools)
        found += readings
        if not readings:
            left.append(text)
    return Readings(tuple(found), tuple(left))


def clauses(words: str) -> list[str]:
    """The clauses of an expectation: sentences and their parts joined by `and must` or `;`."""
    text = " ".join(words[:MAX_CHARS].replace("\x00", " ").split())
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        return f"\x00{len(hidden) - 1}\x00"

    covered = QUOTED.sub(hide, text)
    verbs = rf"(?={MODAL}\b|never\b|always\b|{SAYS}\b|{CALLS}\b|ask|repl|respond|answer|cit"
    verbs += r"|not\b|be\b)"
    joined = (
        rf"\s*;\s*|(?<=[.!?])\s+(?=[A-Z\x00])|,?\s+(?:and|but)\s+(?:also\s+)?(?:it\s+)?{verbs}"
    )
    parts = re.split(joined, covered)
    shown = (re.sub(r"\x00(\d+)\x00", lambda m: hidden[int(m[1])], part) for part in parts)
    return [part.strip(" .!") for part in shown if part.strip(" .!")][:MAX_CLAUSES]


def negated(clause: str) -> str:
    """The clause saying the opposite: with its negation taken out, or one put in.

    >>> negated('The answer must not mention "refund"')
    'must mention "refund"'
    >>> negated("must answer in German")
    'must not answer in German'
    """
    parts = apart(clause, ())
    return f"must {'' if parts.is_negated else 'not '}{parts.rest}"


def read_clause(clause: str, tools: Collection[str] = ()) -> list[Reading]:
    """The checks of one clause; empty when it has no known form."""
    parts = apart(clause, tools)
    for form in FORMS:
        if found := list(form(parts)):
            about_content = form in OF_CONTENT and not parts.is_negated
            return [
                Reading(
                    _says_alone(check)
                    if len(found) > 1 or form is forms.says_amount
                    else parts.whole,
                    check,
                    flipped,
                    about_content,
                )
                for check, flipped in found
            ]
    return []


def _says_alone(check: Check) -> str:
    """The part of a clause that one of its checks stands for, as a clause of its own."""
    verb = {"tool_called": "must call", "tool_not_called": "must not call"}.get(check.kind)
    if verb:
        return f"{verb} {check.value}"
    texts = " or ".join(f"“{text}”" for text in check.value.split("|"))
    return f"must {'not ' if check.kind.startswith('not_') else ''}say {texts}"
