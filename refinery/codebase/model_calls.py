"""Finds where a program makes or calls its model."""

import ast

from refinery.codebase.scan import PYTHON, SourceTree, Span, dotted_name, is_secondary, walk_named
from refinery.model.failure import SourceLocation
from refinery.model.trace import Run

_MAKERS = {
    "AzureChatOpenAI", "ChatAnthropic", "ChatBedrock", "ChatGoogleGenerativeAI", "ChatGroq",
    "ChatLiteLLM", "ChatMistralAI", "ChatOllama", "ChatOpenAI", "ChatVertexAI", "OpenAI",
    "create_agent", "create_react_agent", "init_chat_model",
}  # fmt: skip
_ENDINGS = ("completions.create", "responses.create", "messages.create", "messages.stream",
            "responses.parse", "completions.parse", "litellm.completion")  # fmt: skip
MAX_FOUND = 3


def locate_model_calls(tree: SourceTree, run: Run) -> list[SourceLocation]:
    """Calls that make or ask the model of an llm run, likeliest first."""
    wanted = {name for name in (run.name,) if name and name.isidentifier()}
    model = run.model_requested or run.model_responded or ""
    found: list[SourceLocation] = []
    for path in tree.paths(PYTHON):
        text = tree.text(path) or ""
        marks = [*_MAKERS, *wanted, "create", "stream", "parse", "completion"]
        syntax = tree.syntax(path) if any(mark + "(" in text for mark in marks) else None
        for qualname, node in walk_named(syntax) if syntax else ():
            sure = _confidence(node, wanted, model) if isinstance(node, ast.Call) else 0.0
            if sure and isinstance(node, ast.Call):
                span = Span(path, node.lineno, node.end_lineno or node.lineno)
                sure *= 0.5 if is_secondary(path) else 1.0
                name = qualname or dotted_name(node.func)
                found.append(tree.location(span, name, "call", (sure, "name")))
    found.sort(key=lambda one: (-one.confidence, one.file, one.line_start))
    return found[:MAX_FOUND]


def _confidence(call: ast.Call, wanted: set[str], model: str) -> float:
    name = dotted_name(call.func)
    last = name.rpartition(".")[2]
    sure = 0.75 if last in wanted else 0.6 if last in _MAKERS or name.endswith(_ENDINGS) else 0.0
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    literals = [value.value for value in values if isinstance(value, ast.Constant)]
    names_model = model and any(
        isinstance(value, str) and value.rpartition(":")[2] == model.rpartition("/")[2]
        for value in literals
    )
    return min(sure + 0.2, 0.95) if sure and names_model else sure
