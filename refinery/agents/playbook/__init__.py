"""Hypotheses without a model: recipes that map what a detector saw to typed edits.

A recipe reads a finding's typed facts and the located source, never free text of the trace, and
offers edits only where it found the place to make them.

Contract of the room. Each public file is one kind of change, and its first docstring line says
which. It has `RECIPES: dict[category, tuple[Recipe, ...]]`: what it offers for each category of
finding, best first. Recipes never raise on any source or trace, and write nothing: a `Draft` names
edits, which are planned, guarded and tried by others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from refinery import plugins
from refinery.codebase.scan import SourceTree
from refinery.errors import PluginError
from refinery.model.failure import Finding, Likelihood, SourceLocation
from refinery.model.patch import Edit, Hypothesis
from refinery.model.trace import Run, Trace

ROOM = "agents.playbook"
BOTH = 0.5
"""How likely two changes are needed, as a share of the less likely one; chosen by us."""
MOST = 5
"""Hypotheses kept for one diagnosis (DESIGN 7: three to five)."""

_WEIGHT = {Likelihood.CERTAIN: 1.0, Likelihood.LIKELY: 0.8, Likelihood.POSSIBLE: 0.5}


@dataclass(frozen=True, slots=True)
class Case:
    """What a recipe may look at."""

    finding: Finding
    trace: Trace
    root: Path
    """Root of the repository's work tree."""
    tree: SourceTree = field(default=None, compare=False)  # type: ignore[assignment]  # set below
    """The repository's files, read once for all recipes."""

    def __post_init__(self) -> None:
        """Open the tree when none was given."""
        if self.tree is None:
            object.__setattr__(self, "tree", SourceTree(self.root))

    @property
    def cause(self) -> Run | None:
        """The run that produced the fault."""
        return self.trace.run(self.finding.cause_run_id)

    def places(self, *kinds: str) -> Iterator[SourceLocation]:
        """Located places of these kinds, best first."""
        all_places = (self.finding.source, *self.finding.related)
        for place in all_places:
            if place is not None and (not kinds or place.kind in kinds):
                yield place

    def read(self, place: SourceLocation) -> str | None:
        """Text of a located file; None when it cannot be read."""
        try:
            path = (self.root / place.file).resolve()
            if not path.is_relative_to(self.root.resolve()):
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe's proposal, before it is ranked and numbered."""

    title: str
    rationale: str
    strategy: str
    edits: tuple[Edit, ...]
    fitness: float
    """How well this kind of change fits this kind of finding, 0 to 1; chosen by us."""
    before: str = ""
    after: str = ""
    risks: tuple[str, ...] = ()
    topic: str = ""
    """Words to look up in the guides."""


Recipe = Callable[[Case], Iterable[Draft]]


def propose(
    findings: Sequence[Finding],
    trace: Trace,
    root: Path,
    cite: Callable[[str], tuple[str, ...]] | None = None,
) -> list[Hypothesis]:
    """Hypotheses for the findings, best first, at most `MOST`.

    Args:
        findings: findings with their places attached, best first.
        trace: the failing trace.
        root: root of the repository's work tree; read, never written.
        cite: looks up guide passages for a topic, as `guide#heading`.

    Returns:
        Hypotheses numbered `H1`, `H2`, …; empty when no recipe found a place to act.

    Raises:
        PluginError: a recipe of the user's own cannot be imported.
    """
    tree = SourceTree(root)
    scored: list[tuple[float, Finding, Draft]] = []
    for finding in findings:
        for draft in _drafts(Case(finding, trace, root, tree)):
            scored.append((draft.fitness * finding.confidence, finding, draft))
    scored.sort(key=lambda item: -item[0])
    chosen = _varied(_without_doubles(scored))
    chosen += _together(chosen)
    return [
        replace(_hypothesis(score, finding, draft, cite), hypothesis_id=f"H{number}")
        for number, (score, finding, draft) in enumerate(chosen, start=1)
    ]


def _drafts(case: Case) -> Iterator[Draft]:
    for recipes in _recipes():
        for recipe in recipes.get(case.finding.category, ()):
            yield from recipe(case)


def _recipes() -> Iterator[Mapping[str, Sequence[Recipe]]]:
    """What each plug-in of the room offers, by category of finding.

    Raises:
        PluginError: one cannot be imported, or offers nothing.
    """
    for name, module in plugins.load_all(ROOM).items():
        recipes = getattr(module, "RECIPES", None)
        if not isinstance(recipes, Mapping):
            raise PluginError(
                f"the playbook's {name} has no RECIPES",
                hint="give it RECIPES = {category: (recipe, ...)}, see docs/extending.md",
            )
        yield recipes


_Scored = tuple[float, Finding, Draft]


def _without_doubles(scored: list[_Scored]) -> list[_Scored]:
    seen: set[str] = set()
    kept = []
    for item in scored:
        key = repr(item[2].edits)
        if key not in seen:
            seen.add(key)
            kept.append(item)
    return kept


def _varied(scored: list[_Scored]) -> list[_Scored]:
    """At most `MOST`, best first: the best of each strategy, then the next best of any."""
    firsts: dict[str, _Scored] = {}
    for item in scored:
        firsts.setdefault(item[2].strategy, item)
    rest = [item for item in scored if not any(item is first for first in firsts.values())]
    kept = [*list(firsts.values())[:MOST], *rest][:MOST]
    return sorted(kept, key=lambda item: -item[0])


def _together(chosen: Sequence[_Scored]) -> list[_Scored]:
    """The best hypothesis with the best of another kind in another file, as one patch.

    One fault may need both: a tool that says what went wrong, and a prompt that heeds it. What is
    not needed is dropped after the trial. Empty when there is no such pair, or no room.
    """
    if not chosen or len(chosen) >= MOST:
        return []
    score, finding, first = chosen[0]
    files = {edit.path for edit in first.edits}
    for other_score, _, second in chosen[1:]:
        is_apart = files.isdisjoint(edit.path for edit in second.edits)
        says_else = second.strategy != first.strategy and second.topic != first.topic
        if is_apart and says_else:
            title = f"{first.title}; {second.title[:1].lower()}{second.title[1:]}"
            both = replace(
                first,
                title=title,
                rationale=f"Neither may suffice alone. {first.rationale} {second.rationale}",
                edits=(*first.edits, *second.edits),
                before=first.before or second.before,
                after=first.after or second.after,
                risks=(*first.risks, *second.risks),
            )
            return [(min(score, other_score) * BOTH, finding, both)]
    return []


def _hypothesis(
    score: float,
    finding: Finding,
    draft: Draft,
    cite: Callable[[str], tuple[str, ...]] | None,
) -> Hypothesis:
    return Hypothesis(
        hypothesis_id="",
        finding_id=finding.finding_id,
        title=draft.title,
        rationale=draft.rationale,
        strategy=draft.strategy,
        edits=draft.edits,
        confidence=round(min(0.95, score * _WEIGHT[finding.likelihood]), 3),
        risks=draft.risks,
        example_before=draft.before,
        example_after=draft.after,
        citations=cite(draft.topic) if cite and draft.topic else (),
        engine="playbook",
    )
