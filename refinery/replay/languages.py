"""Which language a text is written in, told by its script and its commonest words.

Ten languages of Latin script by function words (the closed classes: articles, pronouns,
prepositions, auxiliaries), others by script alone. Short texts are often undecided, and said so.
"""

import re
import unicodedata
from collections import Counter

_WORDS = {
    "en": "the and of to is are was you your that this with for not have has it in on be can will "
    "we i my at from as or an by if please there would do does but our they no",
    "de": "der die das und ist nicht ein eine einen einem einer sie wir ihr ihre ihren mit für "
    "auf zu den dem des von im es auch sich haben hat wird werden bei nach aus kann sind "
    "als oder wie wenn noch nur über bis innerhalb pro kostet bitte ja nein",
    "fr": "le la les des un une et est pas vous nous votre vos notre je il elle que qui dans pour "
    "sur avec ce cette ces du au aux en ne plus par sont être avez peut ou à de oui non",
    "es": "el la los las un una y es no que de del en por para con su sus se lo le usted nosotros "
    "nuestro está están puede tiene más como pero al o este esta sí desde hasta",
    "it": "il lo la i gli le un una e è non che di del della dei delle in per con su si da al "
    "sono può ha hanno suo sua nostro voi lei più come ma o questo questa sì",
    "pt": "o a os as um uma e é não que de do da dos das em no na nos nas por para com seu sua se "
    "você nós está são pode tem mais como mas ou ao à este esta sim até",
    "nl": "de het een en is niet van u uw wij ik je dat die dit met voor op te in zijn aan er ook "
    "kan heeft hebben worden wordt bij naar uit als of maar nog om over per ja nee",
    "sv": "och är inte en ett det den som för med på av till du ni vi jag har kan att om från är "
    "ska eller men var din ditt era vår ja nej",
    "pl": "i jest nie w na z do się że to jak za od po dla są może ten ta czy lub ale oraz przez "
    "pan pani twój nasz tak",
    "tr": "ve bir bu için ile değil var yok mi de da siz biz ben çok daha gibi ama veya olarak "
    "olan kadar sonra evet",
}  # chosen by us; the closed classes of each language's grammar
_COMMON = {code: frozenset(words.split()) for code, words in _WORDS.items()}
_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CJK": "zh", "CYRILLIC": "ru",
    "GREEK": "el", "ARABIC": "ar", "HEBREW": "he", "DEVANAGARI": "hi", "THAI": "th",
}  # fmt: skip
NAMES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it",
    "portuguese": "pt", "dutch": "nl", "swedish": "sv", "polish": "pl", "turkish": "tr",
    "japanese": "ja", "korean": "ko", "chinese": "zh", "russian": "ru", "greek": "el",
    "arabic": "ar", "hebrew": "he", "hindi": "hi", "thai": "th",
}  # fmt: skip
"""English name of each language that can be told, and its ISO 639-1 code."""
CODES = frozenset(NAMES.values())
_WORD = re.compile(r"[^\W\d_]+")
_READ = 4000
"""Characters that are looked at."""
_FEWEST = 2
"""Function words needed for an answer; with fewer a name or a loan word would decide."""


def language_of(text: str) -> str | None:
    """ISO 639-1 code of the language most of a text is in; None when nobody can tell.

    >>> language_of("Die Rückgabe ist innerhalb von 30 Tagen möglich.")
    'de'
    >>> language_of("29 EUR") is None
    True
    """
    head = text[:_READ]
    if script := _by_script(head):
        return script
    words = [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFC", head))]
    counts = Counter({code: sum(w in known for w in words) for code, known in _COMMON.items()})
    (best, most), (_, second) = counts.most_common(2)
    return best if most >= _FEWEST and most > second else None


def _by_script(text: str) -> str | None:
    """The language of a script of its own, when at least half of the letters are of it.

    Japanese mixes scripts: a fifth of kana among Chinese characters is enough.
    """
    letters = [character for character in text if character.isalpha()]
    scripts = Counter(_SCRIPTS.get(unicodedata.name(c, "").split(" ")[0], "") for c in letters)
    if not letters:
        return None
    foreign = Counter({code: count for code, count in scripts.items() if code})
    if sum(foreign.values()) * 2 < len(letters):
        return None
    if foreign["ja"] * 5 >= foreign["zh"] + foreign["ja"] > 0 and foreign["ja"]:
        return "ja"
    return foreign.most_common(1)[0][0]
