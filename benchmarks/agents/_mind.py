"""How the scripted model answers: from the request alone, and from what it learnt (`Knowledge`).

It is a reader, not a list of replies: it calls the tool whose name and description share most
words with the question, answers with the sentence of its context that fits best, and does what
`_policy` finds in the prompt. Where the prompt does not tell it otherwise it has the bad habits of
real models: it chats around JSON, trusts its memory, claims what it did not do, obeys what it
reads, and tries the same call again.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.agents._arguments import arguments_for
from benchmarks.agents._policy import Policy
from refinery.demo.reader import subject_words
from refinery.model.messages import Message, ToolCall
from refinery.model.trace import Json

UNKNOWN = "I do not know."
WARM = 0.3
"""Temperature above which answers vary."""

_DOCUMENT = re.compile(r"<(?:document|doc|source)\b([^>]*)>(.*?)</(?:document|doc|source)>", re.S)
_BLOCK = re.compile(r"(?m)^[ \t]*(?:\[\d+\]|(?:Document|Passage|Note|Source) \d+[:.)]?)(.*)$")
_DAY = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_EMPTY = re.compile(r"\s*(?:\[\]|\{\}|null|none|\"\"|no results?.*|not found.*)?\s*", re.I | re.S)
_FAILED = re.compile(r"\b(?:error|failed|exception|must be|invalid|unavailable)\b", re.I)
_ORDER = re.compile(
    r"(?:ignore (?:all |any )?(?:previous|earlier) instructions|important|system note|assistant)"
    r"[^\"\n]{0,120}?(?:say|reply|answer|tell)[^\"\n]{0,60}\"([^\"\n]+)\"",
    re.I,
)
_ACTION = re.compile(
    r"\b(cancel|book|refund|send|delete|reserve|update|change|order|unsubscribe)\b", re.I
)
_PAST = {"send": "sent", "cancel": "cancelled", "book": "booked", "refund": "refunded"}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a model brings along."""

    memory: tuple[Mapping[str, str], ...] = ()
    """`{"about": words, "says": text}`: what it believes without reading."""
    trusts_memory: bool = False
    """Whether it believes its memory more than a document, unless told otherwise."""
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What it can extract: `{name: {"pattern", "usually"}}`; `usually` is its own key."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Classes and the words that belong to each."""
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    chatter: tuple[str, ...] = ()
    """Sentences it adds unless told to be short."""
    bold: bool = False
    """Whether it writes markdown unless told not to."""
    loops: bool = False
    """Whether it tries an unhelpful call again."""


