"""Recipes for how a tool is described to the model: say what it refuses, in its own words."""

import ast
import re
from collections.abc import Iterator

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.editing import replaced_lines
from refinery.agents.playbook._shared.syntax import Function
from refinery.agents.playbook._shared.tools import called_tools
from refinery.codebase.tools import description_in
from refinery.model.patch import Edit
from refinery.model.trace import RunKind

MAX_RULES = 3
_RULE = re.compile(
    r"\b(?:must|should|expected|expects|format|YYYY|one of|only|needs?|use|in (?:metres|meters|"
    r"kilometres|kilometers|miles|cents|euros|dollars|minutes|hours|seconds|grams|kg|celsius))\b",
    re.IGNORECASE,
)
_TOPIC = "tool description argument format schema"


def describe_what_is_refused(case: Case) -> Iterator[Draft]:
    """Add what a tool's own code refuses to its description."""
    if case.finding.category == "exception" and not _is_refusal(case):
        return
    for path, function in called_tools(case):
        rules = [
            rule for rule in _rules(function) if rule not in (ast.get_docstring(function) or "")
        ]
        source = case.tree.text(path)
        if not rules or source is None:
            continue
        edit = _described(case, path, source, function, " ".join(rules))
        if edit is None:
            continue
        yield Draft(
            title=f"Say in the description of {function.name} what it refuses",
            rationale="The tool's code refuses arguments its description does not rule out.",
            strategy="schema",
            edits=(edit,),
            fitness=0.8,
            before="The model has to guess the arguments' form.",
            after=f"The description says: {' '.join(rules)}",
            risks=("Descriptions are read in every call and cost tokens.",),
            topic=_TOPIC,
        )
        return


def _is_refusal(case: Case) -> bool:
    """Whether an error is a tool's way to say that its arguments are wrong."""
    kind = str(case.finding.facts.get("error_type") or "").rpartition(".")[2]
    is_tool = case.cause is not None and case.cause.kind is RunKind.TOOL
    return is_tool and kind in ("ValueError", "ToolException", "TypeError")


def _rules(function: Function) -> list[str]:
    """Sentences in the function's texts that say what an argument has to be."""
    docstring = ast.get_docstring(function, clean=False)
    found: list[str] = []
    for node in ast.walk(function):
        text = _text(node)
        if not text or text == docstring or len(text) > 200 or not _RULE.search(text):
            continue
        plain = re.sub(r"\s+", " ", text).strip().rstrip(".:,;")
        plain = re.sub(r"^(?:error|invalid[^:]*)\s*:\s*", "", plain, flags=re.IGNORECASE)
        if len(plain.split()) >= 3:
            found.append(f"{plain[:1].upper()}{plain[1:]}.")
    return list(dict.fromkeys(found))[:MAX_RULES]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = [one.value for one in node.values if isinstance(one, ast.Constant)]
        return "".join(str(part) for part in parts)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return str(node.value) if is_text and isinstance(node, ast.Constant) else ""


def _described(case: Case, path: str, source: str, function: Function, rules: str) -> Edit | None:
    """The tool's schema with the rules added: its `description`, else the docstring."""
    for file in case.tree.paths((".py",)):
        syntax = (
            case.tree.syntax(file)
            if f'"{function.name}"' in (case.tree.text(file) or "")
            else None
        )
        for node in ast.walk(syntax) if syntax else ():
            described = description_in(node, function.name)
            if described is not None:
                old = str(described.value)
                arguments = {
                    "line": described.lineno,
                    "old": old,
                    "new": f"{old.rstrip()} {rules}",
                }
                return Edit("replace_string", file, arguments)
    first = function.body[0]
    doc = first.value if isinstance(first, ast.Expr) else None
    if not (isinstance(doc, ast.Constant) and isinstance(doc.value, str)):
        return None
    lines = source.split("\n")
    last = doc.end_lineno or doc.lineno
    closing = lines[last - 1]
    quote = (
        '"""'
        if closing.rstrip().endswith('"""')
        else "'''"
        if closing.rstrip().endswith("'''")
        else closing.rstrip()[-1]
    )
    head = closing.rstrip()[: -len(quote)]
    plain = rules.replace("\\", "\\\\").replace(quote[0], "'" if quote[0] == '"' else '"')
    if head.strip():
        return replaced_lines(source, path, (last, last), [f"{head.rstrip()} {plain}{quote}"])
    return replaced_lines(source, path, (last, last), [f"{head}{plain}", closing])


RECIPES: dict[str, tuple[Recipe, ...]] = {
    name: (describe_what_is_refused,)
    for name in (
        *("malformed_tool_arguments", "trial_and_error", "empty_result_ignored", "exception"),
        *("expectation_missed", "repeated_calls", "retry_storm", "invented_argument"),
    )
}
