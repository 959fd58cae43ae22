"""Recipes for answers a program cannot read: ask for the format, read it more patiently."""

import ast
import json
from collections.abc import Iterator

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import ADVICE, Advice, advise
from refinery.agents.playbook._shared.editing import replaced_lines
from refinery.agents.playbook._shared.syntax import functions_at, smallest_statement
from refinery.codebase.scan import dotted_name
from refinery.model.messages import messages_out
from refinery.model.patch import Edit
from refinery.model.trace import RunKind
from refinery.model.walk import of_kind

PARSE_ERRORS = ("JSONDecodeError", "OutputParserException", "ValidationError")
MAX_KEYS = 12
_TOPIC = "structured output JSON only format instructions parsing"


def ask_for_bare_json(case: Case) -> Iterator[Draft]:
    """Tell the model to write nothing but the JSON."""
    if _is_parse_error(case):
        yield from advise(case, ADVICE["unparsable_output"])


def ask_for_keys(case: Case) -> Iterator[Draft]:
    """Tell the model which keys the program reads."""
    key = str(case.finding.facts.get("message") or "").strip("'\"")
    if not _ends_with(case, "KeyError") or not _was_answered_without(case, key):
        return
    for _, _, function in functions_at(case, "frame"):
        keys = _keys_read(function, key)
        if keys:
            listed = ", ".join(json.dumps(one) for one in keys)
            sentence = f"Answer with one JSON object only, with exactly these keys: {listed}."
            yield from advise(
                case,
                Advice(
                    sentence,
                    "Tell the model which keys the program reads",
                    "The answer is JSON, but without a key the program reads; the prompt does "
                    "not name the keys.",
                    0.9,
                    _TOPIC,
                ),
            )
            return


def force_json(case: Case) -> Iterator[Draft]:
    """Ask the provider for its JSON mode."""
    if not _is_parse_error(case) or not _answers(case).lstrip().strip("`").count("{"):
        return
    for path in case.tree.paths((".py",)):
        text = case.tree.text(path) or ""
        syntax = case.tree.syntax(path) if "completions.create" in text else None
        for node in ast.walk(syntax) if syntax else ():
            if not isinstance(node, ast.Call):
                continue
            name = dotted_name(node.func)
            if not name.endswith("completions.create"):
                continue
            if any(keyword.arg in ("response_format", None) for keyword in node.keywords):
                continue
            arguments = {
                "line": node.lineno,
                "call": "completions.create",
                "name": "response_format",
                "value": '{"type": "json_object"}',
            }
            yield Draft(
                title="Ask the provider for its JSON mode",
                rationale="The program parses the answer as JSON, and nothing makes the provider "
                "write JSON.",
                strategy="schema",
                edits=(Edit("set_argument", path, arguments),),
                fitness=0.7,
                before="The answer has text around the JSON.",
                after="The answer is one JSON object.",
                risks=("The provider refuses JSON mode when the prompt never mentions JSON.",),
                topic=_TOPIC,
            )
            return


def parse_patiently(case: Case) -> Iterator[Draft]:
    """Cut the JSON out of the text around it before it is parsed."""
    answered = _answers(case)
    if not _is_parse_error(case) or not ("{" in answered and "}" in answered):
        return
    is_list = 0 <= answered.find("[") < answered.find("{")
    opening, closing = ("[", "]") if is_list else ("{", "}")
    for place, source, function in functions_at(case, "frame"):
        statement = smallest_statement(function, place.line_start)
        if statement is None:
            continue
        written = _patient(source, statement, opening, closing)
        span = (statement.lineno, statement.end_lineno or statement.lineno)
        edit = replaced_lines(source, place.file, span, written) if written else None
        if edit is not None:
            yield Draft(
                title="Parse the JSON inside the answer, not the whole answer",
                rationale="The answer holds the JSON with text around it.",
                strategy="code",
                edits=(edit,),
                fitness=0.6,
                before="Text around the JSON makes the parser fail.",
                after="What stands between the outermost brackets is parsed.",
                risks=("An answer with several JSON values still fails.",),
                topic=_TOPIC,
            )
            return


def _patient(source: str, statement: ast.stmt, opening: str, closing: str) -> list[str] | None:
    calls = [
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and dotted_name(node.func) in ("json.loads", "loads")
    ]
    text = ast.get_source_segment(source, calls[0].args[0]) if calls and calls[0].args else None
    lines = source.split("\n")[statement.lineno - 1 : statement.end_lineno]
    if not text or "\n" in text or sum(line.count(f"loads({text}") for line in lines) != 1:
        return None
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    name = text if text.isidentifier() else "written"
    cut = f'{name}[{name}.find("{opening}") : {name}.rfind("{closing}") + 1]'
    before = [] if text.isidentifier() else [f"{indent}{name} = {text}"]
    return [*before, *(line.replace(f"loads({text}", f"loads({cut}") for line in lines)]


def _is_parse_error(case: Case) -> bool:
    if case.finding.facts.get("missing_key"):
        return False
    category = case.finding.category
    return category == "unparsable_output" or any(_ends_with(case, one) for one in PARSE_ERRORS)


def _ends_with(case: Case, kind: str) -> bool:
    return str(case.finding.facts.get("error_type") or "").rpartition(".")[2] == kind


def _answers(case: Case) -> str:
    """What the last model call of the trace answered."""
    calls = of_kind(case.trace, RunKind.LLM)
    if not calls:
        return ""
    return "\n".join(message.text for message in messages_out(calls[-1]))


def _was_answered_without(case: Case, key: str) -> bool:
    """Whether the model wrote JSON that lacks a key."""
    answered = _answers(case)
    try:
        found = json.loads(answered[answered.find("{") : answered.rfind("}") + 1])
    except ValueError:
        return False
    return isinstance(found, dict) and bool(key) and key not in found


def _keys_read(function: ast.AST, key: str) -> list[str]:
    """Constant keys read from the variable that `key` is read from, in order."""
    reads = [
        (ast.unparse(node.value), node.slice.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ]
    base = next((name for name, value in reads if value == key), None)
    keys = dict.fromkeys(value for name, value in reads if name == base)
    return [one for one in keys if one.replace("_", "").isalnum()][:MAX_KEYS]


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "exception": (ask_for_keys, ask_for_bare_json, force_json, parse_patiently),
    "unparsable_output": (ask_for_keys, force_json, parse_patiently),
}
