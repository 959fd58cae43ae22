"""Recipes for a conversation that is cut before the model reads it."""

import ast
from collections.abc import Iterator

from refinery.agents.missed import CATEGORY
from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.editing import replaced_lines, set_literal
from refinery.codebase.causes import settings_behind
from refinery.codebase.scan import PYTHON, is_secondary
from refinery.model.patch import Edit

MOST_TURNS = 40
"""Messages a recipe keeps of a conversation; chosen by us."""
_MOST_PLACES = 2
_TOPIC = "conversation memory window history"


def keep_more_turns(case: Case) -> Iterator[Draft]:
    """Keep more of the conversation, where the program cuts it."""
    if case.finding.facts.get("lost") != "in the conversation":
        return
    found = settings_behind(case.tree, CATEGORY, case.finding.facts, case.places())
    for rank, one in enumerate(found[:_MOST_PLACES]):
        source = case.tree.text(one.path)
        assert isinstance(one.value, int)
        more = min(MOST_TURNS, max(12, one.value * 5))
        edit = set_literal(source, one, more) if source and more > one.value else None
        if edit is not None:
            yield Draft(
                title=f"Keep {more} messages of the conversation instead of {one.value}",
                rationale="What the answer needs was said earlier in the conversation, and the "
                f"program hands only the last {one.value} messages to the model.",
                strategy="context",
                edits=(edit,),
                fitness=0.85 - 0.1 * rank,
                before="Earlier messages are forgotten.",
                after=f"The last {more} messages reach the model.",
                risks=("Long conversations cost more.",),
                topic=_TOPIC,
            )


def keep_all_turns(case: Case) -> Iterator[Draft]:
    """Hand the whole conversation on, where the program keeps only its end."""
    for path, source, node in _cuts(case):
        edit = _replaced(path, source, node, ast.unparse(node.value))
        if edit is not None:
            yield Draft(
                title="Hand the whole conversation on",
                rationale="What the answer needs was said earlier in the conversation, and the "
                "program hands only its end to the model.",
                strategy="code",
                edits=(edit,),
                fitness=0.6,
                before="Earlier messages are forgotten.",
                after="All messages reach the model.",
                risks=("A long conversation costs more, and may exceed what the model reads.",),
                topic=_TOPIC,
            )
            return


def keep_the_first_turn(case: Case) -> Iterator[Draft]:
    """Keep the first message beside the last ones: it often says what all is about."""
    for path, source, node in _cuts(case):
        kept = ast.unparse(node.value)
        new = f"({kept}[:1] + {kept}[1:][{ast.unparse(node.slice)}])"
        edit = _replaced(path, source, node, new)
        if edit is not None:
            yield Draft(
                title="Keep the first message of the conversation as well",
                rationale="The program hands only the end of the conversation to the model; what "
                "is asked for is often said at the beginning.",
                strategy="code",
                edits=(edit,),
                fitness=0.4,
                before="The first message is forgotten.",
                after="The first and the last messages reach the model.",
                risks=("What was said in between is still forgotten.",),
                topic=_TOPIC,
            )
            return


def _cuts(case: Case) -> Iterator[tuple[str, str, ast.Subscript]]:
    """Expressions that keep the end of a list, such as `messages[-6:]`, with their file."""
    if case.finding.facts.get("lost") != "in the conversation":
        return
    located = list(dict.fromkeys(place.file for place in case.places()))
    others = [path for path in case.tree.paths(PYTHON) if path not in located]
    for path in (*located, *others):
        source = case.tree.text(path) if path.endswith(".py") else None
        tree = case.tree.syntax(path) if source and "[-" in source else None
        if source is None or tree is None or is_secondary(path):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and _keeps_the_end(node.slice):
                yield path, source, node


def _keeps_the_end(cut: ast.expr) -> bool:
    if not isinstance(cut, ast.Slice) or cut.upper is not None or cut.step is not None:
        return False
    return isinstance(cut.lower, ast.UnaryOp) and isinstance(cut.lower.op, ast.USub)


def _replaced(path: str, source: str, node: ast.expr, new: str) -> Edit | None:
    """An edit that puts another expression in the place of one that stands on one line."""
    if node.lineno != node.end_lineno:
        return None
    # Columns of the syntax tree count bytes.
    line = source.split("\n")[node.lineno - 1].encode()
    head, rest = line[: node.col_offset].decode(), line[node.end_col_offset or 0 :].decode()
    return replaced_lines(source, path, (node.lineno, node.lineno), [f"{head}{new}{rest}"])


RECIPES: dict[str, tuple[Recipe, ...]] = {
    CATEGORY: (keep_more_turns, keep_all_turns, keep_the_first_turn),
}
