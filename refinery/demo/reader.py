"""A deterministic reader: answers a question with the sentence of its context that fits best.

It stands in for a language model where there is no key and no network. It knows nothing but what
the request holds: it calls an offered tool when the question names what the tool is about, else it
picks the sentence that shares most words with the question. Among equally fitting sentences the
first one wins, unless the system prompt says to rely on the most recent document.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from refinery.model.messages import Message, ToolCall
from refinery.model.trace import Json

UNKNOWN = "I do not know."

_ENGLISH = """
a about after all also am an and any are as at be been but by can could did do does each for from
had has have how i if in is it its long many may me much must my no not of on one or our per please
shall should so some tell than that the their them then there these they this to up us was we were
what when where which who whom whose why will with would you your
"""
_FUNCTION_WORDS = frozenset(_ENGLISH.split())
"""English words that say nothing about the subject."""

_ACTIONS = "call check fetch find get list look lookup query read retrieve run search show up"
_ACTION_WORDS = frozenset(_ACTIONS.split())
"""Words of tool names that say what is done, not what it is about."""

_DOCUMENT = re.compile(r"<document\b([^>]*)>(.*?)</document>", re.DOTALL | re.IGNORECASE)
_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_NEWEST = re.compile(
    r"\b(?:answer from|choose|favou?r|go by|prefer|rely on|take|trust|use)\b[^.,;:!?]*"
    r"\b(?:latest|most recent(?:ly)?|most up-to-date|newer|newest)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(?:\b(?:not|never)|n't)\b[^.,;:!?]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the reader says: a text, or a call it wants answered first."""

    text: str = ""
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class _Passage:
    text: str
    date: str
    """ISO date, which sorts as text; empty when none can be read."""


def read(messages: Sequence[Message], tools: Sequence[Json] = ()) -> Utterance:
    """Answer the last question of a conversation, or ask for a tool that should come first.

    Args:
        messages: the conversation, oldest first.
        tools: the offered tools as the OpenAI chat API has them.
    """
    asked = next((m.text for m in reversed(messages) if m.role == "user"), "")
    facts = _facts(asked)
    question = facts.pop("question", asked)
    results = [message.text for message in messages if message.role == "tool"]
    if not results and (call := _wanted_call(question, facts, tools)):
        return Utterance(call=call)
    system = "\n".join(message.text for message in messages if message.role == "system")
    newest = _prefers_newest(_DOCUMENT.sub("", system))
    own = [_Passage(text, "") for text in results]
    given = list(_documents([message.text for message in messages if message.role != "tool"]))
    best = _best_sentence(question, own, newest) or _best_sentence(question, given, newest)
    return Utterance(best or UNKNOWN)


def subject_words(text: str) -> frozenset[str]:
    """The words of a text that carry its subject, in lower case and without usual endings."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return frozenset(_stem(word) for word in found if word not in _FUNCTION_WORDS)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _facts(text: str) -> dict[str, str]:
    """The `Key: value` lines of a message, keys in lower case."""
    pairs = (re.fullmatch(r"([A-Za-z][\w ]{0,30}): (.+)", line) for line in text.splitlines())
    return {pair[1].lower(): pair[2].strip() for pair in pairs if pair}


def _wanted_call(
    question: str, facts: Mapping[str, str], tools: Sequence[Json]
) -> ToolCall | None:
    """A call of the first tool the question is about, if its arguments are known."""
    asked = subject_words(question)
    for number, tool in enumerate(tools, start=1):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        name = str(function.get("name", ""))
        about = {word for word in name.lower().split("_") if word not in _ACTION_WORDS}
        arguments = _arguments(function.get("parameters"), facts)
        if asked & subject_words(" ".join(about)) and arguments is not None:
            return ToolCall(name, arguments, f"call_{number}")
    return None


def _arguments(schema: Json, facts: Mapping[str, str]) -> dict[str, str] | None:
    """Required arguments, each from the fact that shares a word with its name; None if unknown."""
    required = schema.get("required", []) if isinstance(schema, Mapping) else []
    found: dict[str, str] = {}
    for name in required:
        parts = set(str(name).lower().split("_"))
        value = next((v for key, v in facts.items() if parts & set(key.split())), None)
        if value is None:
            return None
        found[str(name)] = value
    return found


def _prefers_newest(instructions: str) -> bool:
    return any(
        not _NEGATED.search(instructions[: match.start()])
        for match in _NEWEST.finditer(instructions)
    )


def _documents(texts: Sequence[str]) -> Iterator[_Passage]:
    """The `<document …>` elements of the texts, in order, each with the first date it names."""
    for text in texts:
        for attributes, body in _DOCUMENT.findall(text):
            date = _ISO_DATE.search(attributes) or _ISO_DATE.search(body)
            yield _Passage(body, date[0] if date else "")


def _best_sentence(question: str, passages: Sequence[_Passage], newest: bool) -> str:
    """The sentence that shares most subject words with the question; empty when none does."""
    asked = subject_words(question)
    ranked: list[tuple[int, str, int, str]] = []
    for passage in passages:
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", passage.text.strip()):
            score = len(asked & subject_words(sentence))
            if score and not sentence.endswith("?"):  # a question answers nothing
                order = -len(ranked)
                ranked.append((score, passage.date if newest else "", order, sentence.strip()))
    return max(ranked)[3] if ranked else ""
