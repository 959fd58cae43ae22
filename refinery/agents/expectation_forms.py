"""The forms of clauses that are read without a model, each as the checks it states."""

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from refinery.model.verdict import Check
from refinery.replay.languages import NAMES

QUOTED = re.compile(
    r'"([^"\n]{1,400})"|“([^”\n]{1,400})”|„([^“”\n]{1,400})[“”]|«([^»\n]{1,400})»'
    r"|`([^`\n]{1,400})`"
    r"|(?<!\w)'([^'\n]{1,400})'(?!\w)|‘([^’\n]{1,400})’"  # noqa: RUF001  # the marks people type
)
MODAL = (
    r"(?:must|should|shall|has to|have to|needs? to|ought to|is to|are to|will|would|may|can|could"
    r"|does|do|did|is|are|was|had to)"
)
_SUBJECT = re.compile(
    r"(?:for this input[:,]?\s+)?(?:(?:please|make sure(?: that)?|ensure(?: that)?"
    r"|i (?:want|expect)"
    r"(?: that)?|expected[:,]?)\s+)?(?:(?:the|its?|your|every|each|this|that|an?)\s+)?"
    r"(?:(?:final|whole|first|assistant's|agent's|bot's)\s+)?(?:(?:agent|answer|reply|response|bot|"
    r"assistant|model|output|result|run|text|message|it|you|he|she|they)\b\s*)?",
    re.IGNORECASE,
)
_NOT = r"(?:not ever|not|never|no longer|at no time|under no circumstances)"
_LEAD = re.compile(
    rf"(?:(?P<before>never|always)\s+)?(?:(?P<modal>{MODAL})(?P<short>n['’]t|not)?\b\s*)?"  # noqa: RUF001  # as typed
    rf"(?:(?P<neg>{_NOT})\s+)?(?:(?:always|only|also|then|simply|just|please|be|have|has|to)\s+)*",
    re.IGNORECASE,
)
SAYS = (
    r"(?:says?|said|saying|mention(?:s|ed)?|contain(?:s|ed)?|includ(?:es?|ed)|stat(?:es?|ed)"
    r"|quot(?:es?|ed)|nam(?:es?|ed)|gives?|given|tells?|told|shows?|shown|lists?|listed"
    r"|cit(?:es?|ed)"
    r"|uses? the words?|writ(?:es?|ten)|refers? to|answer(?:s|ed)? with|repl(?:y|ies|ied) with"
    r"|respond(?:s|ed)? with|returns?|reports?|promis(?:es?|ed)|reveals?|claims?|offers?)"
)
CALLS = r"(?:calls?|called|calling|uses?|used|using|invok(?:es?|ed|ing)|runs?|running)"
_AMOUNT = re.compile(
    r"(?:[$€£¥]\s?\d[\d.,]*\d|[$€£¥]\s?\d|\d[\d.,:/-]*\d\s?%|\d\s?%|\d[\d.,:/-]*\s+"
    r"(?:EUR|USD|GBP|CHF|euros?|dollars?|pounds?|cents?|seconds?|minutes?|hours?"
    r"|(?:business |working )?days?|weeks?|months?|years?|seats?|users?|items?|points?"
    r"|percent|kg|g|km|m|cm|mb|gb|tb)\b"
    r"|\d{4}-\d{2}-\d{2}|\b\d{1,2}:\d{2}\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\b\d(?:[\d.,]*\d)?\b")
