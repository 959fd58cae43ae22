"""Stored runs as documents: with what is around them, and only the fields asked for."""

from dataclasses import dataclass

from refinery.adapters._shared import langsmith_documents as documents
from refinery.adapters._shared.langsmith_documents import Setting
from refinery.adapters._shared.langsmith_tree import TraceShape
from refinery.model.trace import Json, RunKind
from refinery.ports import StoredRun
from refinery.server import links
from refinery.server.routes._langsmith.around import Library
from refinery.server.routes._langsmith.asking import to_bytes

ALWAYS_V1 = frozenset({"id", "name", "run_type", "start_time", "trace_id", "status"})
"""Without these the SDK's `Run` cannot be built."""

_TOTALS = frozenset(
    f"{name}_{what}"
    for name in ("prompt", "completion", "total")
    for what in ("tokens", "cost", "token_details", "cost_details")
)
_TREE = frozenset({"dotted_order", "parent_run_ids"})


@dataclass(frozen=True, slots=True)
class Renderer:
    """Writes runs of one request."""

    library: Library
    url: str
    names: frozenset[str] | None = None
    """Fields in lower case; None: all."""
    is_v2: bool = False

    def document(self, stored: StoredRun) -> dict[str, Json]:
        """One run."""
        run, library = stored.run, self.library
        for native in (run.run_id, run.trace_id):
            library.memory.learn(native)
        setting = Setting(
            stored.project,
            self._shape(stored),
            library.feedback(run) if self._wants("feedback_stats") else (),
            self.url,
            links.query,
        )
        item = documents.v2(run, setting) if self.is_v2 else documents.v1(run, setting)
        if self.names is None:
            return item
        return {name: value for name, value in item.items() if name in self.names}

    def __call__(self, stored: StoredRun) -> bytes:
        """One run as JSON."""
        return to_bytes(self.document(stored))

    def _wants(self, *names: str) -> bool:
        return self.names is None or not self.names.isdisjoint(names)

    def _shape(self, stored: StoredRun) -> TraceShape | None:
        """The tree of the run, when its document cannot be written without."""
        run = stored.run
        is_counted = run.kind in (RunKind.LLM, RunKind.EMBEDDING) and run.usage is not None
        if (
            (self._wants(*_TOTALS) and not is_counted)
            or self._wants("child_run_ids")
            or (self._wants(*_TREE) and not run.dotted_order)
            or run.start_ns is None
        ):
            return self.library.shape(run)
        return None
