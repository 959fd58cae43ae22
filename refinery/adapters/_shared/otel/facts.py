"""What the conventions find in the attributes of one span; the first to say a thing is heard."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from refinery.adapters._shared.otel.values import amount, indexed, parsed, text, whole_number
from refinery.model.trace import Json, RunKind

MAX_TAGS = 1000
_SHORT = 200
"""Longest name of an attribute that is remembered; names may be of any size."""

_EMPTY: tuple[Json, ...] = (None, "", [], {})


@dataclass(slots=True)
class Facts:
    """Attributes of one span and the fields of a run read from them so far."""

    attributes: Mapping[str, Json]
    kind: RunKind
    fields: dict[str, Json] = field(default_factory=dict)
    """Fields of `Run` by name, of their final types."""
    usage: dict[str, int] = field(default_factory=dict)
    """Fields of `Usage` by name."""
    cost: Decimal | None = None
    metadata: dict[str, Json] = field(default_factory=dict)
    """What the source itself called metadata."""
    used: set[str] = field(default_factory=set)
    """Names of attributes that were read; what they say is kept if no field holds it."""
    heads: set[str] = field(init=False, default_factory=set)
    """The first word and the first two words of each attribute's name, as in `llm` and
    `llm.input_messages`."""
    read: dict[str, Json] = field(default_factory=dict)
    """What stood in attributes, JSON in them read, by their names."""
    project: str | None = None
    error_message: str | None = None

    def __post_init__(self) -> None:
        for name in self.attributes:
            self.heads.update(_heads(name) if len(name) <= _SHORT else _heads.__wrapped__(name))

    @property
    def is_model_call(self) -> bool:
        """Whether the span is the one that used the tokens it tells of."""
        return self.kind in (RunKind.LLM, RunKind.EMBEDDING)

    def take(self, name: str, *, scalars: bool = False) -> Json:
        """An attribute, JSON in it read; None when there is none."""
        if name not in self.attributes:
            return None
        self.used.add(name)
        value = self.read[name] = parsed(self.attributes[name], scalars=scalars)
        return value

    def first(self, *names: str) -> Json:
        """The first attribute of these that says something, JSON in it read."""
        return next((value for name in names if (value := self.take(name)) not in _EMPTY), None)

    def listed(self, prefix: str) -> list[Json]:
        """The list that names like `prefix.0.message.role` spell out; see `values.indexed`."""
        return indexed(self.attributes, prefix) if prefix in self.heads else []

    def under(self, prefix: str) -> dict[str, Json]:
        """Attributes whose name begins so, by the rest of the name; the prefix ends with a dot."""
        if prefix.count(".") <= 2 and prefix[:-1] not in self.heads:  # two words
            return {}
        found = {n[len(prefix) :]: v for n, v in self.attributes.items() if n.startswith(prefix)}
        self.used.update(prefix + name for name in found)
        return found

    def put(self, name: str, value: Json) -> None:
        """Set a field of the run unless it is set, or there is nothing to say."""
        if value not in _EMPTY and name not in self.fields:
            self.fields[name] = value

    def put_text(self, name: str, *attributes: str) -> None:
        """Set a field to the first of these attributes that is a text or a number."""
        if name in self.fields:
            return
        for attribute in attributes:
            if value := text(self.attributes.get(attribute)):
                self.used.add(attribute)
                self.fields[name] = value
                return

    def put_usage(self, **attributes: str) -> None:
        """Set counts of tokens from attributes; ignored where the span made no model call."""
        for name, attribute in attributes.items():
            self.count(name, self.attributes.get(attribute), attribute)

    def count(self, name: str, value: Json, attribute: str | None = None) -> None:
        """Set one count of tokens unless it is set."""
        number = None if value is None else whole_number(value)
        if number is not None and self.is_model_call and name not in self.usage:
            self.usage[name] = number
            if attribute:
                self.used.add(attribute)

    def put_cost(self, value: Json) -> None:
        """Set what the model call cost in US dollars unless it is set."""
        if self.cost is None and self.is_model_call:
            self.cost = amount(value)

    def put_tags(self, value: Json) -> None:
        """Set the tags, given as a list or as text with commas."""
        if isinstance(value, str):
            value = value.split(",", MAX_TAGS)
        if isinstance(value, list):
            told = [tag.strip() for tag in value if isinstance(tag, str) and tag.strip()]
            self.put("tags", told[:MAX_TAGS])

    def add_metadata(self, entries: Json) -> None:
        """Add entries to the metadata; an earlier one of the same name stays."""
        if isinstance(entries, Mapping):
            for name, value in entries.items():
                self.metadata.setdefault(str(name), value)


@lru_cache(maxsize=4096)
def _heads(name: str) -> tuple[str, str]:
    first = name.find(".")
    second = name.find(".", first + 1) if first >= 0 else -1
    return name[:first] if first >= 0 else name, name[:second] if second >= 0 else name
