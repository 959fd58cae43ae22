"""A model that says whether a criterion in words holds for one run; it reads the run as data only.

It is asked outside the sandbox, several times, at temperature 0: in turn whether the criterion
holds and whether its opposite does, each time under a new random delimiter. An answer counts only
when its quote stands verbatim in the run. A judge that says yes to everything, because the run
told it so, contradicts itself and decides nothing.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from refinery.agents._prompt import one_line, system_prompt
from refinery.llm.replies import Usage
from refinery.llm.router import Model
from refinery.model.messages import answer_text
from refinery.model.trace import Json
from refinery.model.verdict import ReplayResult, Trial
from refinery.replay import conduct
from refinery.replay.checks import JUDGED, replayed_trace
from refinery.safety.redact import redact
from refinery.safety.untrusted import fence, visible

ROUNDS = 3
"""Times a run is judged: criterion, opposite, criterion (chosen by us)."""
MAX_CHARS = 24_000
"""Characters of a run the judge is shown; of a longer answer the beginning and the end."""
MAX_CALLS = 40
MIN_QUOTE = 4
"""Fewest letters and digits of a quote that is no whole line; chosen by us."""
_LABEL = re.compile(r"^(?:asked|called|failed|answered): ")
READ_TOKENS, WRITTEN_TOKENS = 2_000, 100
"""What one question and its answer usually take; chosen by us."""
OPPOSITE = "It is not the case that the following statement is true of this run: "


class Ruling(BaseModel):
    """What the judge answers."""

    answer: Literal["yes", "no"] = Field(description="whether the statement is true of the run")
    quote: str = Field(description="copied character by character from the recording")
    reason: str = Field(default="", description="one short sentence")


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer of the model."""

    is_opposite: bool
    """Whether it was asked about the opposite of the criterion."""
    answer: bool
    """As given."""
    quote: str
    is_valid: bool
    """Whether the quote stands in the run."""
    reason: str = ""

    @property
    def holds(self) -> bool:
        """What the answer says of the criterion itself."""
        return self.answer is not self.is_opposite


@dataclass(frozen=True, slots=True)
class Opinion:
    """What all votes on one run come to."""

    held: bool | None
    """None: the votes contradict each other, or too few of them count."""
    votes: tuple[Vote, ...]

    @property
    def detail(self) -> str:
        """The outcome in words, with a quote."""
        counted = [vote for vote in self.votes if vote.is_valid]
        if self.held is None:
            lost = len(self.votes) - len(counted)
            why = f"{lost} of {len(self.votes)} answers quote nothing of the run" if lost else ""
            return f"the judge is undecided: {why or 'its answers contradict each other'}"
        vote = next(vote for vote in counted if vote.holds is self.held)
        word = "yes" if self.held else "no"
        return f"judge: {word}, {len(counted)} of {len(self.votes)} agree: {vote.quote!r}"


class Judge:
    """Judges results of replays; the same criterion and result are asked about once."""

    def __init__(self, model: Model, rounds: int = ROUNDS) -> None:
        self._model = model
        self._rounds = rounds
        self._lock = threading.Lock()
        self._known: dict[str, Opinion] = {}

    def __call__(self, criterion: str, result: ReplayResult) -> tuple[bool, str]:
        """Whether the criterion holds, and why; undecided is a no.

        Raises:
            ModelError, BudgetError, CredentialsError: as `llm.router.Model.structured`.
        """
        opinion = self.opinion(criterion, result)
        return opinion.held is True, opinion.detail

    def forecast_usd(self, results: int) -> float:
        """What judging so many results is expected to cost; 0 when the price is unknown."""
        once = self._model.cost(Usage(READ_TOKENS, WRITTEN_TOKENS)) or 0.0
        return once * self._rounds * results

    def opinion(self, criterion: str, result: ReplayResult) -> Opinion:
        """All votes on one result.

        Raises:
            ModelError, BudgetError, CredentialsError: as `llm.router.Model.structured`.
        """
        shown = as_text(result)
        key = hashlib.sha256(f"{criterion}\0{shown}".encode("utf-8", "replace")).hexdigest()
        with self._lock:
            known = self._known.get(key)
        if known is None:
            votes = tuple(self._ask(criterion, shown, bool(n % 2)) for n in range(self._rounds))
            known = Opinion(_outcome(votes), votes)
            with self._lock:
                self._known[key] = known
        return known

    def _ask(self, criterion: str, shown: str, is_opposite: bool) -> Vote:
        statement = f"{OPPOSITE if is_opposite else ''}{one_line(criterion, 1000)}"
        question = f"The statement:\n{statement}\n\nThe recording:\n{fence(shown, 'run')}"
        ruling = self._model.structured(
            system_prompt("judge"), question, Ruling, purpose="judge"
        ).value
        return Vote(
            is_opposite,
            ruling.answer == "yes",
            ruling.quote[:400],
            _is_quoted(ruling.quote, shown),
            one_line(ruling.reason, 300),
        )


def _outcome(votes: tuple[Vote, ...]) -> bool | None:
    """The majority of the votes that count, if criterion and opposite both support it."""
    counted = [vote for vote in votes if vote.is_valid]
    said = [vote.holds for vote in counted]
    outcome = sum(said) * 2 > len(said)
    support = [vote for vote in counted if vote.holds is outcome]
    both = {vote.is_opposite for vote in support} == {True, False}
    return outcome if both and len(support) * 2 > len(votes) else None


def _is_quoted(quote: str, shown: str) -> bool:
    """Whether a quote stands in the run itself, not in our labels, and is more than a few letters.

    A whole line may be as short as it is: an answer can be one word.
    """
    plain = quote.strip()
    lines = [_LABEL.sub("", line) for line in shown.split("\n")]
    is_long = sum(c.isalnum() for c in plain) >= MIN_QUOTE
    return (
        bool(plain) and quote in "\n".join(lines) and (is_long or plain in map(str.strip, lines))
    )


def as_text(result: ReplayResult) -> str:
    """A result as the judge reads it: what was asked, what was called, what was answered.

    Secrets are taken out, hidden characters shown as escapes. At most about `MAX_CHARS`
    characters.
    """
    parts = []
    trace = replayed_trace(result)
    if trace is not None and trace.root is not None:
        parts.append(f"asked: {_json(trace.root.inputs, MAX_CHARS // 4)}")
        calls = conduct.calls_of(trace)[:MAX_CALLS]
        parts += [f"called: {call.name} {_json(call.arguments, 300)}" for call in calls]
    if result.error:
        parts.append(f"failed: {_cut(result.error, 1000)}")
    parts.append(f"answered: {_cut(answer_text(result.output), MAX_CHARS // 2)}")
    return visible(str(redact("\n".join(parts))[0]))


def _json(value: Json, limit: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _cut(text, limit)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - limit} characters left out …]\n{text[-half:]}"


def recall(trial: Trial) -> Callable[[str, ReplayResult], tuple[bool, str]]:
    """A judge that says again what was said in a trial, and nothing of any other result."""
    said = {
        (found.check.partition(":")[2], result.trace_id, _fingerprint(result)): found
        for arm in trial.arms
        for result in arm.results
        for found in result.checks
        if found.check.startswith(JUDGED)
    }

    def judge(criterion: str, result: ReplayResult) -> tuple[bool, str]:
        found = said.get((criterion, result.trace_id, _fingerprint(result)))
        if found is None:
            return False, "the receipt holds no judgement of this result"
        return found.held, found.detail

    return judge


def _fingerprint(result: ReplayResult) -> str:
    return json.dumps(result.output, sort_keys=True, default=str)
