"""What one body brings, whichever protocol it came by."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refinery.model.trace import Feedback, Json
from refinery.ports import PackedRuns, RunBatch
from refinery.server.limits import Limits


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that belong to a trace."""

    content: bytes
    trace_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Runs, feedback and attachments of one body, and what the answer needs to know."""

    batches: Sequence[RunBatch | PackedRuns]
    feedback: Sequence[Feedback] = ()
    blobs: Sequence[Blob] = ()
    told: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """How a body is to be read, in whatever process."""

    reader: str
    """`module:function` that makes `Taken` of the body, the limits and the arguments."""
    arguments: Mapping[str, str | None]

    def read(self, body: bytes, limits: Limits) -> Taken:
        """Read an unpacked body.

        Raises:
            RequestError: nothing of it can be read, or it is too large.
        """
        module, _, name = self.reader.partition(":")
        # Imported here: a decoder brings libraries that only its protocol needs.
        taken: Taken = getattr(importlib.import_module(module), name)(
            body, limits, **self.arguments
        )
        return taken
