"""What an answer says of itself: that it has nothing, that it asks, in which language it is."""

from refinery.detectors._shared.patterns import find, find_all

_DENIES = (
    r"(?i)\b(?:no|not|none|nothing|never|unable|unfortunately|sorry|apolog\w*|cannot|without|"
    r"empty|fail\w*|error\w*|invalid|unavailable|missing|issue|problem|trouble|however|"
    r"leider|nicht|kein\w*|désolé\w*|pas|aucun\w*|lamento|ningun\w*|purtroppo|non|nessun\w*|"
    r"infelizmente|não|nenhum\w*|helaas|niet|geen)\b|n['\x{2019}]t\b|抱歉|没有|无法|申し訳|ありません|"
    r"죄송|없|извин\w*|не "
)
_STOPWORDS = {
    "English": "the and is are you your of to for with that this have it be on",
    "German": "der die das und ist sind sie ihre nicht ein eine mit für auf zu den",
    "French": "le la les et est vous votre des une un pour avec dans que pas sur",
    "Spanish": "el la los las y es su una un para con que por en del se",
    "Italian": "il lo la gli e è una un per con che di non sono del si",
    "Portuguese": "o a os as e é uma um para com que de não do da em",
    "Dutch": "de het een en is zijn u uw van voor met dat niet op te in",
}
_SCRIPTS = {
    "Chinese": r"\p{Han}",
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
    "Korean": r"\p{Hangul}",
    "Russian": r"\p{Cyrillic}",
    "Arabic": r"\p{Arabic}",
}
LANGUAGES = (*_STOPWORDS, *_SCRIPTS)
MIN_WORDS = 8
"""Fewer words say nothing about a language."""


def denies(text: str) -> bool:
    """Whether a text admits that something is missing, failed or was refused."""
    return find(_DENIES, text) is not None


def asks(text: str) -> bool:
    """Whether a text asks something back."""
    return "?" in text or "\uff1f" in text


def language(text: str) -> str | None:
    """The language of a text among `LANGUAGES`; None when it is not clear.

    By script, else by function words: the best language must have an eighth of all words and
    twice as many as the next.
    """
    sample = text[:4_000]
    for name, script in _SCRIPTS.items():
        order = "Japanese" if name == "Chinese" and find(_SCRIPTS["Japanese"], sample) else name
        if sum(1 for _ in find_all(script, sample)) >= max(MIN_WORDS, len(sample) // 8):
            return order
    words = [hit.text.lower() for hit in find_all(r"\pL+", sample)]
    if len(words) < MIN_WORDS:
        return None
    counts = {n: sum(w in known.split() for w in words) for n, known in _STOPWORDS.items()}
    best, second = sorted(counts, key=lambda n: -counts[n])[:2]
    clear = counts[best] * 8 >= len(words) and counts[best] >= 2 * max(counts[second], 1)
    return best if clear else None
