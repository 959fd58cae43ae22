"""From an expert's own words to expectations that can be tried, and back into plain words."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from refinery.errors import InputError
from refinery.model.verdict import Check
from refinery.replay.checks import parse
from refinery.replay.languages import NAMES
from refinery.workflows.guide.conversation import plain_name

FACT, MISSING, FORBIDDEN, FORM, ACTION, BROKEN = (
    "fact",
    "missing",
    "forbidden",
    "form",
    "action",
    "broken",
)
NO_FAILURE = "must not fail"
"""The expectation that the agent comes to an end."""
MOST = 4
"""Ways of understanding that are offered at most; chosen by us."""
_LEAD = re.compile(
    r"^(?:(?:it|the (?:right |correct |true )?answer|the agent|he|she|they)\s+"
    r"(?:should|must|has to|needs to|ought to|is|would be|was)\s*(?:be|have been|have said|to)?"
    r"|(?:should|must)(?: be| have been)?|say|said|says|mention|answer|that|no|well)\b[\s,:]*",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"^(?:(?:(?:it|the answer|the agent)\s+)?(?:must|should|may|can|shall)?\s*(?:never|not)\s+|"
    r"(?:don't|do not|no)\s+)?(?:ever\s+)?(?:say|mention|contain|name|state|promise|claim|use)\b"
    r"(?:\s+that)?\s*",
    re.IGNORECASE,
)
_QUOTES = "\"'“”„«»‘’`"  # noqa: RUF001  # the marks people type
_WORD = re.compile(r"[^\W_]+(?:[.,:'’/-][^\W_]+)*%?", re.UNICODE)  # noqa: RUF001  # as typed
_SMALL_WORDS = """
    a about after all also an and any are as at be because been before but by can could did do
    does for from get gets give given had has have he her his how i if in instead is it its just
    me must my no not now of on one only or our out over per right say says said she should so
    some still than that the their them then there they this to too until up us was we were what
    when where which who will with would yes you your answer agent customer correct true wrong
    costs cost takes take
"""
_SMALL = frozenset(_SMALL_WORDS.split())
_ABOUT_LENGTH = re.compile(r"(\d{1,4})\s*(words?|characters?|letters?)", re.IGNORECASE)
_SIGNS = {"asterisk": "*", "star": "*", "hash": "#", "bold": "**", "dash": "-", "bracket": "["}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the words are about."""

    answer: str
    """What the agent answered."""
    question: str
    problem: str
    """Kind of what was wrong."""


def candidates(words: str, about: Situation) -> list[str]:
    """Ways to say the words so that they can be tried out, the most literal first."""
    found = [words, *_by_kind(words, about)]
    return list(dict.fromkeys(" ".join(one.split()) for one in found if one.strip()))[: MOST + 3]


def _by_kind(words: str, about: Situation) -> Iterator[str]:
    if about.problem == BROKEN and re.search(r"\b(?:any|just|fail|answer)", words, re.IGNORECASE):
        yield NO_FAILURE
    if about.problem == FORM:
        yield from _forms(words)
    elif about.problem == FORBIDDEN:
        text = _bare(_VERB.sub("", words))
        yield f"must not say “{text}”"
        yield from (f"must not say “{piece}”" for piece in _shared(words, about.answer))
    elif about.problem != ACTION:
        yield from (f"must say “{text}”" for text in _new_texts(words, about))


def _forms(words: str) -> Iterator[str]:
    for name in NAMES:
        if re.search(rf"\b{re.escape(name)}\b", words, re.IGNORECASE):
            yield f"must answer in {name.capitalize()}"
    if length := _ABOUT_LENGTH.search(words):
        yield f"must have at most {length[1]} {length[2]}"
    for sign, text in _SIGNS.items():
        if sign in words.casefold():
            yield f"must not say “{text}”"


