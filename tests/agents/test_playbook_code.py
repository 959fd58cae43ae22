"""Recipes for errors in the user's code, parsers, tool descriptions and templates."""

from pathlib import Path

import pytest

from refinery.agents import playbook
from refinery.codebase import editor
from refinery.codebase.repository import Repository
from refinery.model.failure import Evidence, Finding, Likelihood, RootCause, SourceLocation
from refinery.model.patch import Hypothesis
from refinery.model.trace import Run, RunKind, Trace
from tests.kits.repositories import make_repository

TOOLS = '''from langchain_core.tools import tool

STOCK = {"a": {"price": 3}}


@tool
def price(item: str) -> str:
    """Price of an item."""
    record = STOCK[item]
    return f"It costs {record['price']}."


@tool
def first_price(items: list) -> str:
    """Price of the first item."""
    return f"It costs {items[0]}."


def find(item):
    return STOCK.get(item)


@tool
def safe_price(item: str) -> str:
    """Price, looked up."""
    return f"It costs {find(item)['price']}."


def share(total, parts):
    """Everybody's part."""
    return total / parts


@tool
def weight(item: str, day: str) -> str:
    """Weight on a day."""
    if "-" not in day:
        raise ValueError("the day must be written YYYY-MM-DD")
    return "heavy"
'''
READER = """import json


def read(reply):
    found = json.loads(reply.content)
    return found["name"], found["age"]
"""
LETTER = """TEXT = "Dear {recipent}, welcome to {place} in spring."


def write(recipient, place):
    return TEXT.replace("{recipient}", recipient).replace("{place}", place)


def greet(name):
    prompt = "You greet {name} in a friendly way."
    return prompt
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {"tools.py": TOOLS, "reader.py": READER, "letter.py": LETTER}
    return make_repository(tmp_path / "repository", files)


def frame(file: str, source: str, text: str) -> SourceLocation:
    line = 1 + next(n for n, one in enumerate(source.splitlines()) if text in one)
    return SourceLocation(file, line, line, "", "frame")


def proposed(
    root: Path, category: str, place: SourceLocation, **facts: object
) -> list[Hypothesis]:
    answered = Run("m", "r", kind=RunKind.LLM, parent_id="r", outputs={
        "choices": [{"message": {"role": "assistant", "content": 'Here: {"name": "Bo"} done'}}]
    })  # fmt: skip
    called = Run("t", "r", name="weight", kind=RunKind.TOOL, parent_id="r")
    trace = Trace("r", (Run("r", "r"), answered, called))
    finding = Finding(
        *("F1", category, "t", "e", Likelihood.CERTAIN, 0.9, "t", "t", (Evidence("r", "x"),)),
        root_cause=RootCause.TOOL,
        source=place,
        facts=facts,
    )
    return playbook.propose([finding], trace, root)


def diff(root: Path, hypothesis: Hypothesis) -> str:
    return editor.plan(Repository.open(root), hypothesis.edits).diff


def added(root: Path, hypothesis: Hypothesis) -> list[str]:
    lines = diff(root, hypothesis).splitlines()
    return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]


def error(root: Path, kind: str, message: str, text: str) -> list[Hypothesis]:
    place = frame("tools.py", TOOLS, text)
    return proposed(root, "exception", place, error_type=kind, message=message)


def test_a_missing_key_is_checked_before_it_is_read(root: Path) -> None:
    found = error(root, "KeyError", "'b'", "STOCK[item]")

    assert found[0].strategy == "code"
    assert added(root, found[0]) == [
        "    if item not in STOCK:",
        '        return f"Nothing found for {item}."',
    ]


def test_a_missing_constant_key_is_named_in_the_message(root: Path) -> None:
    found = error(root, "KeyError", "'price'", "record['price']")

    assert added(root, found[0]) == [
        "    if 'price' not in record:",
        '        return f"No price found for {item}."',
    ]


def test_an_empty_list_is_checked_before_its_first_item_is_taken(root: Path) -> None:
    found = error(root, "IndexError", "list index out of range", "items[0]")

    assert added(root, found[0])[0] == "    if not items:"


def test_the_result_of_a_call_is_kept_to_be_checked(root: Path) -> None:
    message = "'NoneType' object is not subscriptable"

    found = error(root, "TypeError", message, "find(item)['price']")

    assert added(root, found[0]) == [
        "    found = find(item)",
        "    if found is None:",
        '        return f"Nothing found for {item}."',
        "    return f\"It costs {found['price']}.\"",
    ]


def test_a_function_that_returns_numbers_returns_none_for_nothing(root: Path) -> None:
    found = error(root, "ZeroDivisionError", "division by zero", "total / parts")

    assert added(root, found[0]) == ["    if not parts:", "        return None"]


def test_a_tools_error_is_handed_to_the_model(root: Path) -> None:
    found = error(root, "KeyError", "'b'", "STOCK[item]")

    caught = next(one for one in found if one.strategy == "control flow")
    assert "    except KeyError as error:" in added(root, caught)
    assert '        return f"The call failed: KeyError: {error}"' in added(root, caught)


def test_a_body_with_a_long_text_is_not_indented(tmp_path: Path) -> None:
    source = '@tool\ndef show(x):\n    text = """a\n  b"""\n    return text[x["k"]]\n'
    root = make_repository(tmp_path / "other", {"tools.py": source})

    found = error_at(root, source)

    assert not [one for one in found if one.strategy == "control flow"]


def error_at(root: Path, source: str) -> list[Hypothesis]:
    place = frame("tools.py", source, 'x["k"]')
    return proposed(root, "exception", place, error_type="KeyError", message="'k'")


def test_json_is_cut_out_of_the_text_around_it(root: Path) -> None:
    place = frame("reader.py", READER, "json.loads")

    found = proposed(root, "exception", place, error_type="json.JSONDecodeError", message="x")

    code = next(one for one in found if one.strategy == "code")
    assert added(root, code) == [
        "    written = reply.content",
        '    found = json.loads(written[written.find("{") : written.rfind("}") + 1])',
    ]


def test_what_a_tool_refuses_is_said_in_its_description(root: Path) -> None:
    place = SourceLocation("tools.py", 40, 45, "weight", "function")

    found = proposed(root, "trial_and_error", place)

    assert [one.strategy for one in found] == ["schema"]
    assert added(root, found[0]) == [
        '    """Weight on a day. The day must be written YYYY-MM-DD."""'
    ]


def test_a_misspelt_placeholder_gets_the_name_that_is_filled_in(root: Path) -> None:
    place = SourceLocation("letter.py", 1, 1, "TEXT", "template", text=LETTER.splitlines()[0])

    found = proposed(
        root, "unfilled_template", place, placeholder="{recipent}", variable="recipent"
    )

    assert '+TEXT = "Dear {recipient}, welcome to {place} in spring."' in diff(root, found[0])


def test_a_literal_becomes_an_f_string_where_the_variable_is(root: Path) -> None:
    place = SourceLocation("letter.py", 9, 9, "greet.prompt", "template")

    found = proposed(root, "unfilled_template", place, placeholder="{name}", variable="name")

    assert added(root, found[0]) == ['    prompt = f"You greet {name} in a friendly way."']


def test_a_frame_outside_any_function_gives_no_hypothesis(root: Path) -> None:
    place = SourceLocation("tools.py", 3, 3, "", "frame")

    assert proposed(root, "exception", place, error_type="KeyError", message="'b'") == []
