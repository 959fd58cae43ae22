"""What chance decided in a recorded run, decided the same way again.

Identifiers the user's code draws are those of the recording, in order, without those a tool drew
that is served from the tape. When there are none left they come from a stream that belongs to the
trace, so two replays draw the same.
"""

import hashlib
import random
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refinery.recorders.draws import Draws, reseed
from refinery.replay.inside.tape_clock import TapeClock

if TYPE_CHECKING:
    from refinery.recorders._book import Book
    from refinery.recorders._view import View


class RecordedDraws(Draws):
    """The chance of one recorded run.

    Args:
        recorded: as the recorder noted it (`recorders.draws`); empty when it noted nothing.
        found: identifiers seen in what the recorded run asked, for recordings without notes.
        trace_id: the recorded trace.
        clock: told of every run that begins or ends.
    """

    def __init__(
        self, recorded: Mapping[str, Any], found: Sequence[str], trace_id: str, clock: TapeClock
    ) -> None:
        super().__init__()
        self._recorded = recorded
        noted = recorded.get("ids")
        told = noted if isinstance(noted, list) else [[identifier, None] for identifier in found]
        self._waiting = [
            made for entry in told if entry[1] is None and (made := _read(entry[0])) is not None
        ]
        self._trace_id = trace_id
        self._drawn = 0
        self._clock = clock
        self._lock = threading.Lock()

    def begin(self, book: "Book | None") -> None:
        """Put the generator into its recorded state and listen to a book."""
        seed, state = self._recorded.get("seed"), self._recorded.get("state")
        if isinstance(seed, int):
            self.notes["seed"] = seed
            reseed(seed, 0)
        elif isinstance(state, list) and len(state) == 3:
            random.setstate((state[0], tuple(state[1]), state[2]))
        self.listen(book)

    def started(self, run: "View", fields: Mapping[str, Any]) -> None:
        """A run begins."""
        self._clock.started(run, fields)

    def ended(self, run: "View") -> None:
        """A run has ended."""
        self._clock.ended(run)
        super().ended(run)

    def new_id(self, made: uuid.UUID) -> uuid.UUID:
        """The next recorded identifier of the same version, else one of the trace's stream."""
        if self.tool_at_work() is not None:
            return made  # it runs for real: it is code under test
        with self._lock:
            for index, known in enumerate(self._waiting):
                if known.version == made.version:
                    return self._waiting.pop(index)
            self._drawn += 1
            digest = hashlib.sha256(f"{self._trace_id}/{self._drawn}".encode()).digest()
        return uuid.UUID(bytes=digest[:16], version=made.version)


def _read(text: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None
