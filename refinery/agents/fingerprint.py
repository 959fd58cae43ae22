"""Which failures are alike: one kind of fault, one owner.

The owner is the place in the source when it is known, else the name of the run that caused the
fault. For exceptions the error's type and its message count as well, without numbers, quoted
values and identifiers.
"""

import re

from refinery.model.failure import Finding
from refinery.model.trace import Trace

_VARIABLE = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|\d+"
)


def fingerprint(trace: Trace, best: Finding) -> tuple[str, ...]:
    """What failures of one kind share; equal for traces whose best findings are alike."""
    place = f"{best.source.file}:{best.source.node}" if best.source else owner(trace, best)
    cause = trace.run(best.cause_run_id)
    error = cause.error if cause and best.category == "exception" else None
    said = (error.type, _VARIABLE.sub("_", error.message[:500])) if error else ()
    return (best.category, place, *said)


def owner(trace: Trace, best: Finding) -> str:
    """Name of the run that caused a fault; its id when it has none."""
    run = trace.run(best.cause_run_id)
    return (run.name if run else None) or best.cause_run_id
