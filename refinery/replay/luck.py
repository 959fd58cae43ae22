"""Other luck for each replay of a trial.

An exact replay draws the random numbers, identifiers and times of its recording again. In a trial
that would make luck look like the effect of a patch: code that draws once more meets other
numbers, in every repeat the same. So each replay of each arm draws its own, from a seed that is
kept, and the trial can be run again as it was.
"""

import random
import uuid
from dataclasses import replace

from refinery.replay.tape import Moment, Tape

IDENTIFIERS = 200
"""Identifiers of each version made for one replay; later ones belong to the trace."""
_JITTER_NS = 900_000_000
"""How far the clock of a replay may start from the recorded one."""


def drawn_anew(tape: Tape, seed: str) -> Tape:
    """The tape with other random numbers, identifiers and a slightly other clock.

    Args:
        tape: of the recording.
        seed: what they are made from; equal seeds give equal luck.
    """
    source = random.Random(seed)  # noqa: S311  # luck, not a secret
    shift_ns = source.randrange(_JITTER_NS)
    made = [
        str(uuid.UUID(int=source.getrandbits(128), version=version))
        for version in (4, 1)
        for _ in range(IDENTIFIERS)
    ]
    return replace(
        tape,
        start_ns=tape.start_ns + shift_ns if tape.start_ns else 0,
        moments=tuple(
            replace(
                moment,
                start_ns=moment.start_ns + shift_ns,
                end_ns=None if moment.end_ns is None else moment.end_ns + shift_ns,
            )
            for moment in tape.moments
        ),
        draws={"seed": source.getrandbits(48), "ids": [[one, None] for one in made]},
        drawn=(),
    )


def _later(moment: Moment, shift_ns: int) -> Moment:
    end_ns = None if moment.end_ns is None else moment.end_ns + shift_ns
    return replace(moment, start_ns=moment.start_ns + shift_ns, end_ns=end_ns)
