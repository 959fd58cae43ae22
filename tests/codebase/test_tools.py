"""Where a tool is described to the model, and where its code hides its errors."""

from dataclasses import replace
from pathlib import Path

import pytest

from refinery.codebase.locate import attach, locate_template
from refinery.codebase.scan import SourceTree
from refinery.codebase.tools import is_blamed, locate_tool
from refinery.model.failure import Evidence, Finding, Likelihood, RootCause
from refinery.model.trace import Run, RunKind, Trace
from tests.kits.repositories import write_files

TOOLS = """SPEC = {
    "type": "function",
    "function": {
        "name": "find_room",
        "description": "Rooms that are free.",
        "parameters": {},
    },
}


def find_room(day):
    if len(day) != 10:
        return "error: the day must have ten characters"
    try:
        return ROOMS[day]
    except Exception:
        return ""


def find_desk(day):
    try:
        return DESKS[day]
    except KeyError:
        return "no desk is free"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_files(tmp_path / "repo", {"rooms.py": TOOLS, "prompt.yaml": "system: You let rooms.\n"})
    return tmp_path / "repo"


@pytest.mark.parametrize("result", ["", "nothing", "[]", None])
def test_a_handler_that_swallows_errors_is_blamed_for_a_blank_result(
    root: Path, result: str | None
) -> None:
    found = locate_tool(SourceTree(root), "find_room", result)

    assert [(one.kind, one.line_start) for one in found] == [("handler", 16), ("function", 11)]
    assert is_blamed(found)


def test_the_description_is_blamed_for_arguments_the_tool_refuses(root: Path) -> None:
    found = locate_tool(SourceTree(root), "find_room", "error: the day must have ten characters")

    assert [(one.kind, one.line_start) for one in found] == [("schema", 5), ("function", 11)]


def test_a_tool_that_says_what_is_wrong_is_not_blamed(root: Path) -> None:
    for result in ("", "no desk is free"):
        found = locate_tool(SourceTree(root), "find_desk", result)
        assert [one.kind for one in found] == ["function"]
        assert not is_blamed(found)


def test_an_unknown_tool_has_no_place(root: Path) -> None:
    assert locate_tool(SourceTree(root), "find_boat", "") == []
    assert not is_blamed([])


def test_a_finding_about_a_silent_tool_is_tied_to_its_code_though_no_run_of_it_exists(
    root: Path,
) -> None:
    messages = [{"role": "system", "content": "You let rooms."}]
    asked = Run("m", "m", "model", RunKind.LLM, inputs={"messages": messages})
    finding = Finding(
        finding_id="F1",
        category="empty_result_ignored",
        title="",
        explanation="",
        likelihood=Likelihood.LIKELY,
        confidence=0.7,
        cause_run_id="m",
        symptom_run_id="m",
        evidence=(Evidence("m", "rooms"),),
        root_cause=RootCause.MODEL,
        level="output",
        facts={"tool": "find_room", "result": ""},
    )

    (silent,) = attach([finding], Trace("m", (asked,)), root)
    (spoke,) = attach(
        [replace(finding, facts={"tool": "find_desk", "result": "no desk is free"})],
        Trace("m", (asked,)),
        root,
    )

    assert silent.source is not None and silent.source.kind == "handler"
    assert spoke.source is None or spoke.source.kind != "handler"
    assert "find_desk" in [place.node for place in (spoke.source, *spoke.related) if place]


def test_a_plain_yaml_value_of_one_line_is_a_template(root: Path) -> None:
    write_files(root, {"texts.yaml": "desk: You let rooms to guests of the Olsen house.\n"})
    said = [{"role": "system", "content": "You let rooms to guests of the Olsen house."}]
    asked = Run("m", "m", "model", RunKind.LLM, inputs={"messages": said})

    assert [(one.file, one.node) for one in locate_template(asked, root)] == [
        ("texts.yaml", "desk")
    ]
