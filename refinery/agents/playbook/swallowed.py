"""Recipes for tools that hide their errors: say what went wrong instead of returning nothing."""

import ast
from collections.abc import Iterator

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.editing import replaced_lines
from refinery.agents.playbook._shared.syntax import Function
from refinery.agents.playbook._shared.tools import called_tools
from refinery.codebase.tools import swallowing_handlers
from refinery.model.patch import Edit


def tell_what_failed(case: Case) -> Iterator[Draft]:
    """Return the error of a tool as text where its code returns nothing."""
    if case.finding.facts.get("lost") in ("in form", "after the model", "in the conversation"):
        return
    for path, function in called_tools(case):
        source = case.tree.text(path)
        edit = _told(source, path, function) if source else None
        if edit is not None:
            yield Draft(
                title=f"Say that {function.name} failed instead of returning nothing",
                rationale="The tool catches every error and returns nothing, so the model cannot "
                "tell a failure from an empty result.",
                strategy="code",
                edits=(edit,),
                fitness=0.75,
                before="The model is given nothing and goes on.",
                after="The model reads that the call failed, and why.",
                risks=("The words of an error reach the model.",),
                topic="tool errors swallowed exceptions messages for the model",
            )
            return


def _told(source: str, path: str, function: Function) -> Edit | None:
    """The handler that returns nothing, returning the error's words."""
    for handler in swallowing_handlers(function):
        last = handler.body[-1]
        lines = source.split("\n")
        head, ending = lines[handler.lineno - 1], lines[last.lineno - 1]
        indent = head[: len(head) - len(head.lstrip())]
        name = handler.name or "error"
        kind = ast.unparse(handler.type) if handler.type else "Exception"
        is_on_one_line = last.lineno == handler.lineno
        inner = f"{indent}    " if is_on_one_line else ending[: len(ending) - len(ending.lstrip())]
        between = lines[handler.lineno : last.lineno - 1]
        new = [
            f"{indent}except {kind} as {name}:",
            *between,
            f'{inner}return f"Error: the call failed: {{{name}!r}}"',
        ]
        return replaced_lines(source, path, (handler.lineno, last.end_lineno or last.lineno), new)
    return None


RECIPES: dict[str, tuple[Recipe, ...]] = {
    name: (tell_what_failed,)
    for name in ("empty_result_ignored", "expectation_missed", "claimed_action", "repeated_calls")
}