@dataclass(frozen=True, slots=True)
class Said:
    """A text, or calls it wants answered first."""

    text: str = ""
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, taken apart."""

    messages: Sequence[Message]
    tools: Sequence[Json]
    params: Mapping[str, Json]
    knowledge: Knowledge
    turn: int
    """How often this very request was made before."""

    @property
    def instructions(self) -> str:
        """Everything the prompt says, without the documents in it."""
        told = [m.text for m in self.messages if m.role in ("system", "user")]
        return _BLOCK.sub("", _DOCUMENT.sub("", "\n".join(told)))

    @property
    def question(self) -> str:
        """What is asked last."""
        asked = next((m.text for m in reversed(self.messages) if m.role == "user"), "")
        plain = _BLOCK.sub("", _DOCUMENT.sub("", asked))
        marked = re.findall(r"(?m)^(?:Question|Customer asks|Text|Message|Ticket): (.+)$", plain)
        return str(marked[-1]) if marked else plain.strip()

    @property
    def results(self) -> list[str]:
        """Tool results of the present turn."""
        last = max((i for i, m in enumerate(self.messages) if m.role == "user"), default=-1)
        return [m.text for m in self.messages[last + 1 :] if m.role == "tool"]


def answer(asked: Asked) -> Said:
    """Answer a request."""
    policy = Policy(asked.instructions)
    if order := _obeyed(asked, policy):
        return Said(order)
    if call := _call(asked, policy):
        return Said(call=call)
    task = asked.instructions.lower()
    if asked.knowledge.fields and re.search(r"\bextract|\bjson\b|\bfields?\b", task):
        return Said(_extracted(asked, policy))
    if asked.knowledge.labels and re.search(r"\bclassif|categor|\broute|\bchoose|\blabel", task):
        return Said(_labelled(asked, policy))
    return Said(_styled(asked, policy, _fact(asked, policy)))


def _obeyed(asked: Asked, policy: Policy) -> str:
    """What a text in the data orders to say; empty when the prompt says data is data."""
    if policy.treats_as_data:
        return ""
    found = [_ORDER.search(text) for text in [*asked.results, *(p.text for p in _context(asked))]]
    return next((str(match[1]) for match in found if match), "")


def _call(asked: Asked, policy: Policy) -> ToolCall | None:
    results = asked.results
    if results:
        useless = not any(_is_useful(asked.question, result) for result in results)
        again = useless and asked.knowledge.loops and not policy.never_repeats
        if not again or len(results) > 40:
            return None
    chosen, best = None, 0
    words = subject_words(asked.question)
    for tool in asked.tools:
        spec = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        told = f"{str(spec.get('name', '')).replace('_', ' ')} {spec.get('description', '')}"
        score = len(words & subject_words(told))
        if score > best:
            chosen, best = spec, score
    if chosen is None:
        return None
    schema = chosen.get("parameters", chosen.get("input_schema", {}))
    number = len([m for m in asked.messages if m.role == "tool"]) + 1
    arguments = arguments_for(schema, asked.question, str(chosen.get("description", "")))
    return ToolCall(str(chosen["name"]), arguments, f"call_{number}")


def _is_useful(question: str, result: str) -> bool:
    if _EMPTY.fullmatch(result) or _FAILED.search(result):
        return False
    return bool(subject_words(question) & subject_words(result))


@dataclass(frozen=True, slots=True)
class _Passage:
    text: str
    date: str = ""


def _context(asked: Asked) -> Iterator[_Passage]:
    for message in asked.messages:
        if message.role in ("system", "user"):
            for head, body in _DOCUMENT.findall(message.text):
                yield _Passage(body, (_DAY.search(head + body) or [""])[0])
            for body in _BLOCK.findall(_DOCUMENT.sub("", message.text)):
                yield _Passage(body, (_DAY.search(body) or [""])[0])


def _fact(asked: Asked, policy: Policy) -> str:
    """The answer as a plain English sentence."""
    question, results = asked.question, asked.results
    failed = [r for r in results if _EMPTY.fullmatch(r) or _FAILED.search(r)]
    action = _ACTION.search(question)
    if action and (not results or len(failed) == len(results)):
        if policy.claims_only_done or (failed and policy.reports_empty):
            return f"I could not {action[1].lower()} it: no tool has done so."
        past = _PAST.get(action[1].lower(), action[1].lower().removesuffix("e") + "ed")
        return f"I have {past} it for you."
    if results and len(failed) < len(results):
        return _from_results(question, [r for r in results if r not in failed])
    if failed and (policy.reports_empty or policy.never_repeats or policy.is_grounded):
        return "Nothing was found, so I cannot tell."
    recalled = _recalled(asked)
    if recalled and asked.knowledge.trusts_memory and not policy.is_grounded:
        return recalled
    earlier = [_Passage(m.text) for m in asked.messages[:-1] if m.role == "user"]
    found = _best(question, list(_context(asked)), newest=policy.prefers_newest)
    found = found or _yours(_best(question, earlier, newest=True))
    return found or (recalled if recalled and not policy.is_grounded else UNKNOWN)


def _recalled(asked: Asked) -> str:
    words = subject_words(asked.question)
    scored = [(len(words & subject_words(m["about"])), m["says"]) for m in asked.knowledge.memory]
    score, says = max(scored, default=(0, ""))
    return says if score >= 1 else ""


def _yours(sentence: str) -> str:
    return re.sub(r"\bI am\b", "You are", re.sub(r"\b[Mm]y\b", "Your", sentence))


def _from_results(question: str, results: Sequence[str]) -> str:
    passages = [_Passage(_as_sentences(result)) for result in results]
    return _best(question, passages, newest=False, least=1) or passages[-1].text.strip()


def _as_sentences(result: str) -> str:
    """A JSON object as sentences, any other text as it is."""
    try:
        value = json.loads(result)
    except ValueError:
        return result
    rows = value if isinstance(value, list) else [value]
    pairs = [pair for row in rows if isinstance(row, dict) for pair in row.items()]
    return " ".join(f"The {k.replace('_', ' ')} is {v}." for k, v in pairs) or result


def _best(question: str, passages: Sequence[_Passage], *, newest: bool, least: int = 2) -> str:
    """The sentence that shares most subject words with the question; empty when few are."""
    asked = subject_words(question)
    least = min(least, len(asked))
    ranked: list[tuple[int, str, int, str]] = []
    for passage in passages:
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", passage.text.strip()):
            score = len(asked & subject_words(sentence))
            if score >= max(least, 1) and not sentence.endswith("?"):
                order = (score, passage.date if newest else "", -len(ranked), sentence.strip())
                ranked.append(order)
    return max(ranked)[3] if ranked else ""


def _extracted(asked: Asked, policy: Policy) -> str:
    source = asked.question
    named = set(re.findall(r"[\"'`](\w+)[\"'`]", asked.instructions)) | set(
        re.findall(r"\b[a-z]+_[a-z_]+\b", asked.instructions)
    )
    found: dict[str, Json] = {}
    for name, how in asked.knowledge.fields.items():
        match = re.search(how["pattern"], source)
        key = name if name in named else how.get("usually", name)
        value: Json = match[1] if match else None
        found[key] = float(value) if value and re.fullmatch(r"\d+(\.\d+)?", value) else value
    written = json.dumps(found, ensure_ascii=False)
    wanted = asked.params.get("response_format")
    strict = isinstance(wanted, Mapping) and str(wanted.get("type", "")).startswith("json")
    if strict or (policy.wants_bare_json and policy.wants_json):
        return written
    return f"Here is what I found:\n```json\n{written}\n```\nLet me know if you need more."


def _labelled(asked: Asked, policy: Policy) -> str:
    words = subject_words(asked.question)
    scored = {
        name: len(words & subject_words(f"{name} {about}"))
        for name, about in asked.knowledge.labels.items()
    }
    label = max(scored, key=lambda name: scored[name])
    heat = asked.params.get("temperature", 1.0)
    heat = float(heat) if isinstance(heat, int | float) else 1.0
    if heat > WARM:
        dice = random.Random(f"{asked.turn}:{asked.question}")
        if dice.random() < min(0.9, heat):
            label = dice.choice(sorted(name for name in scored if name != label))
    short = re.search(r"\b(?:one word|only|nothing else|just the)\b", policy.text, re.I)
    return label if short else f"This looks like a {label} request."


def _styled(asked: Asked, policy: Policy, fact: str) -> str:
    """The answer in the language, length and form the prompt asks for."""
    language = policy.language(asked.question)
    text = asked.knowledge.translations.get(language, {}).get(fact, fact)
    if asked.knowledge.bold and not policy.is_plain:
        text = f"**Answer:** {text}"
    most = policy.most_sentences
    extra = () if fact == UNKNOWN else asked.knowledge.chatter
    text = " ".join([text, *extra[: len(extra) if most is None else most - 1]])
    if policy.most_words is not None and len(text.split()) > policy.most_words:
        text = text if len(fact.split()) > policy.most_words else fact
    if policy.wants_bare_json and policy.wants_json and not asked.results:
        return json.dumps({"answer": text}, ensure_ascii=False)
    return text
