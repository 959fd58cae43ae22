"""Recipes for placeholders that reached the model unfilled."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import rewritten_value
from refinery.agents.playbook._shared.editing import replaced_lines
from refinery.agents.playbook._shared.syntax import Function
from refinery.codebase.scan import DATA, is_secondary
from refinery.model.failure import SourceLocation
from refinery.model.patch import Edit
from refinery.model.trace import Json

_NAME = re.compile(r"[A-Za-z_]\w{1,60}")
_HOLE = re.compile(r"\{\{\s*(\w+)\s*\}\}|\{(\w+)\}|\$\{?(\w+)\}?|%\((\w+)\)s|<(\w+)>")
_FILLING = {"format", "render", "substitute", "safe_substitute", "partial", "format_messages",
            "format_prompt"}  # fmt: skip
"""Methods that fill templates in and take a value of any name."""
_TOPIC = "prompt templates variables placeholders"


def rename_placeholder(case: Case) -> Iterator[Draft]:
    """Give the placeholder the name under which the program fills it in."""
    placeholder, variable = _facts(case)
    for place in case.places("template"):
        source = case.tree.text(place.file)
        if not placeholder or source is None or placeholder not in source:
            continue
        own = "\n".join(source.split("\n")[place.line_start - 1 : place.line_end])
        names = sorted(_filled_names(case) - {variable} - _holes(own))
        close = get_close_matches(variable, names, n=1, cutoff=0.6) or [
            name for name in names if variable in name.split("_") or name in variable.split("_")
        ]
        edit = (
            _renamed(place, source, placeholder, placeholder.replace(variable, close[0]))
            if close
            else None
        )
        if edit is not None:
            yield _draft(
                f"Rename the placeholder {variable} to {close[0]}",
                f"The program fills in {close[0]}, and nothing fills in {variable}.",
                edit,
                0.9,
            )
            return


def fill_in_literal(case: Case) -> Iterator[Draft]:
    """Make a Python literal an f-string where the variable is at hand."""
    placeholder, variable = _facts(case)
    if placeholder != f"{{{variable}}}":
        return
    for place in case.places("template"):
        source, syntax = case.tree.text(place.file), case.tree.syntax(place.file)
        if source is None or syntax is None or not place.file.endswith(".py"):
            continue
        for function in (n for n in ast.walk(syntax) if isinstance(n, Function)):
            edit = _as_fstring(source, place.file, function, (placeholder, variable))
            edit = edit or _formatted(source, place, function, variable)
            if edit is not None:
                yield _draft(
                    f"Fill {variable} into the prompt",
                    f"The prompt holds {placeholder} as it stands, and {function.name} has a "
                    "value of that name.",
                    edit,
                    0.85,
                )
                return


def fill_in_as_named(case: Case) -> Iterator[Draft]:
    """Fill the value in under the placeholder's name, where the placeholder cannot be renamed."""
    placeholder, variable = _facts(case)
    if not placeholder or any(True for _ in rename_placeholder(case)):
        return
    for path in case.tree.paths((".py",)):
        source, tree = case.tree.text(path), case.tree.syntax(path)
        if source is None or tree is None or is_secondary(path):
            continue
        for node in ast.walk(tree):
            edit = _filled_again(path, node, variable, _takes_any_name(tree))
            if edit is not None:
                found = _draft(
                    f"Fill in {variable} where the program fills in the prompt",
                    f"The prompt asks for {variable}, and the program fills in a value of nearly "
                    "that name.",
                    edit,
                    0.6,
                )
                yield replace(found, strategy="code")
                return


def write_words_instead(case: Case) -> Iterator[Draft]:
    """Put the placeholder's name in plain words in its place."""
    placeholder, variable = _facts(case)
    words = variable.replace("_", " ").strip()
    for place in case.places("template"):
        source = case.tree.text(place.file)
        if not placeholder or not words or source is None:
            continue
        edit = _renamed(place, source, placeholder, words)
        if edit is not None:
            found = _draft(
                f"Write “{words}” instead of the placeholder",
                "Nothing fills the placeholder in, and a model makes more of words than of marks.",
                edit,
                0.25,
            )
            yield replace(found, strategy="prompt", after="The model reads plain words.")
            return


def _facts(case: Case) -> tuple[str, str]:
    """The placeholder and its variable, when they are plain enough to be edited."""
    placeholder = str(case.finding.facts.get("placeholder") or "")
    variable = str(case.finding.facts.get("variable") or "")
    is_plain = (
        bool(_NAME.fullmatch(variable)) and variable in placeholder and len(placeholder) < 90
    )
    return (placeholder, variable) if is_plain else ("", "")


