"""Recipes for errors raised by the user's code: check for what is missing, hand the error on."""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import replace

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import ADVICE, advise
from refinery.agents.playbook._shared.editing import replaced_lines
from refinery.agents.playbook._shared.syntax import (
    Function,
    functions_at,
    returned,
    smallest_statement,
)
from refinery.agents.playbook._shared.tools import asked_for
from refinery.model.failure import SourceLocation
from refinery.model.patch import Edit
from refinery.model.trace import RunKind

_NONE = re.compile(
    r"'NoneType' object (?:has no attribute '(?P<attribute>\w+)'|(?:is not|does not|cannot))"
)
_OPERAND = re.compile(r"'(\w+)' and '(\w+)'")
_TOPIC = "tool errors missing values error messages for the model"


def check_missing(case: Case) -> Iterator[Draft]:
    """Return early with a message where the frame shows what was missing."""
    kind, message = _error(case)
    for place, source, function in functions_at(case, "frame"):
        statement = smallest_statement(function, place.line_start)
        if statement is None:
            continue
        found = _condition(kind, message, statement, source)
        edit = _guarded(source, place, (function, statement), found, case) if found else None
        if edit is None or found is None:
            continue
        condition, missing, _ = found
        yield Draft(
            title=f"Check for a missing value before it is used in {function.name}",
            rationale=f"The line fails with {kind} when {condition}; the function then says so "
            "instead of ending the run.",
            strategy="code",
            edits=(edit,),
            fitness=0.85,
            before=f"The run ends with {kind}.",
            after=f"{missing[:1].upper()}{missing[1:]} is reported to whoever called.",
            risks=("A caller that expects another kind of value gets a message.",),
            topic=_TOPIC,
        )
        return


def check_and_heed(case: Case) -> Iterator[Draft]:
    """Check for what is missing in a tool, and tell the model to heed what the tool then says."""
    for draft in check_missing(case):
        if not draft.edits or not _is_of_a_tool(case):
            return
        for said in advise(case, ADVICE["empty_result_ignored"]):
            yield replace(
                draft,
                title=f"{draft.title}, and tell the model to report it",
                rationale=f"{draft.rationale} A model may answer all the same, unless told.",
                strategy="prompt",
                edits=(*draft.edits, *said.edits),
                fitness=0.5,
                risks=(*draft.risks, *said.risks),
            )


def pass_over_missing(case: Case) -> Iterator[Draft]:
    """Go on with the next item of a loop where the frame shows that this one lacks something."""
    kind, message = _error(case)
    for place, source, function in functions_at(case, "frame"):
        statement = smallest_statement(function, place.line_start)
        if statement is None or not _is_in_loop(function, statement):
            continue
        found = _condition(kind, message, statement, source)
        if found is None or found[2] is not None:
            continue
        line = source.split("\n")[statement.lineno - 1]
        indent = line[: len(line) - len(line.lstrip())]
        new = [f"{indent}if {found[0]}:", f"{indent}    continue", line]
        edit = replaced_lines(source, place.file, (statement.lineno, statement.lineno), new)
        if edit is not None:
            yield Draft(
                title="Pass over items that lack what is read from them",
                rationale=f"The line fails with {kind} when {found[0]}; the other items are fine.",
                strategy="control flow",
                edits=(edit,),
                fitness=0.6,
                before=f"One item ends the run with {kind}.",
                after="The item is passed over.",
                risks=("Nobody is told that an item was passed over.",),
                topic=_TOPIC,
            )
            return


def _is_in_loop(function: Function | None, statement: ast.stmt) -> bool:
    """Whether a statement stands in the body of a loop of the function itself."""
    if function is None:
        return False
    loops = [node for node in ast.walk(function) if isinstance(node, ast.For | ast.AsyncFor)]
    return any(statement in ast.walk(one) for loop in loops for one in loop.body)


def hand_error_on(case: Case) -> Iterator[Draft]:
    """Catch this kind of error in the tool and return it as text the model can read."""
    kind, _ = _error(case)
    if not _is_builtin(kind):
        return
    for place, source, function in (
        *functions_at(case, "function"),
        *functions_at(case, "frame"),
    ):
        if not _is_tool(case, function):
            continue
        written = _wrapped(source, function, kind)
        if written is None:
            continue
        span = (function.body[0].lineno, function.end_lineno or function.lineno)
        edit = replaced_lines(source, place.file, span, written)
        if edit is not None:
            yield Draft(
                title=f"Return the error of {function.name} to the model",
                rationale=f"{kind} of a tool ends the whole run; as a result the model can read "
                "it can be answered.",
                strategy="control flow",
                edits=(edit,),
                fitness=0.7,
                before=f"The run ends with {kind}.",
                after="The model is told that the call failed.",
                risks=("An error that should stop the run no longer does.",),
                topic=_TOPIC,
            )
            return


