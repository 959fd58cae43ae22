"""How long a client waits and how often it tries, and which recorded failures that outlasts.

A recorded timeout says that no answer came within the time the client waited then. To a client
that waits longer it says nothing, and neither does a refusal to one that tries more often: what
came next was never recorded. Such a request is treated as one that was not recorded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from refinery.replay.tape import NO_ANSWER, RecordedCall

TRIED_AGAIN = "tried again after the recorded failure"
"""Why an attempt is not answered by the recording. The failure came first, as it did then, so
that the program without further attempts ends with it whatever a live model says today."""
WAITED_LONGER = "waits longer than the recorded run did"
CLEARLY = 1.1
"""How many times as long a client must wait: two clocks took the time (chosen by us)."""
_MOST_ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Client:
    """What a request says of the client that sends it."""

    attempt: int = 0
    """How often it has sent this very request before."""
    wait_s: float | None = None
    """How long it waits for an answer; None: it does not say."""

    @classmethod
    def read(cls, header: Callable[[str], str | None]) -> "Client":
        """From the headers both vendors' SDKs send; what cannot be read is left out.

        Args:
            header: the value of a header by its lower-case name, None when there is none.
        """
        told = header("x-stainless-retry-count") or "0"
        attempt = int(told) if told.isdecimal() and len(told) < 5 else 0
        try:
            wait_s = float(header("x-stainless-read-timeout") or "")
        except ValueError:
            wait_s = math.nan
        return cls(min(attempt, _MOST_ATTEMPTS), wait_s if math.isfinite(wait_s) else None)


def outlasts(client: Client, call: RecordedCall) -> str:
    """Why a recorded failure is no answer to this attempt; empty when it is one.

    Args:
        client: of a changed program.
        call: the recorded call its request is equal to.
    """
    if call.reply is not None:
        return ""
    if client.attempt > len(call.retries):
        return TRIED_AGAIN
    is_timeout = call.error_status == NO_ANSWER and "Timeout" in call.error_type
    if is_timeout and call.duration_s and (client.wait_s or 0.0) > CLEARLY * call.duration_s:
        return WAITED_LONGER
    return ""
