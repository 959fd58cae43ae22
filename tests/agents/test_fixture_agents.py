"""The fixture agents are what they say they are, and the package knows nothing of them."""

import json
from functools import cache
from pathlib import Path

import pytest

import refinery
from benchmarks import fixture_fixes
from benchmarks.agents._mind import Asked, Knowledge, answer
from refinery.model.messages import Message
from refinery.replay.checks import parse

FIXTURES = fixture_fixes.fixtures()
LONG = 30
"""Characters from which a line of a fixture is its own and no common phrase of code."""


@cache
def package_text() -> str:
    root = Path(refinery.__file__).parent
    kinds = (".py", ".md", ".txt", ".toml", ".yaml", ".json")
    files = [path for path in root.rglob("*") if path.suffix in kinds]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_there_are_thirty_or_more() -> None:
    assert len(FIXTURES) >= 30


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda one: one.name)
def test_the_fault_stands_where_the_fixture_says(fixture: fixture_fixes.Fixture) -> None:
    folder = fixture_fixes.AGENTS / fixture.name
    told = json.loads((folder / "fixture.json").read_text(encoding="utf-8"))

    line = (
        (folder / "repo" / fixture.file).read_text(encoding="utf-8").splitlines()[fixture.line - 1]
    )

    assert told["text"] in line


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda one: one.name)
def test_a_fixture_has_failing_and_held_out_inputs_with_checks(
    fixture: fixture_fixes.Fixture,
) -> None:
    assert fixture.of("failing")
    assert fixture.of("held_out")
    seen = [given.input for given in (*fixture.of("failing"), *fixture.of("passing"))]
    assert all(given.input not in seen for given in fixture.of("held_out"))
    assert all(parse(check) for given in fixture.inputs for check in given.checks)


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda one: one.name)
def test_the_package_holds_neither_name_nor_text_of_a_fixture(
    fixture: fixture_fixes.Fixture,
) -> None:
    package = package_text()
    folder = fixture_fixes.AGENTS / fixture.name
    files = [path for path in (folder / "repo").rglob("*") if path.is_file()]
    prompts = [path for path in files if path.suffix not in (".py", ".pyc")]
    lines = {
        line.strip()
        for path in prompts
        if path.name != "refinery.toml"
        for line in path.read_text(encoding="utf-8").splitlines()
        if len(line.strip()) >= LONG
    }
    asked = {
        text
        for given in fixture.inputs
        for text in (given.input.values() if isinstance(given.input, dict) else ())
        if isinstance(text, str) and len(text) >= LONG
    }

    assert fixture.name not in package
    assert [text for text in lines | asked if text in package] == []


def said(system: str, question: str, **params: object) -> str:
    messages = (Message("system", system), Message("user", question))
    known = Knowledge(
        memory=({"about": "tower tall", "says": "The tower is 90 metres tall."},),
        trusts_memory=True,
        labels={"red": "cherry", "green": "leaf", "blue": "sky"},
    )
    return answer(Asked(messages, (), params, known, 0)).text


FACTS = "[1] The tower is 72 metres tall since 2020-01-01.\n"


def test_the_model_trusts_its_memory_unless_the_prompt_tells_it_to_read() -> None:
    assert "90" in said(FACTS, "How tall is the tower?")
    assert "72" in said(f"{FACTS}Use only the documents.", "How tall is the tower?")


def test_the_model_is_steady_when_it_is_cold_and_varies_when_it_is_warm() -> None:
    order = "Classify the text as one of: red, green, blue. Answer with one word."
    asked = [f"a leaf, number {n}" for n in range(40)]

    cold = [said(order, text, temperature=0) for text in asked]
    warm = [said(order, text, temperature=1.0) for text in asked]

    assert set(cold) == {"green"}
    assert len(set(warm)) > 1
    assert warm == [said(order, text, temperature=1.0) for text in asked]
