"""How recipes change a number the program sets, or set it where nothing does."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from refinery import syntax
from refinery.agents.playbook import Case, Draft
from refinery.agents.playbook._shared.editing import set_literal
from refinery.codebase.causes import settings_behind
from refinery.codebase.parameters import Setting
from refinery.codebase.scan import dotted_name, is_secondary
from refinery.model.patch import Edit
from refinery.model.trace import Json

MODEL_CALLS = ("ChatOpenAI", "ChatAnthropic", "AzureChatOpenAI", "init_chat_model", "create")
"""Names whose call sets a model's parameters."""
MOST_PLACES = 2
"""Places one recipe proposes to change, each a hypothesis of its own."""

UNSET = 0.35
"""Fitness of naming a temperature where none is: the vendor's default is often fine."""

Number = int | float


def lower_temperature(case: Case) -> Iterator[Draft]:
    """Ask for the most likely answer instead of a varied one."""
    draft = Draft(
        title="Set the temperature to 0",
        rationale="The task needs the same answer every time and the temperature varies it.",
        strategy="parameters",
        edits=(),
        fitness=0.6,
        before="Equal questions get different answers.",
        after="The likeliest answer is given each time.",
        risks=("Texts that should vary become alike.",),
        topic="temperature determinism parameters",
    )
    absent = absent_edit(case, MODEL_CALLS, "temperature", "0")
    found = settings_behind(case.tree, "high_temperature", {})
    warm = [one for one in found if isinstance(one.value, int | float) and one.value > 0]
    if warm:
        yield from changed(case, lambda _: 0, None, draft, warm)
    elif not found and absent is not None:
        yield replace(draft, edits=(absent,), fitness=UNSET)


def is_number(one: Setting) -> bool:
    """Whether a setting is a number, and no truth value."""
    return isinstance(one.value, int | float) and not isinstance(one.value, bool)


def changed(
    case: Case,
    value_of: Callable[[Number], Json],
    absent: Edit | None,
    draft: Draft,
    found: list[Setting] | None = None,
) -> Iterator[Draft]:
    """The draft with an edit for each place the value is set in; where there is none, with
    the edit that sets it.
    """  # noqa: D205  # one sentence that needs two lines
    facts = case.finding.facts
    if found is None:
        found = settings_behind(case.tree, case.finding.category, facts, case.places())
    found = [one for one in found if is_number(one) and not is_secondary(one.path)]
    for rank, one in enumerate(found[:MOST_PLACES]):
        assert isinstance(one.value, int | float)
        source = case.tree.text(one.path)
        edit = set_literal(source, one, value_of(one.value)) if source else None
        if edit is not None:
            yield _with(draft, edit, draft.fitness - 0.1 * rank)
    if not found and absent is not None:
        yield _with(draft, absent, draft.fitness)


def _with(draft: Draft, edit: Edit, fitness: float) -> Draft:
    return replace(draft, edits=(edit,), fitness=fitness)


def absent_edit(case: Case, calls: tuple[str, ...], name: str, value: str) -> Edit | None:
    """An edit that adds an argument to the one call that makes or asks the model."""
    for place in case.places():
        source = case.read(place) if place.file.endswith(".py") else None
        for call, dotted in _calls(source, calls) if source else ():
            # What `**` hands on may hold the argument already.
            if all(keyword.arg not in (name, None) for keyword in call.keywords):
                arguments = {"line": call.lineno, "call": dotted, "name": name, "value": value}
                return Edit("set_argument", place.file, arguments)
    return None


def _calls(source: str, names: tuple[str, ...]) -> Iterator[tuple[ast.Call, str]]:
    try:
        tree = syntax.parse_module(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            dotted = dotted_name(node.func)
            if dotted.rpartition(".")[2] in names:
                yield node, dotted
