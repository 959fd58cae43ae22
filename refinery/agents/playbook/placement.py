"""Recipes for where a thing is said: beside the question, or between marks of its own."""

import ast
import json
import re
from collections.abc import Iterator

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import ADVICE, SECOND, Advice, rewritten_value
from refinery.agents.playbook._shared.editing import replaced_lines
from refinery.agents.playbook._shared.forms import form_advice
from refinery.agents.playbook._shared.syntax import enclosing_function
from refinery.codebase.scan import is_secondary
from refinery.model.failure import SourceLocation
from refinery.model.patch import Edit

MARK = "material"
"""Name of the tags that material is put between; Anthropic and OpenAI both advise such tags."""
LESS = 0.5
"""How much less likely it is that only the place was wrong, beside the missing sentence itself."""
_HOLE_LINE = re.compile(
    r"^[ \t]*(?:\{\{\s*[\w.]+\s*\}\}|\{\w+\}|\$\{\w+\}|\$\w+|%\(\w+\)s)[ \t]*$", re.MULTILINE
)
_USER = ("user", "human")


def say_beside_the_question(case: Case) -> Iterator[Draft]:
    """Put the sentence behind the user's question instead of into the prompt."""
    advice = _advice(case)
    if advice is None:
        return
    for path, span in _files(case):
        source, tree = case.tree.text(path), case.tree.syntax(path)
        edit = _said_last(source, tree, (path, span), advice.sentence) if source and tree else None
        if edit is not None:
            yield Draft(
                title=f"{advice.title}, beside the question",
                rationale=f"{advice.rationale} Models heed best what stands last.",
                strategy="context",
                edits=(edit,),
                fitness=advice.fitness * LESS,
                before="The question stands alone.",
                after=f"Behind the question stands: {advice.sentence}",
                risks=("The sentence counts as the user's words.",),
                topic=advice.topic,
            )
            return


def _advice(case: Case) -> Advice | None:
    """What to say for the finding."""
    facts = case.finding.facts
    category = case.finding.category
    if category != "expectation_missed":
        return ADVICE.get(category) or SECOND.get(category)
    form = next(form_advice(facts), None)
    if form is not None:
        return form
    is_ours = facts.get("lost") in ("in the answer", "made up")
    return ADVICE["ungrounded_answer"] if is_ours else None


def _files(case: Case) -> Iterator[tuple[str, tuple[int, int]]]:
    """Located Python files, with lines: of the functions around, then of shared messages."""
    whole: dict[str, tuple[int, int]] = {}
    for place in case.places("call", "function", "template"):
        tree = case.tree.syntax(place.file) if place.file.endswith(".py") else None
        if tree is None or is_secondary(place.file):
            continue
        function = enclosing_function(tree, place.line_start)
        if function is not None:
            yield place.file, (function.lineno, function.end_lineno or function.lineno)
        shared = [one for one in _questions(tree) if not enclosing_function(tree, one.lineno)]
        if len(shared) == 1:  # of several, nobody says which one the model was asked
            whole[place.file] = (shared[0].lineno, shared[0].lineno)
    yield from whole.items()


def _said_last(
    source: str, tree: ast.Module, where: tuple[str, tuple[int, int]], sentence: str
) -> Edit | None:
    path, (first, last) = where
    found = [node for node in _questions(tree) if first <= node.lineno <= last]
    for node in reversed(found):
        if isinstance(node, ast.Constant):
            old = str(node.value)
            new = f"{old}\n\n{sentence}"
            return Edit("replace_string", path, {"line": node.lineno, "old": old, "new": new})
        if node.lineno == node.end_lineno:
            # Columns of the syntax tree count bytes.
            line = source.split("\n")[node.lineno - 1].encode()
            added = " + " + json.dumps(f"\n\n{sentence}")
            head, rest = line[: node.end_col_offset], line[node.end_col_offset or 0 :]
            new = f"{head.decode()}{added}{rest.decode()}"
            return replaced_lines(source, path, (node.lineno, node.lineno), [new])
    return None


