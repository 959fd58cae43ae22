"""Aligns templates with what was rendered from them.

The literal segments of a template, line by line and with white space collapsed, are looked up in
order in a rendered message. The score rewards explaining much of the message and having little
that is not in it, so a template that was changed a little since still fits, with less confidence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from refinery.codebase.scan import Span
from refinery.codebase.templates import MIN_LITERAL, Template, collapse

MIN_PIECE = 6
"""Shorter pieces of literal text say nothing about where they come from."""
MIN_SHARE = 0.5
"""Least share of a template's literal text that must be found; chosen by us."""
OPENING = 4.0
"""How much more a template counts that a message begins with, beside text that was filled into
it; chosen by us."""
_NEAR = 4
_AMBIGUOUS = 0.95


@dataclass(frozen=True, slots=True)
class Match:
    """A template that fits."""

    template: Template
    matched: int
    """Characters of literal text found in order."""
    template_share: float
    """Part of the template's literal text that was found, 0 to 1."""
    message_share: float
    """Part of the rendered message that the literal text explains, 0 to 1."""
    is_ambiguous: bool = False
    is_opening: bool = False
    """Whether it explains how the message begins: what a template holds is filled in later."""

    @property
    def score(self) -> float:
        """For ranking: characters explained, less where the template says more."""
        return self.matched * self.template_share**2 * (OPENING if self.is_opening else 1.0)

    @property
    def confidence(self) -> float:
        """0 to 1."""
        sure = self.template_share * (0.8 + 0.2 * min(1.0, self.message_share * 1.25))
        return sure * (0.6 if self.is_ambiguous else 1.0)


def best_matches(
    templates: Iterable[Template], messages: Sequence[str], limit: int
) -> list[Match]:
    """The templates that fit some message, best first; overlapping ones once.

    Args:
        templates: candidates.
        messages: rendered texts, white space collapsed.
        limit: how many at most.
    """
    matches = [match for one in templates if (match := _match(one, messages)) is not None]
    matches.sort(key=lambda one: (-one.score, *_order(one.template.span)))
    kept: list[Match] = []
    for match in matches:
        if not any(_overlap(match, other) for other in kept):
            kept.append(match)
    if not kept:
        return []
    close = [one for one in kept if one.score >= _AMBIGUOUS * kept[0].score]
    if len(close) > 1:
        marked = [_as_ambiguous(one) for one in close]
        kept = [*marked, *kept[len(close) :]]
    return [one for one in kept[:limit] if one.score >= 0.2 * kept[0].score]


def _order(span: Span) -> tuple[str, int, int]:
    return span.path, span.start, span.first


def _as_ambiguous(one: Match) -> Match:
    return replace(one, is_ambiguous=True)


def _overlap(one: Match, other: Match) -> bool:
    a, b = one.template.span, other.template.span
    if a.path != b.path or not (a.start <= b.end and b.start <= a.end):
        return False
    if not (a.first and b.first):
        return True
    return (a.start, a.first) <= (b.end, b.last) and (b.start, b.first) <= (a.end, a.last)


def _match(template: Template, messages: Sequence[str]) -> Match | None:
    best: Match | None = None
    for variant in template.variants:
        pieces = [collapse(line) for segment in variant for line in segment.split("\n")]
        pieces = [piece for piece in pieces if len(piece) >= MIN_PIECE]
        total = sum(map(len, pieces))
        if total < MIN_LITERAL:
            continue
        for message in messages:
            matched, start = _found_in_order(pieces, message)
            share = matched / total
            if matched < MIN_LITERAL or share < MIN_SHARE:
                continue
            is_opening = start <= _NEAR
            explained = matched / max(len(message), 1)
            found = Match(template, matched, share, explained, is_opening=is_opening)
            if best is None or found.score > best.score:
                best = found
    return best


def _found_in_order(pieces: Sequence[str], message: str) -> tuple[int, int]:
    """How many characters of the pieces occur in the message, each behind the last one, and
    where the first one does.
    """  # noqa: D205  # one sentence that needs two lines
    position, found, start = 0, 0, len(message)
    for piece in pieces:
        at = message.find(piece, position)
        if at >= 0:
            start = min(start, at)
            position = at + len(piece)
            found += len(piece)
    return found, start
