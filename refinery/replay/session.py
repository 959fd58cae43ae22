"""One replayed case as the gateway sees it: what was asked, and what each request was given."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from refinery import clock
from refinery.model.trace import Json, Run
from refinery.model.verdict import Fidelity, StepFidelity
from refinery.replay import canonical
from refinery.replay.canonical import Canonical, Fresh
from refinery.replay.exchange import Api, ModelRequest
from refinery.replay.live_answers import Lane
from refinery.replay.patience import TRIED_AGAIN, Client, outlasts
from refinery.replay.tape import RecordedCall, Tape
from refinery.replay.variation import Variation
from refinery.replay.varying import Recorded, Varied, Varying

Meaning = Mapping[str, Mapping[str, Json]]
"""For a recorded call (by run id), the fields its unchanged program really sends."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the requests of a case are judged."""

    is_unchanged: bool = False
    """Whether the program is the recorded one. Then a request with a recorded conversation *is*
    the recorded one, and fields that differ are what the recording could not keep."""
    meaning: Meaning = field(default_factory=dict)
    """What recorded calls mean, learnt from replays of the unchanged program."""
    known: frozenset[str] = frozenset()
    """More UUIDs that are data, e.g. those a patch adds."""
    asks_again: bool = False
    """Whether recorded requests are asked of the live model too, to see what it says today."""
    upstream: Lane | None = None
    """Whom to ask for requests that were not recorded; None: nobody."""
    live_from_ns: int | None = None
    """Calls recorded from then on (nanoseconds UTC) are asked of `upstream`; None: none."""
    variation: tuple[Variation, Recorded] | None = None
    """How requests are changed before they are looked up, and what was recorded; None: not."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A request that was not recorded."""

    expected: str | None
    """Run id of the recorded call that was next; None: all had been made."""
    got: dict[str, Json]
    """The request as it is compared, see `canonical.document`."""