def let_tools_fail(case: Case) -> Iterator[Draft]:
    """Let the graph's tool node hand errors to the model."""
    kind, _ = _error(case)
    cause = case.cause
    if cause is None or cause.kind is not RunKind.TOOL:
        return
    for path in case.tree.paths((".py",)):
        syntax = case.tree.syntax(path) if "ToolNode(" in (case.tree.text(path) or "") else None
        for node in ast.walk(syntax) if syntax else ():
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("ToolNode"):
                continue
            if any(keyword.arg == "handle_tool_errors" for keyword in node.keywords):
                continue
            name = "handle_tool_errors"
            arguments = {"line": node.lineno, "call": "ToolNode", "name": name, "value": "True"}
            yield Draft(
                title="Let the tool node hand errors to the model",
                rationale=f"{kind} of a tool ends the whole run; the tool node can turn errors "
                "into results the model reads.",
                strategy="control flow",
                edits=(Edit("set_argument", path, arguments),),
                fitness=0.55,
                risks=("Errors of all its tools no longer end the run.",),
                topic=_TOPIC,
            )
            return


def _error(case: Case) -> tuple[str, str]:
    facts = case.finding.facts
    kind = str(facts.get("error_type") or "").rpartition(".")[2]
    return kind, str(facts.get("message") or "")


def _is_builtin(kind: str) -> bool:
    found = getattr(builtins, kind, None)
    return isinstance(found, type) and issubclass(found, Exception) and found is not Exception


def _is_of_a_tool(case: Case) -> bool:
    """Whether the frame that failed lies in what a tool run of the trace executed."""
    return any(_is_tool(case, function) for _, _, function in functions_at(case, "frame"))


def _is_tool(case: Case, function: Function) -> bool:
    """Whether the function is what a tool run of the trace executed, or a model asked for."""
    marks = {
        ast.unparse(one).partition("(")[0].rpartition(".")[2] for one in function.decorator_list
    }
    named = {run.name for run in case.trace.runs if run.kind is RunKind.TOOL}
    is_marked = bool(marks & {"tool", "function_tool", "instrument"})
    return is_marked or function.name in named or function.name in asked_for(case)


_Found = tuple[str, str, tuple[str, str] | None]
"""Condition, what is missing in words, and an expression with the name it is kept under."""


def _condition(kind: str, message: str, statement: ast.stmt, source: str) -> _Found | None:
    nodes = list(_evaluated(statement))
    if kind == "KeyError":
        return _missing_key(message, nodes)
    if kind == "IndexError":
        return _empty_list(nodes)
    if kind == "ZeroDivisionError":
        return _zero(nodes)
    if kind in ("TypeError", "AttributeError") and "NoneType" in message:
        return _is_none(message, nodes, source)
    return None