def _new_texts(words: str, about: Situation) -> Iterator[str]:
    """Texts of the words that the wrong answer lacks: numbers first, then the new words."""
    said = _bare(words)
    while (shorter := _bare(_LEAD.sub("", said, count=1))) not in ("", said):
        said = shorter
    old = {w.casefold() for w in _WORD.findall(f"{about.answer} {about.question}")}
    spans = [(m.start(), m.end()) for m in _WORD.finditer(said)]
    is_new = [said[a:b].casefold() not in old | _SMALL for a, b in spans]
    for at, (a, b) in enumerate(spans):
        if is_new[at] and any(c.isdigit() for c in said[a:b]):
            following = spans[at + 1] if at + 1 < len(spans) else None
            if following and said[following[0] : following[1]].casefold() not in _SMALL:
                yield said[a : following[1]]
            yield said[a:b]
    best = max(_stretches(spans, is_new), key=lambda pair: pair[1] - pair[0], default=None)
    if best is not None:
        yield said[best[0] : best[1]]
    if len(spans) <= 8:
        yield said


def _stretches(spans: list[tuple[int, int]], is_new: list[bool]) -> Iterator[tuple[int, int]]:
    """Stretches of words that are all new."""
    begin: int | None = None
    for (a, _), new, before in zip(spans, is_new, [(0, 0), *spans], strict=False):
        if new and begin is None:
            begin = a
        if not new and begin is not None:
            yield begin, before[1]
            begin = None
    if begin is not None:
        yield begin, spans[-1][1]


def _shared(words: str, answer: str) -> Iterator[str]:
    """Words that stand in the answer too, and that are not everyday ones."""
    there = {word.casefold() for word in _WORD.findall(answer)}
    for word in _WORD.findall(words):
        if word.casefold() in there - _SMALL:
            yield word


def _bare(text: str) -> str:
    return text.strip().strip(_QUOTES).strip().rstrip(".!?").strip(_QUOTES)


def told(check: str) -> str:
    """What a check asks for, in words that go on from `the answer` or `the agent`.

    >>> told("contains:29 EUR")
    'the answer must say “29 EUR”'
    """
    try:
        read = parse(check)
    except InputError:
        return f"what you wrote must hold: “{check[:120]}”"
    where = f"the {plain_name(read.field.split('.')[-1])}" if read.field else "the answer"
    where = "the answer" if where in ("the answer", "the output", "the content") else where
    sentence = _TOLD.get(read.kind)
    return sentence(where, read) if sentence else f"what you wrote must hold for {where}"


def _language(where: str, check: Check, verb: str) -> str:
    named = (name for name, code in NAMES.items() if code == check.value.strip())
    return f"{where} must {verb} in {next(named, check.value).capitalize()}"


def _choice(where: str, check: Check) -> str:
    options = " or ".join(f"“{part.strip()}”" for part in check.value.split("|"))
    return f"{where} must say {options}"


def _in_order(check: Check) -> str:
    first, _, then = check.value.partition(">")
    return f"the agent must {plain_name(first)} before it may {plain_name(then)}"


def _helper(value: str) -> str:
    return plain_name(value.split("{")[0])


_TOLD: dict[str, Callable[[str, Check], str]] = {
    "contains": lambda where, c: f"{where} must say “{c.value}”",
    "contains_any": _choice,
    "not_contains": lambda where, c: f"{where} must not say “{c.value}”",
    "equals": lambda where, c: f"{where} must be exactly “{c.value}”",
    "max_words": lambda where, c: f"{where} must have at most {c.value} words",
    "min_words": lambda where, c: f"{where} must have at least {c.value} words",
    "max_chars": lambda where, c: f"{where} must have at most {c.value} letters and signs",
    "language": lambda where, c: _language(where, c, "be"),
    "not_language": lambda where, c: _language(where, c, "not be"),
    "tool_called": lambda _, c: f"the agent must use “{_helper(c.value)}”",
    "tool_not_called": lambda _, c: f"the agent must not use “{_helper(c.value)}”",
    "order": lambda _, c: _in_order(c),
    "asks_before": lambda _, c: f"the agent must ask before it uses “{_helper(c.value)}”",
    "judge": lambda _, c: f"this must hold: {c.value}",
    "no_error": lambda _where, _c: "the agent must not break off",
    "json_schema": lambda where, _: f"{where} must have the form you described",
    "regex": lambda where, _: f"{where} must have the form you described",
    "not_regex": lambda where, _: f"{where} must not have the form you described",
}


def told_all(checks: list[str]) -> str:
    """Several checks as one sentence."""
    return " and ".join(told(check) for check in checks)