_TOOL = re.compile(
    r"(?:the\s+)?(?:tools?\s+)?[`'\"]?(?P<name>[A-Za-z_][\w.-]{0,80})[`'\"]?(?:\(\))?",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"(?P<how>at most|no more than|not more than|a maximum of|maximum|max\.?|fewer than"
    r"|less than|under|shorter than|up to|within|at least|no fewer than|no less than"
    r"|a minimum of|more than|longer than|over|exceeds?)\s+"
    r"(?P<number>\d{1,6})\s+(?P<unit>words?|characters?|chars?|letters?)\b",
    re.IGNORECASE,
)
_FEWEST = (
    "at least",
    "no fewer than",
    "no less than",
    "a minimum of",
    "more than",
    "over",
    "longer than",
    "exceed",
    "exceeds",
)
_STRICT = (
    "fewer than",
    "less than",
    "under",
    "shorter than",
    "more than",
    "over",
    "longer than",
    "exceed",
    "exceeds",
)
_LANGUAGE = re.compile(
    rf"\b(?:in|into|speaks?|written in)\s+(?P<name>{'|'.join(NAMES)})\b", re.IGNORECASE
)
_FEW_WORDS = re.compile(
    r"(?:says?|said|mention(?:s|ed)?|contain(?:s|ed)?|include[sd]?|name[sd]?|cite[sd]?|refers? to"
    r"|use[sd]? the words?)\s+(?:the\s+(?:words?|phrase|name|term)\s+)?"
    r"(?:(?:the|an?|its?|our)\s+)?"
    r"(?P<words>[\w.@/#-]+(?:\s+[\w.@/#-]+){0,3})",
    re.IGNORECASE,
)
_ASKS_FOR_SENSE = re.compile(r"(?:that|how|why|what|who|when|where|if|any)\b", re.IGNORECASE)
_LINK = r"(?i)https?://|www\.[a-z0-9]"
_EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}"
_SOURCE = r"(?i)https?://|\[\d+\]|\[[^\]\s]{2,80}\]|\bsources?\s*:|\(source|\b[\w-]+\.(?:md|pdf|html?|txt)\b"


@dataclass(slots=True)
class Clause:
    """A clause taken apart."""

    whole: str
    """As it was written."""
    rest: str
    """Without subject, modal and negation; quoted texts are kept."""
    is_negated: bool
    tools: Collection[str]
    """Names of the agent's tools."""
    quotes: list[str] = field(default_factory=list)
    """Quoted texts, without their marks."""


def apart(clause: str, tools: Collection[str]) -> Clause:
    """Take a clause apart into what is asked for and whether it is forbidden."""
    text = clause.strip(" .!")
    rest = text[_end(_SUBJECT.match(text)) :]
    lead = _LEAD.match(rest)
    negation = bool(
        lead and (lead["neg"] or lead["short"] or (lead["before"] or "").lower() == "never")
    )
    rest = rest[_end(lead) :].strip()
    quotes = [next(filter(None, match.groups())) for match in QUOTED.finditer(rest)]
    return Clause(text, rest, negation, tools, quotes)


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


Found = Iterator[tuple[Check, bool]]
_Form = Callable[[Clause], Found]


def _failing(clause: Clause) -> Found:
    if re.fullmatch(
        r"(?:fail|crash|raise|error|end with|stop with|throw)\b.{0,40}", clause.rest, re.IGNORECASE
    ):
        yield Check("no_error"), not clause.is_negated
    elif re.fullmatch(
        r"(?:succeed|end|finish|complete)s?\b(?: well| without (?:an? )?error)?",
        clause.rest,
        re.IGNORECASE,
    ):
        yield Check("no_error"), clause.is_negated


def _empty(clause: Clause) -> Found:
    if re.fullmatch(r"(?:be )?empty", clause.rest, re.IGNORECASE):
        yield Check("regex" if clause.is_negated else "not_regex", r"\S"), False


def _asks_first(clause: Clause) -> Found:
    shape = re.match(
        r"(?:ask|confirm|check with|get (?:a )?confirmation|wait for)\w*\b[^\"`]{0,80}?"
        r"\bbefore\s+(?:it\s+)?(?P<tool>.+)",
        clause.rest,
        re.IGNORECASE,
    )
    name = (
        _tool_in(re.sub(rf"^{CALLS}\s+", "", shape["tool"], flags=re.IGNORECASE), clause)
        if shape
        else ""
    )
    if name:
        yield Check("asks_before", name), clause.is_negated


