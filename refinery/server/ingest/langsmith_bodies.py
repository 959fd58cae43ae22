"""Bodies of LangSmith's ingest calls become an `Intake`; nothing of them is trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refinery.adapters._shared import multipart
from refinery.model.trace import Json
from refinery.server.answers import RequestError
from refinery.server.ingest import cutting, documents
from refinery.server.ingest.intake import Intake, canonical
from refinery.server.limits import Limits
from refinery.server.readers.taken import Taken

_FIELDS = frozenset({"inputs", "outputs", "events", "extra", "error", "serialized"})
"""Fields of a run that have parts of their own (SDK 0.14, `_operations.py`)."""


@dataclass(slots=True)
class _Drawn:
    """What the parts of one run say so far."""

    item: dict[str, Json] | None = None
    """The main part; None when there was none, or none that can be read."""
    fields: dict[str, Json] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    """Fields whose parts could not be read."""


class _Reading:
    """One multipart body: gathers the parts of each run, which stand in any order."""

    def __init__(self, body: bytes, limits: Limits) -> None:
        self.intake = Intake(limits)
        self.limits = limits
        self.is_clean = not documents.may_hold_secret(body)
        self.drawn: dict[tuple[str, str], _Drawn] = {}
        self.attached: dict[str, list[multipart.Part]] = {}

    def take(self, part: multipart.Part) -> None:
        operation, _, rest = part.name.partition(".")
        run_id, _, what = rest.partition(".")
        if operation in ("post", "patch") and what in ("", *_FIELDS):
            self.take_document(part, (operation, run_id), what)
        elif operation == "attachment" and what:
            self.attached.setdefault(run_id, []).append(part)
        elif operation == "feedback":
            self.take_feedback(part)
        else:
            self.intake.refuse(part.name, "no part of that name is known")

    def take_document(self, part: multipart.Part, key: tuple[str, str], what: str) -> None:
        drawn = self.drawn.setdefault(key, _Drawn())
        try:
            value = self.document(part)
            if not what:
                if not isinstance(value, dict):
                    raise documents.UnreadableError("a run must be an object")
                drawn.item = {**(drawn.item or {}), **value}
            elif value is not None:
                drawn.fields[what] = value
        except documents.UnreadableError as error:
            drawn.lost.append(what)
            self.intake.refuse(part.name, str(error))

    def take_feedback(self, part: multipart.Part) -> None:
        try:
            self.intake.add_feedback(self.document(part), part.name)
        except documents.UnreadableError as error:
            self.intake.refuse(part.name, str(error))

    def document(self, part: multipart.Part) -> Json:
        if part.content_type != "application/json":
            raise documents.UnreadableError("its content type must be application/json")
        return _document(part.content, self.limits, is_clean=self.is_clean)

    def finish(self) -> Intake:
        """Put the runs together."""
        for (operation, run_id), drawn in self.drawn.items():
            if drawn.item is None:
                if "" not in drawn.lost:
                    self.intake.refuse(f"{operation}.{run_id}", "its main part is missing")
                continue
            item = {**drawn.item, **drawn.fields}
            item.setdefault("id", run_id)
            parts = self.attached.pop(run_id, [])
            self.intake.add_run(
                item,
                is_patch=operation == "patch",
                attachments=[self.attachment(part, item) for part in parts],
                ours={"refused_fields": drawn.lost} if drawn.lost else None,
            )
        for run_id in self.attached:
            self.intake.refuse(f"attachment.{run_id}", "the run it belongs to is not in the body")
        return self.intake

    def attachment(self, part: multipart.Part, item: Mapping[str, Json]) -> Json:
        name = part.name.split(".", 2)[2]
        if len(part.content) > self.limits.attachment_bytes:
            limit = self.limits.attachment_bytes // 2**20
            self.intake.refuse(part.name, f"it is larger than {limit} MiB")
            return {"name": name, "size_bytes": len(part.content), "fetched": False}
        trace_id = canonical(item.get("trace_id")) or canonical(item.get("id")) or ""
        return self.intake.attach(name, part.content, part.content_type, trace_id)


def read_multipart(body: bytes, content_type: str, limits: Limits) -> Intake:
    """Runs, feedback and attachments of a multipart body; parts that cannot be read are named.

    Raises:
        RequestError: nothing of it can be read, or it is too large.
    """
    reading = _Reading(body, limits)
    bounds = multipart.Bounds(limits.parts, limits.part_header_bytes)
    try:
        parts = multipart.split(body, content_type, bounds)
        for part in parts:
            reading.take(part)
    except multipart.NoBoundaryError as error:
        raise RequestError(400, str(error)) from error
    except multipart.TooManyPartsError as error:
        raise RequestError(413, str(error)) from error
    intake = reading.finish()
    if parts.nameless:
        intake.refuse("", f"{parts.nameless} parts have no name that can be read")
    if not parts.is_whole:
        intake.refuse("", "the body is cut off: its closing boundary is missing")
        intake.is_whole = False
    return intake


def read_batch(body: bytes, limits: Limits) -> Intake:
    """Runs of `{"post": […], "patch": […]}`.

    Raises:
        RequestError: it is no such document, or too large.
    """
    document = _object(body, limits)
    intake = Intake(limits)
    for operation in ("post", "patch"):
        items = document.get(operation)
        if items is None:
            continue
        if not isinstance(items, list):
            raise RequestError(422, f"`{operation}` must be a list of runs")
        for item in items:
            if isinstance(item, dict):
                intake.add_run(item, is_patch=operation == "patch")
            else:
                intake.refuse(operation, "a run must be an object")
    return intake


def take_multipart(body: bytes, limits: Limits, content_type: str) -> Taken:
    """What `read_multipart` reads, as a `Job` returns it.

    Raises:
        RequestError: as `read_multipart`.
    """
    return read_multipart(body, content_type, limits).taken()


def take_batch(body: bytes, limits: Limits) -> Taken:
    """What `read_batch` reads, as a `Job` returns it.

    Raises:
        RequestError: as `read_batch`.
    """
    return read_batch(body, limits).taken()


def read_run(body: bytes, limits: Limits) -> dict[str, Any]:
    """One run as it was sent.

    Raises:
        RequestError: it is none.
    """
    return _object(body, limits)


def read_feedback(body: bytes, limits: Limits) -> Intake:
    """Feedback of a body of its own.

    Raises:
        RequestError: it is none.
    """
    intake = Intake(limits)
    if intake.add_feedback(_object(body, limits)) is None:
        raise RequestError(422, str(intake.refused[0]["reason"]))
    return intake


def _object(body: bytes, limits: Limits) -> dict[str, Any]:
    try:
        document = _document(body, limits)
    except documents.UnreadableError as error:
        raise RequestError(422, f"the body cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(422, "the body must be an object")
    return document


def _document(raw: bytes, limits: Limits, *, is_clean: bool = False) -> Json:
    value = documents.load_redacted(raw, is_clean=is_clean)
    return cutting.cut(value, limits.text_chars) if len(raw) > limits.text_chars else value
