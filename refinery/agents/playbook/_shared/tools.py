"""The functions behind the tools of a trace."""

import ast
from collections.abc import Iterator

from refinery.agents.playbook import Case
from refinery.agents.playbook._shared.syntax import Function, functions_at
from refinery.model.messages import tool_calls
from refinery.model.trace import Run, RunKind
from refinery.model.walk import of_kind


def called_tools(case: Case) -> Iterator[tuple[str, Function]]:
    """Functions behind the tools of the trace: those of the finding first."""
    involved = {case.finding.symptom_run_id, case.finding.cause_run_id}
    runs = sorted(of_kind(case.trace, RunKind.TOOL), key=lambda run: run.run_id not in involved)
    names = list(dict.fromkeys([*_named(runs), *asked_for(case)]))
    seen: set[tuple[str, int]] = set()
    for place, _, function in functions_at(case, "function", "frame"):
        if function.name in names:
            seen.add((place.file, function.lineno))
            yield place.file, function
    for name in names:
        for path in case.tree.paths((".py",)):
            if f"def {name}" not in (case.tree.text(path) or ""):
                continue
            syntax = case.tree.syntax(path)
            for node in ast.walk(syntax) if syntax else ():
                is_named = isinstance(node, Function) and node.name == name
                if is_named and isinstance(node, Function) and (path, node.lineno) not in seen:
                    yield path, node


def _named(runs: list[Run]) -> Iterator[str]:
    yield from (run.name for run in runs if run.name and run.name.isidentifier())


def asked_for(case: Case) -> Iterator[str]:
    """Names of tools that models asked for, in raw loops without tool runs."""
    for run in of_kind(case.trace, RunKind.LLM):
        yield from (call.name for call in tool_calls(run) if call.name.isidentifier())