def _in_order(clause: Clause) -> Found:
    shape = re.match(
        rf"{CALLS}\s+(?P<a>.+?)\s+(?P<how>before|after)\s+(?:it\s+)?(?:{CALLS}\s+)?(?P<b>.+)",
        clause.rest,
        re.IGNORECASE,
    )
    if shape is None:
        return
    first, then = _tool_in(shape["a"], clause), _tool_in(shape["b"], clause)
    if shape["how"].lower() == "after":
        first, then = then, first
    if first and then:
        yield Check("order", f"{first} > {then}"), clause.is_negated


def _calls_tool(clause: Clause) -> Found:
    shape = re.match(rf"{CALLS}\s+(?P<tools>.+)", clause.rest, re.IGNORECASE)
    if shape is None:
        return
    names = [
        _tool_in(part, clause) for part in re.split(r"\s*,\s*|\s+(?:and|or)\s+", shape["tools"])
    ]
    if all(names):
        kind = "tool_not_called" if clause.is_negated else "tool_called"
        for name in names:
            yield Check(kind, name), False


def _tool_in(text: str, clause: Clause) -> str:
    """The tool a text names; empty when it names none for certain."""
    text = text.strip()
    shape = _TOOL.fullmatch(re.sub(r"\s+(?:tool|function)\b.*$", "", text, flags=re.IGNORECASE))
    if shape is None:
        return ""
    name = shape["name"]
    is_marked = (
        "_" in name or text[:1] in "`'\"" or bool(re.search(r"\btool\b|\(\)", text, re.IGNORECASE))
    )
    known = next((tool for tool in clause.tools if tool.casefold() == name.casefold()), None)
    return known or (name if is_marked else "")


def _in_language(clause: Clause) -> Found:
    shape = _LANGUAGE.search(clause.rest)
    if shape and not clause.quotes and _is_short(clause.rest):
        kind = "not_language" if clause.is_negated else "language"
        yield Check(kind, NAMES[shape["name"].lower()]), False


def _of_length(clause: Clause) -> Found:
    shape = _COUNT.search(clause.rest) or _COUNT.search(clause.whole)
    if shape is None:
        return
    how, number = shape["how"].lower(), int(shape["number"])
    is_least = how in _FEWEST
    if how in _STRICT:
        number += 1 if is_least else -1
    # From here on the most that is allowed, or the most that is too few.
    most = max(number - 1 if is_least else number, 0)
    must_exceed = is_least is not clause.is_negated
    if not shape["unit"].lower().startswith("word"):
        yield Check("max_chars", str(most)), must_exceed
    elif must_exceed:
        yield Check("min_words", str(most + 1)), False
    else:
        yield Check("max_words", str(most)), False


def _json(clause: Clause) -> Found:
    if re.search(r"\bjson\b", clause.rest, re.IGNORECASE) and _is_short(
        QUOTED.sub(" ", clause.rest)
    ):
        schema = '{"type": ["object", "array"]}'
        if clause.quotes:
            if not re.search(r"\b(?:fields?|keys?|propert)", clause.rest, re.IGNORECASE):
                return
            schema = json.dumps({"type": "object", "required": clause.quotes}, ensure_ascii=False)
        yield Check("json_schema", f'{{"not": {schema}}}' if clause.is_negated else schema), False


def _exactly(clause: Clause) -> Found:
    shape = re.match(
        r"(?:exactly|equals?|(?:exactly )?equal to|be exactly|read exactly)\s",
        clause.rest,
        re.IGNORECASE,
    )
    if shape and len(clause.quotes) == 1:
        yield Check("equals", clause.quotes[0]), clause.is_negated


