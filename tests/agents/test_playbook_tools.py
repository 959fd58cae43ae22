"""Recipes for tools and settings: errors said instead of swallowed, descriptions, limits."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from refinery.agents import playbook
from refinery.codebase import editor
from refinery.codebase.repository import Repository
from refinery.model.failure import Evidence, Finding, Likelihood, RootCause, SourceLocation
from refinery.model.patch import Hypothesis, Patch
from refinery.model.trace import Json, Run, RunKind, Trace
from tests.kits.repositories import make_repository

HANDLERS = {
    "returns an empty text": "    except Exception:\n        return ''\n",
    "says and returns nothing": "    except Exception as broken:\n        seen.append(1)\n"
    "        return None\n",
    "passes": "    except Exception:\n        pass\n",
    "on one line": "    except Exception: return []\n",
    "without a type": "    except:\n        return {}\n",
}


def patch(tmp_path: Path, source: str, category: str, **facts: Json) -> Patch:
    """What the likeliest code or schema hypothesis makes of a file with a tool `look`."""
    found = proposed(tmp_path, {"tool.py": source}, category, **facts)
    own = next(one for one in found if one.strategy in ("code", "schema"))
    return editor.plan(Repository.open(tmp_path / "agent"), own.edits)


def proposed(
    tmp_path: Path, files: dict[str, str], category: str, *places: SourceLocation, **facts: Json
) -> list[Hypothesis]:
    root = make_repository(tmp_path / "agent", files)
    called = Run("t", "r", name="look", kind=RunKind.TOOL, parent_id="r")
    finding = Finding(
        *("F1", category, "t", "e", Likelihood.CERTAIN, 0.9, "t", "t", (Evidence("r", "x"),)),
        root_cause=RootCause.TOOL,
        source=places[0] if places else None,
        related=places[1:],
        facts=facts,
    )
    return playbook.propose([finding], Trace("r", (Run("r", "r"), called)), root)


def run(source: bytes, name: str, *given: object) -> Any:
    """What a function of a patched file returns."""
    names: dict[str, Any] = {"seen": []}
    exec(compile(source, "tool.py", "exec"), names)
    return names[name](*given)


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_a_tool_that_swallows_its_error_says_it_and_works_as_before_otherwise(
    tmp_path: Path, handler: str
) -> None:
    source = f"def look(word):\n    try:\n        return 10 // len(word)\n{handler}"

    (change,) = patch(tmp_path, source, "empty_result_ignored").changes

    assert change.after is not None
    assert run(change.after, "look", "ab") == 5
    said = run(change.after, "look", "")
    assert said.startswith("Error: the call failed: ZeroDivisionError(")


@pytest.mark.parametrize(
    "handler",
    ["    except ValueError:\n        return ''\n", "    except Exception:\n        raise\n"],
)
def test_a_handler_that_hides_nothing_is_left_alone(tmp_path: Path, handler: str) -> None:
    source = f"def look(word):\n    try:\n        return 10 // len(word)\n{handler}"

    assert proposed(tmp_path, {"tool.py": source}, "empty_result_ignored") == []


@pytest.mark.parametrize("lost", ["in form", "after the model", "in the conversation"])
def test_an_error_has_nothing_to_do_with_what_was_lost_elsewhere(
    tmp_path: Path, lost: str
) -> None:
    source = f"def look(word):\n    try:\n        return word\n{HANDLERS['passes']}"

    assert proposed(tmp_path, {"tool.py": source}, "expectation_missed", lost=lost) == []


REFUSES = '    if not day:\n        raise ValueError("the day must be a date")\n    return day\n'


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            f'def look(day):\n    """Look up."""\n{REFUSES}',
            '    """Look up. The day must be a date."""',
        ),
        (
            f'def look(day):\n    """Look up.\n\n    Slowly.\n    """\n{REFUSES}',
            "    The day must be a date.",
        ),
        (f"def look(day):\n    'Look up.'\n{REFUSES}", "    'Look up. The day must be a date.'"),
        (
            f'SPEC = {{"name": "look", "description": "Look up."}}\n\n\ndef look(day):\n{REFUSES}',
            'SPEC = {"name": "look", "description": "Look up. The day must be a date."}',
        ),
    ],
)
def test_what_a_tool_refuses_joins_its_description_in_any_form(
    tmp_path: Path, source: str, line: str
) -> None:
    diff = patch(tmp_path, source, "trial_and_error").diff

    assert f"+{line}" in diff.splitlines()


CASES = [
    ("AttributeError", "'NoneType' object has no attribute 'name'",
     "def look(item):\n    return item.name\n", "look", (None,), None),
    ("TypeError", "unsupported operand type(s) for +: 'int' and 'NoneType'",
     "def look(one, two):\n    return one + two\n", "look", (1, None), None),
    ("TypeError", "'NoneType' object is not iterable",
     "def look(rows):\n    found = []\n    for row in rows:\n        found.append(row)\n"
     "    return [1]\n", "look", (None,), []),
    ("IndexError", "list index out of range",
     "def look(rows):\n    return {'third': rows[2]}\n", "look", ([1],),
     {"error": "Nothing found for [1]."}),
    ("ZeroDivisionError", "division by zero",
     "def look(rows) -> str:\n    return str(1 / len(rows))\n", "look", ([],),
     "Nothing to divide by found for []."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "source", "name", "given", "answer"), CASES)
def test_a_checked_function_answers_in_its_own_kind_instead_of_failing(
    tmp_path: Path, kind: str, message: str, source: str, name: str, given: Any, answer: object
) -> None:
    with pytest.raises(getattr(builtins, kind)):
        run(source.encode(), name, *given)
    quiet = source.replace("look", "find")  # no tool: nobody says that a model reads it
    line = 3 if "for row" in source else 2
    place = SourceLocation("tool.py", line, line, "", "frame")

    found = proposed(
        tmp_path, {"tool.py": quiet}, "exception", place, error_type=kind, message=message
    )
    (change,) = editor.plan(Repository.open(tmp_path / "agent"), found[0].edits).changes

    assert change.after is not None
    assert run(change.after, "find", *given) == answer


def test_a_tool_node_hands_errors_to_the_model(tmp_path: Path) -> None:
    graph = "from langgraph.prebuilt import ToolNode\n\nnode = ToolNode([look])\n"
    files = {"graph.py": graph, "tool.py": "def look(item):\n    return item.name\n"}

    found = proposed(tmp_path, files, "exception", error_type="OddError", message="odd")

    assert [one.strategy for one in found] == ["control flow"]
    diff = editor.plan(Repository.open(tmp_path / "agent"), found[0].edits).diff
    assert "+node = ToolNode([look], handle_tool_errors=True)" in diff


@pytest.mark.parametrize(
    ("category", "facts", "before", "after"),
    [
        ("timeout", {}, "client = OpenAI(timeout=2)\n", "timeout=30"),
        ("timeout", {}, "client = OpenAI()\n", "timeout=60"),
        ("rate_limit", {}, "client = OpenAI(max_retries=1)\n", "max_retries=5"),
        (
            "repeated_calls",
            {"limit": True},
            'x = {"recursion_limit": 9}\n',
            '"recursion_limit": 27',
        ),
        ("high_temperature", {}, "m = ChatOpenAI(temperature=0.9)\n", "temperature=0)"),
        ("truncated_output", {"value": 9}, "m = ChatOpenAI(max_tokens=9)\n", "max_tokens=256"),
    ],
)
def test_a_number_is_changed_where_it_is_set(
    tmp_path: Path, category: str, facts: dict[str, Json], before: str, after: str
) -> None:
    place = SourceLocation("app.py", 1, 1, "", "call")

    found = proposed(tmp_path, {"app.py": before}, category, place, **facts)

    diff = editor.plan(Repository.open(tmp_path / "agent"), found[0].edits).diff
    assert any(after in line for line in diff.splitlines() if line.startswith("+"))


@pytest.mark.parametrize(
    ("category", "facts", "source"),
    [
        ("truncated_output", {"value": True}, "m = ChatOpenAI(max_tokens=9)\n"),
        ("truncated_output", {"value": 9_000}, "m = ChatOpenAI(max_tokens=9000)\n"),
        ("repeated_calls", {}, 'x = {"recursion_limit": 9}\n'),
        ("rate_limit", {}, "client = OpenAI(**SETTINGS)\n"),
        ("high_temperature", {}, "m = ChatOpenAI(temperature=0)\n"),
    ],
)
def test_a_number_that_says_nothing_of_the_fault_is_left_alone(
    tmp_path: Path, category: str, facts: dict[str, Json], source: str
) -> None:
    place = SourceLocation("app.py", 1, 1, "", "call")

    assert proposed(tmp_path, {"app.py": source}, category, place, **facts) == []


def test_a_client_made_in_the_middle_of_an_expression_gets_its_argument(tmp_path: Path) -> None:
    source = "reply = anthropic.Anthropic().messages.create(model='m')\n"
    place = SourceLocation("app.py", 1, 1, "", "call")

    found = proposed(tmp_path, {"app.py": source}, "unparsable_output", place)

    diff = editor.plan(Repository.open(tmp_path / "agent"), found[0].edits).diff
    assert "messages.create(model='m', temperature=0)" in diff
