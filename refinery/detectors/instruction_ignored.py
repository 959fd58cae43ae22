"""The answer breaks a clearly checkable instruction of the system prompt."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import Hit, find, find_all
from refinery.detectors._shared.quotes import around, evidence, first_line
from refinery.detectors._shared.view import ModelCall, view
from refinery.detectors._shared.wording import LANGUAGES, language
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace

SPECIFICITY = 1

_SMALL = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}
_COUNT = r"(\d{1,4}|one|two|three|four|five|six|ten)"
_LENGTH = (
    r"(?i)(?:at most|no more than|maximum of|max\.?|not exceed(?:ing)?|under|fewer than|less than|"
    r"up to|limit(?:ed)? to|within) (?:about |roughly )?" + _COUNT
    + r"( short)? (words?|sentences?|characters?|bullet points?|bullets|paragraphs?|lines?)\b"
)  # fmt: skip
_FORMAT_LENGTH = (
    r"(?i)(?:answer|respond|reply|response|write)[^.\n]{0,40} in (?:exactly |only )?"
    + _COUNT + r"(?: or " + _COUNT + r")?(?: short| brief)* (words?|sentences?)\b"
)  # fmt: skip
_LANGUAGE = (
    r"(?i)(?:always |only |must )?(?:answer|respond|reply|write|speak|communicate)"
    r"(?: (?:only|always|exclusively|to (?:the )?(?:user|customer)s?))* in ("
    + "|".join(LANGUAGES) + r")\b"
)  # fmt: skip
_FORBIDDEN = (
    r"(?i)(?:never|do not|don['\x{2019}]t|must not|avoid) (?:ever )?(?:use|using|say|saying|"
    r"mention|mentioning|write|writing|include|including) the (?:word|phrase|term|name)s? "
    r"[\"'“\x{2018}`]([^\"'”\x{2019}`\n]{2,60})[\"'”\x{2019}`]"
)
_PLAIN = (
    r"(?i)(?:no|without|never use|do not use|don['\x{2019}]t use|avoid) "
    r"(?:any )?(markdown|emojis?)\b"
)
_EMOJI = r"[\x{1F300}-\x{1FAFF}\x{2600}-\x{27BF}]"
_MARKDOWN = r"(?m)^#{1,6} \S|\*\*[^*\n]+\*\*|^```|^\s*[-*] \S.*\n\s*[-*] \S|\[[^\]\n]+\]\(http"
_EXCEPT = ("unless", "except", "if the user asks", "if asked", "when asked", "same language")
_SLACK = 1.25
"""How far over a length an answer may be before it counts; people and models count differently."""


@dataclass(frozen=True, slots=True)
class _Broken:
    instruction: str
    seen: str
    what: str
    likelihood: Likelihood


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each instruction, at the first answer that breaks it."""
    reported: set[str] = set()
    for model in view(trace).answers:
        for broken in _broken(model):
            if broken.instruction in reported:
                continue
            reported.add(broken.instruction)
            yield Signal(
                detector="instruction_ignored",
                title=f"The answer ignores an instruction: {broken.instruction[:80]}",
                explanation=f"The prompt says “{broken.instruction}”, and {broken.what}.",
                cause_run_id=model.run.run_id,
                symptom_run_id=model.run.run_id,
                evidence=(
                    *evidence(model.run, broken.instruction),
                    *evidence(model.run, broken.seen, first_line(model.text)),
                ),
                likelihood=broken.likelihood,
                root_cause=RootCause.PROMPT,
                facts={"instruction": broken.instruction, "what": broken.what},
            )