def _questions(tree: ast.Module) -> Iterator[ast.expr]:
    """Expressions that are the text of a user's message, in order of the file."""
    found = [one for node in ast.walk(tree) for one in _texts_of(node)]
    kinds = (ast.Name, ast.Subscript, ast.Attribute, ast.JoinedStr)
    plain = [
        one
        for one in found
        if isinstance(one, kinds) or (isinstance(one, ast.Constant) and _is_text(one))
    ]
    yield from sorted(plain, key=lambda one: (one.lineno, one.col_offset))


def _is_text(node: ast.Constant) -> bool:
    return isinstance(node.value, str) and bool(node.value.strip())


def _texts_of(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Dict):
        pairs = {
            key.value: value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
        if _is_user(pairs.get("role")) and "content" in pairs:
            yield pairs["content"]
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and _is_user(node.elts[0]):
        yield node.elts[1]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("HumanMessage"):
        yield from node.args[:1]
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "content")


def _is_user(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value in _USER


def mark_the_material(case: Case) -> Iterator[Draft]:
    """Put what is filled into the prompt between tags, to tell it from the instructions."""
    lost = case.finding.facts.get("lost")
    if case.finding.category == "expectation_missed" and lost not in ("in the answer", "made up"):
        return
    for place in case.places("template"):
        source = case.tree.text(place.file)
        edit = _marked(place, source) if source else None
        if edit is not None:
            yield Draft(
                title="Mark where the material in the prompt begins and ends",
                rationale="The prompt runs instructions and what is filled in together; tags say "
                "what is what.",
                strategy="context",
                edits=(edit,),
                fitness=0.4 * place.confidence,
                before="Material and instructions look alike.",
                after=f"The material stands between <{MARK}> and </{MARK}>.",
                risks=("A model may repeat the tags.",),
                topic="delimiters XML tags separate context from instructions",
            )
            return


def _between(text: str) -> str | None:
    """A template with the one line that is filled in between tags; None when there is no such."""
    holes = _HOLE_LINE.findall(text)
    if len(holes) != 1 or f"<{MARK}>" in text or _is_marked(text, holes[0]):
        return None
    return text.replace(holes[0], f"<{MARK}>\n{holes[0]}\n</{MARK}>", 1)


def _is_marked(text: str, hole: str) -> bool:
    """Whether the line before the hole opens something already."""
    before = text.partition(hole)[0].rstrip().rpartition("\n")[2].strip()
    return before.endswith((">", "```", '"""', "---", "==="))


def _marked(place: SourceLocation, source: str) -> Edit | None:
    if place.file.endswith((".yaml", ".yml", ".json", ".toml")):
        return rewritten_value(place, source, _between)
    lines = source.split("\n")
    own = "\n".join(lines[place.line_start - 1 : place.line_end])
    if place.file.endswith(".py"):
        return _marked_literal(place, source)
    written = _between(own)
    if written is None:
        return None
    span = (place.line_start, min(place.line_end, len(lines)))
    return replaced_lines(source, place.file, span, written.split("\n"))


def _marked_literal(place: SourceLocation, source: str) -> Edit | None:
    from refinery.codebase.scan import parse

    tree = parse(source)
    for node in ast.walk(tree) if tree else ():
        is_own = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if not is_own or not isinstance(node, ast.Constant):
            continue
        if not place.line_start <= node.lineno <= place.line_end:
            continue
        hole = _HOLE_LINE.search(str(node.value))
        written = _between(str(node.value))
        if written is not None and hole is not None and str(node.value).count(hole[0]) == 1:
            new = f"<{MARK}>\n{hole[0]}\n</{MARK}>"
            arguments = {"line": node.lineno, "old": hole[0], "new": new}
            return Edit("replace_string", place.file, arguments)
    return None


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "expectation_missed": (mark_the_material, say_beside_the_question),
    "ungrounded_answer": (mark_the_material, say_beside_the_question),
    "injected_instruction": (mark_the_material,),
    "stale_document": (say_beside_the_question,),
    "unparsable_output": (say_beside_the_question,),
    "claimed_action": (say_beside_the_question,),
    "truncated_output": (say_beside_the_question,),
}