def _holes(source: str) -> set[str]:
    return {name for found in _HOLE.findall(source) for name in found if name}


def _filled_names(case: Case) -> set[str]:
    """Names the program fills in: keywords of calls, keys of dictionaries, quoted placeholders."""
    names: set[str] = set()
    for path in case.tree.paths((".py",)):
        syntax = case.tree.syntax(path) if not is_secondary(path) else None
        for node in ast.walk(syntax) if syntax else ():
            if isinstance(node, ast.Call):
                names.update(keyword.arg for keyword in node.keywords if keyword.arg)
            elif isinstance(node, ast.Dict):
                keys = (key.value for key in node.keys if isinstance(key, ast.Constant))
                names.update(key for key in keys if isinstance(key, str) and key.isidentifier())
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                hole = _HOLE.fullmatch(node.value.strip())
                names.update(name for name in (hole.groups() if hole else ()) if name)
    return names


def _renamed(place: SourceLocation, source: str, old: str, new: str) -> Edit | None:
    """The first line of the place that holds the placeholder, with the new name."""
    if place.file.endswith(DATA):
        edit = rewritten_value(place, source, lambda value: _other(value, old, new))
        if edit is not None:
            return edit
    lines = source.split("\n")
    for number in range(place.line_start, min(place.line_end, len(lines)) + 1):
        line = lines[number - 1]
        if old in line:
            return replaced_lines(source, place.file, (number, number), [line.replace(old, new)])
    return None


def _other(value: str, old: str, new: str) -> str | None:
    return value.replace(old, new) if old in value else None


def _as_fstring(source: str, path: str, function: Function, hole: tuple[str, str]) -> Edit | None:
    """The literal in a function that has the variable, with an `f` before its quotes."""
    placeholder, variable = hole
    if variable not in _variables(function):
        return None
    plain = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and placeholder in node.value
    ]
    lines = source.split("\n")
    for node in plain:
        line = lines[node.lineno - 1].encode()
        head, rest = line[: node.col_offset].decode(), line[node.col_offset :].decode()
        holes = _holes(str(node.value))
        if rest[:1] in ("'", '"') and holes <= _variables(function):
            return replaced_lines(source, path, (node.lineno, node.lineno), [f"{head}f{rest}"])
    return None


def _formatted(
    source: str, place: SourceLocation, function: Function, variable: str
) -> Edit | None:
    """A use of the constant in a function that has the variable, with `.format(…)`."""
    name = place.node.rpartition(".")[2]
    if variable not in _variables(function) or not name.isidentifier():
        return None
    called = {id(node.value) for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    lines = source.split("\n")
    holes = sorted(_holes(place.text)) or [variable]
    for node in ast.walk(function):
        is_use = isinstance(node, ast.Name) and node.id == name and id(node) not in called
        if is_use and isinstance(node, ast.Name) and set(holes) <= _variables(function):
            line = lines[node.lineno - 1].encode()
            filled = ", ".join(f"{one}={one}" for one in holes)
            head, rest = line[: node.end_col_offset], line[node.end_col_offset or 0 :]
            new = f"{head.decode()}.format({filled}){rest.decode()}"
            return replaced_lines(source, place.file, (node.lineno, node.lineno), [new])
    return None


def _takes_any_name(tree: ast.Module) -> set[str]:
    """Functions of a file that take keywords of any name, and methods that fill in templates."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, Function) and node.args.kwarg}
    return own | _FILLING


def _filled_again(path: str, node: ast.AST, variable: str, filling: set[str]) -> Edit | None:
    """A call that fills in a value of nearly the name, with the name added."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
        return None
    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
    given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    close = get_close_matches(variable, given, n=1, cutoff=0.6)
    if name not in filling or variable in given or not close:
        return None
    arguments: dict[str, Json] = {
        "line": node.lineno,
        "call": name,
        "name": variable,
        "value": ast.unparse(given[close[0]]),
    }
    return Edit("set_argument", path, arguments)


def _variables(function: Function) -> set[str]:
    """Names a function has values for."""
    given = function.args
    named = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    stored = (n for n in ast.walk(function) if isinstance(n, ast.Name))
    return named | {n.id for n in stored if isinstance(n.ctx, ast.Store)}


def _draft(title: str, rationale: str, edit: Edit, fitness: float) -> Draft:
    return Draft(
        title=title,
        rationale=rationale,
        strategy="context",
        edits=(edit,),
        fitness=fitness,
        before="The model reads the placeholder instead of a value.",
        after="The model reads the value.",
        risks=(),
        topic=_TOPIC,
    )


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "unfilled_template": (
        rename_placeholder,
        fill_in_literal,
        fill_in_as_named,
        write_words_instead,
    ),
}