def _broken(model: ModelCall) -> Iterator[_Broken]:
    """Instructions of the system prompt that an answer breaks."""
    prompt = model.system[:30_000]
    checks: tuple[tuple[str, Callable[[Hit, ModelCall], tuple[str, str] | None]], ...] = (
        (_LENGTH, _too_long),
        (_FORMAT_LENGTH, _too_long),
        (_LANGUAGE, _other_language),
        (_FORBIDDEN, _forbidden_word),
        (_PLAIN, _decorated),
    )
    for pattern, check in checks:
        for hit in find_all(pattern, prompt):
            sentence = around(prompt, hit.start, hit.end)
            if any(word in sentence.lower() for word in _EXCEPT):
                continue
            found = check(hit, model)
            if found is not None:
                soft = pattern == _LENGTH and not find(r"(?i)answer|respon|repl", sentence)
                sure = Likelihood.POSSIBLE if soft else Likelihood.LIKELY
                yield _Broken(sentence, found[0], found[1], sure)


def _too_long(hit: Hit, model: ModelCall) -> tuple[str, str] | None:
    counts = [_SMALL.get(g.lower()) or int(g) for g in hit.groups if g and _is_count(g)]
    unit = hit.groups[-1].lower().rstrip("s")
    if not counts:
        return None
    limit, size = max(counts), _size(model.text, unit)
    allowed = max(limit * _SLACK, limit + 1) if unit in ("word", "character") else limit + 1
    return (first_line(model.text), f"the answer has {size} {unit}s") if size > allowed else None


def _is_count(text: str) -> bool:
    return text.lower() in _SMALL or (text.isascii() and text.isdigit())


def _size(text: str, unit: str) -> int:
    if unit == "word":
        return len(text.split())
    if unit == "character":
        return len(text)
    if unit == "sentence":
        return sum(1 for _ in find_all(r"[.!?](?:\s|$)", text))
    if unit == "paragraph":
        return sum(bool(part.strip()) for part in text.split("\n\n"))
    if unit == "line":
        return sum(bool(line.strip()) for line in text.splitlines())
    return sum(1 for _ in find_all(r"(?m)^\s*(?:[-*•]|\d+[.)])\s", text))


def _other_language(hit: Hit, model: ModelCall) -> tuple[str, str] | None:
    wanted = hit.groups[0].capitalize()
    found = language(model.text)
    if found is None or found == wanted:
        return None
    return first_line(model.text), f"the answer is in {found}"


def _forbidden_word(hit: Hit, model: ModelCall) -> tuple[str, str] | None:
    word = hit.groups[0]
    at = model.text.lower().find(word.lower())
    before, after = model.text[at - 1 : at], model.text[at + len(word) : at + len(word) + 1]
    if at < 0 or before.isalnum() or after.isalnum():
        return None
    return around(model.text, at, at + len(word)), f"the answer says “{word}”"


def _decorated(hit: Hit, model: ModelCall) -> tuple[str, str] | None:
    kind = hit.groups[0].lower()
    found = find(_EMOJI if kind.startswith("emoji") else _MARKDOWN, model.text)
    return (found.text, f"the answer uses {kind}") if found else None


def _told(instruction: str, answer: str) -> Trace:
    given = [samples.system(instruction), samples.user("Where is my parcel?")]
    return samples.trace(samples.model("reply", given, answer), output=answer)


_LONG = "It left. It is late. It will come. Please wait. Thank you. Goodbye now."
CLEAN = [
    _told("Answer in at most two sentences.", "It left today. It comes tomorrow."),
    _told("Always answer in English.", "Your parcel is on the way and it will be there soon."),
    _told(
        "Answer in French unless the user writes English.", "It is on the way to you and is late."
    ),
    _told("Never use the word 'delay'.", "It will be there tomorrow."),
]
FAILING = [
    (_told("Answer in at most two sentences.", _LONG), [samples.uid("reply")]),
    (
        _told("Always answer in German.", "Your parcel is on the way and it will be there soon."),
        [samples.uid("reply")],
    ),
    (_told("Never use the word 'delay'.", "There is a delay."), [samples.uid("reply")]),
    (_told("Do not use emojis.", "It is on its way 🚚"), [samples.uid("reply")]),
]
