"""What to change: typed edits, the patch they form, and the hypothesis behind it."""

from dataclasses import dataclass, field

from refinery.model.trace import Json


@dataclass(frozen=True, slots=True)
class Edit:
    """One typed operation on one syntax node or text anchor of one file."""

    kind: str
    """A plug-in of `refinery.codebase.edits`, e.g. `replace_string`."""
    path: str
    """Relative to the repository root, forward slashes."""
    arguments: dict[str, Json]
    """As the plug-in's `ARGUMENTS` schema asks."""
    replaces: str | None = None
    """SHA-256 hex of the bytes it will replace; None until the edit is first planned."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """Final bytes of one file; `before` None creates it, `after` None deletes it."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Patch:
    """The edits of one hypothesis and the exact bytes they lead to."""

    edits: tuple[Edit, ...]
    changes: tuple[FileChange, ...]
    """One per touched file, ordered by path; files that do not change are left out."""
    base_commit: str
    diff: str
    """Unified diff of `changes`, paths with `a/` and `b/` prefixes."""
    digest: str
    """SHA-256 hex of base commit, newline, diff: what an approval is bound to."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A change that should remove the cause of a finding."""

    hypothesis_id: str
    """`H1`, `H2`, … within one fix, best first."""
    finding_id: str
    title: str
    rationale: str
    strategy: str
    """`prompt`, `context`, `retrieval`, `parameters`, `schema`, `control flow` or `code`."""
    edits: tuple[Edit, ...]
    confidence: float
    """0 to 1."""
    risks: tuple[str, ...] = ()
    example_before: str = ""
    example_after: str = ""
    """Before/after behaviour in words."""
    citations: tuple[str, ...] = ()
    """Guide passages or lessons it rests on, as `guide-name#heading`."""
    engine: str = "playbook"
    """`playbook` or `model`."""
    facts: dict[str, Json] = field(default_factory=dict)