def _at_the_ends(clause: Clause) -> Found:
    shape = re.match(
        r"(?P<end>start|begin|end|finish)(?:s|es)?\s+with\s", clause.rest, re.IGNORECASE
    )
    if shape is None or len(clause.quotes) != 1:
        return
    text = re.escape(clause.quotes[0]).replace(r"\ ", " ")
    at_start = shape["end"].lower() in ("start", "begin")
    pattern = rf"(?i)^\s*{text}" if at_start else rf"(?i){text}\s*$"
    yield Check("not_regex" if clause.is_negated else "regex", pattern), False


def _kind_of_text(clause: Clause) -> Found:
    if (
        clause.quotes
        or not re.match(SAYS, clause.rest, re.IGNORECASE)
        or not _is_short(clause.rest)
    ):
        return
    for words, pattern in (
        (r"\b(?:links?|urls?|web address(?:es)?)\s*$", _LINK),
        (r"\be-?mail(?: address(?:es)?)?\s*$", _EMAIL),
        (r"^cit\w+\s+(?:(?:its|the|a|any)\s+)?sources?\s*$", _SOURCE),
        (r"\b(?:a|any)\s+numbers?\s*$", r"\d"),
    ):
        if re.search(words, clause.rest, re.IGNORECASE):
            yield Check("not_regex" if clause.is_negated else "regex", pattern), False
            return


def _says_quoted(clause: Clause) -> Found:
    asked = rf"{SAYS}\b|(?:the\s+)?(?:words?|phrase|text)\b|with\b|{QUOTED.pattern}"
    if not clause.quotes or not re.match(asked, clause.rest, re.IGNORECASE):
        return
    yield from _texts(clause, clause.quotes)


def _texts(clause: Clause, texts: list[str]) -> Found:
    """That the answer holds all of the texts, one of them, or none."""
    plain = QUOTED.sub(" ", clause.rest)
    is_choice = bool(re.search(r"\b(?:or|either|one of|any of)\b", plain, re.IGNORECASE))
    if clause.is_negated:
        yield from ((Check("not_contains", text), False) for text in texts)
    elif is_choice and len(texts) > 1 and not any("|" in text for text in texts):
        yield Check("contains_any", "|".join(texts)), False
    else:
        yield from ((Check("contains", text), False) for text in texts)


def says_amount(clause: Clause) -> Found:
    """Amounts in a clause that says something, or that is a plain statement of a fact."""
    if clause.quotes:
        return
    says = re.match(rf"{SAYS}\b", clause.rest, re.IGNORECASE)
    states = not clause.is_negated and re.search(
        r"\b(?:costs?|is|are|takes?|has|within)\b", clause.whole, re.IGNORECASE
    )
    amounts = [match[0].strip(" ,.") for match in _AMOUNT.finditer(clause.rest)]
    if says and not amounts:
        amounts = [match[0] for match in _NUMBER.finditer(clause.rest)]
    if says:
        yield from _texts(clause, list(dict.fromkeys(amounts)))
    elif states and (amounts or _NUMBER.fullmatch(clause.rest)):
        yield Check("contains", amounts[0] if amounts else clause.rest), False


def _says_words(clause: Clause) -> Found:
    """A few plain words after a verb that asks for words: `must mention the refund policy`."""
    shape = _FEW_WORDS.fullmatch(clause.rest)
    if shape and not clause.quotes and not _ASKS_FOR_SENSE.match(shape["words"]):
        yield Check("not_contains" if clause.is_negated else "contains", shape["words"]), False


def _is_short(text: str) -> bool:
    """Whether a clause is short enough to say nothing beside its form."""
    return len(text.split()) <= 8


FORMS: tuple[_Form, ...] = (
    _failing,
    _empty,
    _asks_first,
    _in_order,
    _of_length,
    _json,
    _exactly,
    _at_the_ends,
    _calls_tool,
    _in_language,
    _kind_of_text,
    _says_quoted,
    says_amount,
    _says_words,
)
"""In this order; the first that reads a clause counts."""
OF_CONTENT = frozenset({_exactly, _at_the_ends, _says_quoted, says_amount, _says_words})