def _evaluated(statement: ast.stmt) -> Iterator[ast.AST]:
    """Nodes a statement evaluates itself: neither its body nor what has names of its own."""
    waiting: list[ast.AST] = [statement]
    own = (ast.stmt, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
    while waiting:
        node = waiting.pop(0)
        yield node
        waiting += [one for one in ast.iter_child_nodes(node) if not isinstance(one, own)]


def _is_simple(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant | ast.Name):
            return False
        node = node.value
    return isinstance(node, ast.Name)


def _missing_key(message: str, nodes: list[ast.AST]) -> _Found | None:
    subscripts = [n for n in nodes if isinstance(n, ast.Subscript) and _is_simple(n.value)]
    for node in subscripts:
        key = node.slice
        if isinstance(key, ast.Constant) and repr(key.value) == message:
            said = str(key.value).replace("_", " ")
            return f"{key.value!r} not in {ast.unparse(node.value)}", f"no {said}", None
    for node in subscripts:
        if isinstance(node.slice, ast.Name | ast.Attribute):
            key_text = ast.unparse(node.slice)
            condition = f"{key_text} not in {ast.unparse(node.value)}"
            return condition, f"nothing for {{{key_text}}}", None
    return None


def _empty_list(nodes: list[ast.AST]) -> _Found | None:
    for node in nodes:
        if not isinstance(node, ast.Subscript) or not _is_simple(node.value):
            continue
        base, index = ast.unparse(node.value), ast.unparse(node.slice)
        if index in ("0", "-1"):
            return f"not {base}", "nothing", None
        if index.isdigit():
            return f"len({base}) <= {index}", "nothing", None
    return None


def _zero(nodes: list[ast.AST]) -> _Found | None:
    for node in nodes:
        is_division = isinstance(node, ast.BinOp) and isinstance(
            node.op, ast.Div | ast.FloorDiv | ast.Mod
        )
        if not is_division or not isinstance(node, ast.BinOp):
            continue
        right = node.right
        is_len = isinstance(right, ast.Call) and ast.unparse(right.func) in ("len", "sum")
        if _is_simple(right) or is_len:
            return f"not {ast.unparse(right)}", "nothing to divide by", None
    return None


def _is_none(message: str, nodes: list[ast.AST], source: str) -> _Found | None:
    named = _NONE.search(message)
    operands = _OPERAND.search(message)
    for node in nodes:
        base = _none_base(node, named, operands)
        if base is None:
            continue
        if _is_simple(base):
            return f"{ast.unparse(base)} is None", "nothing", None
        text = ast.get_source_segment(source, base)
        if text and "\n" not in text and isinstance(base, ast.Call | ast.Subscript):
            return "found is None", "nothing", (text, "found")
    return None


def _none_base(
    node: ast.AST, named: re.Match[str] | None, operands: re.Match[str] | None
) -> ast.expr | None:
    """The expression that was None, by what the message says of its use."""
    if operands and isinstance(node, ast.BinOp):
        return node.right if operands[2] == "NoneType" else node.left
    if not named:
        return None
    attribute = named["attribute"]
    if attribute and isinstance(node, ast.Attribute) and node.attr == attribute:
        return node.value
    if not attribute and isinstance(node, ast.Subscript):
        return node.value
    if not attribute and isinstance(node, ast.For):
        return node.iter
    return None


def _guarded(
    source: str,
    place: SourceLocation,
    around: tuple[Function, ast.stmt],
    found: _Found,
    case: Case,
) -> Edit | None:
    """The statement with a check before it."""
    function, statement = around
    condition, missing, hoisted = found
    lines = source.split("\n")
    own = lines[statement.lineno - 1 : statement.end_lineno]
    indent = own[0][: len(own[0]) - len(own[0].lstrip())]
    if hoisted and sum(line.count(hoisted[0]) for line in own) != 1:
        return None
    if hoisted and any(isinstance(n, ast.Name) and n.id == hoisted[1] for n in ast.walk(function)):
        return None
    before = [f"{indent}{hoisted[1]} = {hoisted[0]}"] if hoisted else []
    after = [line.replace(hoisted[0], hoisted[1]) for line in own] if hoisted else own
    value = returned(function, _message(function, missing), is_tool=_is_tool(case, function))
    checked = [f"{indent}if {condition}:", f"{indent}    return {value}"]
    span = (statement.lineno, statement.end_lineno or statement.lineno)
    return replaced_lines(source, place.file, span, [*before, *checked, *after])


def _message(function: Function, missing: str) -> str:
    """What is missing, as the source of a text, with the argument that was asked for."""
    arguments = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
    said = f"{missing[:1].upper()}{missing[1:]} found"
    if "{" not in missing and arguments:
        said += f" for {{{arguments[0]}}}"
    elif "{" in missing:
        said = missing.replace("nothing for", "Nothing found for")
    return f'f"{said}."' if "{" in said else f'"{said}."'


def _wrapped(source: str, function: Function, kind: str) -> list[str] | None:
    """The body inside a `try`, its docstring before it; None when it cannot be indented."""
    body = function.body
    doc = body[0]
    has_doc = isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant)
    rest = body[1:] if has_doc else body
    if not rest or isinstance(rest[0], ast.Try) or _has_long_text(rest):
        return None
    lines = source.split("\n")
    kept = lines[doc.lineno - 1 : doc.end_lineno] if has_doc else []
    first = lines[rest[0].lineno - 1]
    indent = first[: len(first) - len(first.lstrip())]
    start = (doc.end_lineno or doc.lineno) if has_doc else rest[0].lineno - 1
    inner = [
        f"    {line}" if line.strip() else line for line in lines[start : function.end_lineno]
    ]
    value = returned(function, f'f"The call failed: {kind}: {{error}}"', is_tool=True)
    bound = f"except {kind} as error:" if "{error}" in value else f"except {kind}:"
    ending = [f"{indent}{bound}", f"{indent}    return {value}"]
    return [*kept, f"{indent}try:", *inner, *ending]


def _has_long_text(body: list[ast.stmt]) -> bool:
    """Whether a text goes over several lines, which indenting would change."""
    return any(
        isinstance(node, ast.Constant | ast.JoinedStr)
        and (node.end_lineno or node.lineno) > node.lineno
        for statement in body
        for node in ast.walk(statement)
    )


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "exception": (
        check_missing,
        hand_error_on,
        pass_over_missing,
        let_tools_fail,
        check_and_heed,
    ),
}
