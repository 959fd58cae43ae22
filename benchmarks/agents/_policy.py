"""What a prompt tells a model to do, read from its words."""

import re
from dataclasses import dataclass

LANGUAGES = {
    "english": "en",
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "dutch": "nl",
}
_COMMON = {
    "de": {"wie", "wann", "wo", "ist", "das", "der", "die", "ich", "und", "ein", "viel", "was"},
    "fr": {"le", "la", "est", "quand", "combien", "où", "les", "je", "une", "des", "quel", "à"},
    "es": {"el", "cuándo", "cuánto", "dónde", "es", "los", "una", "qué", "cuesta", "abre", "la"},
}
_NUMBERS = {"one": 1, "a single": 1, "two": 2, "three": 3}


def _has(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_NEWEST = _has(
    r"(?<!not )(?<!never )\b(?:rely on|use|prefer|trust|take|favou?r|choose)\b[^.;:!?]{0,40}"
    r"\b(?:latest|most recent|newest|newer|most up-to-date)\b"
)
_GROUNDED = _has(
    r"\bonly\b[^.!?]{0,60}\b(?:documents?|context|sources?|passages?|tool results?|provided)",
    r"\b(?:do not|don't|never) (?:guess|invent|make up|use (?:your )?own knowledge)",
    r"\bsay (?:that )?you (?:do not|don't) know",
)
_BARE_JSON = _has(
    r"\bjson\b[^.!?]{0,40}\bonly\b",
    r"\bonly\b[^.!?]{0,40}\bjson\b",
    r"\bno (?:code fence|introduction|prose|markdown fence)",
    r"\bnothing (?:else|but)\b",
)
_JSON = _has(r"\bjson\b")
_NO_REPEAT = _has(
    r"\b(?:never|do not|don't) (?:repeat|call|make|retry|search)\b[^.!?]{0,60}"
    r"\b(?:same|identical|again|twice)\b",
    r"\bstop (?:when|as soon as|after)\b",
)
_EMPTY = _has(
    r"\b(?:empty|nothing|no results?|fails?|failed|error)\b[^.!?]{0,60}\b(?:say|tell|report)",
    r"\b(?:say|tell|report|admit)\b[^.!?]{0,80}\b(?:nothing was found|empty|not found|failed)",
)
_CLAIMS = _has(
    r"\bonly (?:after|when|once|if)\b[^.!?]{0,60}\b(?:tool|call|succeed|confirm)",
    r"\bnever (?:claim|say|state)\b[^.!?]{0,60}\b(?:done|action|performed)",
)
_DATA = _has(
    r"\b(?:never|do not|don't)\b[^.!?]{0,20}\b(?:follow|obey|act on)\b[^.!?]{0,40}"
    r"\b(?:instructions?|orders?|commands?)",
    r"\bis data\b",
)
_SHORT = _has(r"\bbrief(?:ly)?\b", r"\bshort(?:ly)?\b", r"\bconcise", r"\bnothing else\b")
_SENTENCES = _has(r"\b(one|a single|two|three|\d)\b(?: or \w+)?(?: \w+)? sentences?\b")
_WORDS = _has(r"\b(?:at most|no more than|under|fewer than|up to|maximum of)\s+(\d+)\s+words\b")
_PLAIN = _has(
    r"\bplain text\b",
    r"\b(?:no|without|not use|avoid)\b(?: any)? (?:markdown|asterisks|formatting)",
)
_SAME_LANGUAGE = _has(
    r"\blanguage (?:of|in which|that) (?:the|their|your)?[^.!?]{0,30}"
    r"(?:question|customer|user|message|asked)",
    r"\b(?:same|customer's|user's|visitor's|question's) language\b",
)
_LANGUAGE = _has(rf"\bin ({'|'.join(LANGUAGES)})\b")
_CITE = _has(r"\bcite\b", r"\bname (?:the|your) source", r"\bsource in (?:square )?brackets")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which instructions a prompt holds."""

    text: str

    def __getattr__(self, name: str) -> bool:
        patterns = {
            "prefers_newest": _NEWEST,
            "is_grounded": _GROUNDED,
            "wants_bare_json": _BARE_JSON,
            "wants_json": _JSON,
            "never_repeats": _NO_REPEAT,
            "reports_empty": _EMPTY,
            "claims_only_done": _CLAIMS,
            "treats_as_data": _DATA,
            "is_plain": _PLAIN,
            "cites": _CITE,
        }
        if name not in patterns:
            raise AttributeError(name)
        return bool(patterns[name].search(self.text))

    @property
    def most_sentences(self) -> int | None:
        """Sentences the prompt allows; None: as many as it likes."""
        found = _SENTENCES.search(self.text)
        if found:
            word = found[1].lower()
            return _NUMBERS.get(word) or int(word)
        return 1 if _SHORT.search(self.text) else None

    @property
    def most_words(self) -> int | None:
        """Words the prompt allows."""
        found = _WORDS.search(self.text)
        return int(found[1]) if found else None

    def language(self, question: str) -> str:
        """Language of the answer."""
        if _SAME_LANGUAGE.search(self.text):
            return language_of(question)
        found = _LANGUAGE.search(self.text)
        return LANGUAGES[found[1].lower()] if found else "en"


def language_of(text: str) -> str:
    """Language a text is most likely in."""
    words = set(re.findall(r"\w+", text.lower()))
    best = max(_COMMON, key=lambda name: len(words & _COMMON[name]))
    return best if len(words & _COMMON[best]) >= 2 else "en"