class Session:
    """The state of one case; safe for threads, since agents call models in parallel."""

    def __init__(self, tape: Tape, rules: Rules) -> None:
        self.tape = tape
        self.rules = rules
        self._known = frozenset(tape.known) | rules.known
        self._lock = threading.Lock()
        self._served: set[str] = set()
        self._steps: list[tuple[int, StepFidelity]] = []
        self.missed: Missed | None = None
        """The first request that was not recorded."""
        self.beyond = ""
        """Why no later request can have been recorded: the recorded run ended with a failure that
        was outlasted; empty: it may have been."""
        self._is_past = False
        """Whether a call recorded after `Rules.live_from_ns` has been asked for."""
        self._tried: dict[str, tuple[RecordedCall, StepFidelity]] = {}
        """What the latest request of a conversation was given, for its repeated attempts."""
        self.learnt: dict[str, dict[str, Json]] = {}
        """Fields the program sent for recorded calls, by run id."""
        self._varying = Varying(rules.variation[0], tape, rules.variation[1]) if (
            rules.variation
        ) else None  # fmt: skip

    @property
    def varied(self) -> tuple[Varied, ...]:
        """Every request that was changed, in order."""
        with self._lock:
            return tuple(self._varying.varied) if self._varying else ()

    @property
    def timed_steps(self) -> tuple[tuple[int, StepFidelity], ...]:
        """When each request came (ns since the epoch) and what it was given, in order."""
        with self._lock:
            return tuple(self._steps)

    @property
    def steps(self) -> tuple[StepFidelity, ...]:
        """What each request was given, in order of arrival."""
        return tuple(step for _, step in self.timed_steps)

    def log(self, step: StepFidelity) -> None:
        """Keep one step."""
        with self._lock:
            self._steps.append((clock.now_ns(), step))

    @property
    def upstream(self) -> Lane | None:
        """Whom to ask now for what was not recorded; None: nobody."""
        start_ns = self.rules.live_from_ns
        if start_ns is None:
            return self.rules.upstream
        with self._lock:
            before = {call.run_id for call in self.tape.calls if call.start_ns < start_ns}
            return self.rules.upstream if self._is_past or before <= self._served else None

    def miss(self, request: ModelRequest) -> None:
        """Keep the first request that was not recorded, and which one was next."""
        got = canonical.document_of_request(request)
        is_embedding = request.api is Api.OPENAI_EMBEDDINGS
        with self._lock:
            waiting = (
                call.run_id
                for call in self.tape.calls
                if call.run_id not in self._served
                and (call.interface == Api.OPENAI_EMBEDDINGS) == is_embedding
            )
            self.missed = self.missed or Missed(next(waiting, None), got)

    def vary(self, request: ModelRequest | Run) -> Varied | None:
        """Change a request as the case's variation says; None when it stays as it is.

        Raises:
            CannotVaryError: it has to be changed and cannot be.
        """
        if self._varying is None:
            return None
        asked = self._canonical(request)
        with self._lock:
            found = self._equal(asked)
            call = found[0] if found else None
            varied = self._varying.change(request, call)
            if varied is not None and call is not None:
                self._served.add(call.run_id)  # the next equal request is the next call
            return varied

    def find(
        self, request: ModelRequest | Run, *, is_varied: bool = False, attempt: int = 0
    ) -> tuple[RecordedCall, StepFidelity] | None:
        """The recorded call a request is equal to; None when there is none.

        Equal requests are given their replies in recorded order; the last one repeats.

        Args:
            request: as read from the wire, or a call described as the recorder describes it.
            is_varied: whether it was changed. Then it is a recorded one only when every field is
                known to be equal.
            attempt: how often the client has sent this very request before.
        """
        if self.rules.asks_again:
            return None
        asked = self._canonical(request)
        with self._lock:
            if attempt and (again := self._tried.get(asked.exact)):
                return again
            found = self._equal(asked)
            if found is None or (is_varied and not _is_surely(found[0], asked)):
                return None
            if self._is_live(found[0]):
                return None
            served = self._serve(found[0], asked, is_exact=found[1])
            self._tried[asked.exact] = served
            return served

    def outlasted(self, request: ModelRequest, client: Client) -> tuple[str, str]:
        """Why a recorded failure is no answer to a changed program's client, and its run's id.

        Both are empty when it is one, or when no failure was recorded of an equal request.
        """
        is_failing = any(call.reply is None for call in self.tape.calls)
        if self.rules.is_unchanged or self.rules.asks_again or not is_failing:
            return "", ""
        asked = self._canonical(request)
        with self._lock:
            given = self._tried.get(asked.exact) if client.attempt else self._equal(asked)
            why = outlasts(client, given[0]) if given else ""
            if given and why == TRIED_AGAIN and given[0] is self.tape.calls[-1]:
                self.beyond = why
            return (why, given[0].run_id) if given and why else ("", "")

    def _is_live(self, call: RecordedCall) -> bool:
        """Whether a recorded call is asked anew; from then on all are."""
        start_ns = self.rules.live_from_ns
        if start_ns is None or self.rules.upstream is None:
            return False
        self._is_past = self._is_past or call.start_ns >= start_ns
        return self._is_past

    def _canonical(self, request: ModelRequest | Run) -> Canonical:
        fresh = Fresh(self.tape.start_ns, self._known, clock.now_ns())
        if isinstance(request, Run):
            return canonical.of_run(request, fresh, is_redacted=False)
        return canonical.of_request(request, fresh)

    def _equal(self, asked: Canonical) -> tuple[RecordedCall, bool] | None:
        """The recorded call, and whether its conversation is exactly the same."""
        exact = [call for call in self.tape.calls if call.request.exact == asked.exact]
        near = [c for c in self.tape.calls if c.request.normalised == asked.normalised]
        loose = [
            c
            for c in self.tape.calls
            if self.rules.is_unchanged and c.request.loose and c.request.loose == asked.loose
        ]
        for candidates, is_exact in ((exact, True), (near, False), (loose, False)):
            found = self._choose(candidates, asked)
            if found:
                return found, is_exact
        return None

    def _choose(self, calls: Iterable[RecordedCall], asked: Canonical) -> RecordedCall | None:
        fitting = [call for call in calls if not self._differences(call, asked)]
        if not fitting and self.rules.is_unchanged:
            fitting = list(calls)
        waiting = [call for call in fitting if call.run_id not in self._served]
        return waiting[0] if waiting else fitting[-1] if fitting else None

    def _differences(self, call: RecordedCall, asked: Canonical) -> list[str]:
        """Fields that differ from what the recorded call is known to have sent."""
        meaning = self.rules.meaning.get(call.run_id)
        if meaning is None:
            return canonical.differing(call.request, asked.fields)
        return canonical.differing(
            replace(call.request, fields=dict(meaning), unknown=()), asked.fields
        )

    def _serve(
        self, call: RecordedCall, asked: Canonical, *, is_exact: bool
    ) -> tuple[RecordedCall, StepFidelity]:
        self._served.add(call.run_id)
        self.learnt.setdefault(call.run_id, dict(asked.fields))
        differing = canonical.differing(call.request, asked.fields)
        vague = [name for name in call.request.unknown if name in asked.fields]
        lost = sorted({*differing, *vague})
        details = [] if is_exact else ["identifiers or times differ"]
        details += [f"not as recorded: {', '.join(lost)}"] if lost else []
        fidelity = Fidelity.NORMALISED if details else Fidelity.EXACT
        step = StepFidelity(call.name, _kind(call), fidelity, call.run_id, "; ".join(details))
        self._steps.append((clock.now_ns(), step))
        return call, step


def _kind(call: RecordedCall) -> str:
    return "embedding" if call.interface == Api.OPENAI_EMBEDDINGS else "llm"


def _is_surely(call: RecordedCall, asked: Canonical) -> bool:
    """Whether a recorded call has every field of a request, none of them lost in recording."""
    lost = set(call.request.unknown) & set(asked.fields)
    return not lost and not canonical.differing(call.request, asked.fields)
