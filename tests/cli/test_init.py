import tomllib
from pathlib import Path

import pytest

from refinery import settings
from refinery.errors import ExitCode
from tests.cli.calling import call
from tests.kits.repositories import make_repository

GRAPH = """\
from langgraph.graph import StateGraph
from langchain_openai import ChatOpenAI


def build():
    graph = StateGraph(dict)
    return graph.compile()


agent = build()


def answer(request):
    return agent.invoke(request)
"""
CREATED = """\
from langchain.agents import create_agent

helper = create_agent("anthropic:claude", [])
"""
PLAIN = """\
import re

from anthropic import Anthropic

PATTERN = re.compile("x")


def run(question, *, verbose=False):
    return Anthropic().messages.create(question)


def main():
    run("hello")
"""


@pytest.mark.parametrize(
    ("source", "framework", "entrypoints"),
    [
        (GRAPH, "langgraph", ["app:answer", "app:agent"]),
        (CREATED, "langchain", ["app:helper"]),
        (PLAIN, "anthropic", ["app:run"]),
        ("print('hello')\n", "other", []),
        ("def broken(:\n", "other", []),
    ],
    ids=["compiled graph", "create_agent", "plain functions", "nothing", "broken file"],
)
def test_framework_and_entry_points_are_found_without_running_anything(
    isolated: Path, source: str, framework: str, entrypoints: list[str]
) -> None:
    repository = make_repository(isolated / "repo", {"app.py": source})

    called = call("init", "--repo", str(repository), "--dry-run", "--json")

    assert called.code == ExitCode.DONE
    assert called.json["framework"] == framework
    assert [c["entrypoint"] for c in called.json["candidates"]] == entrypoints
    assert called.json["created"] == []
    assert not (repository / "refinery.toml").exists()
    assert not (repository / ".refinery").exists()


def test_the_written_file_is_read_back_by_the_settings(isolated: Path) -> None:
    files = {"app.py": GRAPH, "tests/test_app.py": "def test(): pass\n"}
    repository = make_repository(isolated / "repo", files)

    called = call("init", "--repo", str(repository), "--yes")

    agent = settings.load(repository).values.agent
    assert called.code == ExitCode.DONE
    assert agent.entrypoint == "app:answer"
    assert agent.env == ["OPENAI_BASE_URL", "OPENAI_API_KEY"]
    assert agent.test_command == "python -m pytest -q tests"
    assert (repository / ".refinery" / ".gitignore").is_file()


def test_an_entry_point_can_be_named(isolated: Path) -> None:
    repository = make_repository(isolated / "repo", {"app.py": GRAPH})

    call("init", "--repo", str(repository), "--entrypoint", "other:main", "--yes")

    written = tomllib.loads((repository / "refinery.toml").read_text(encoding="utf-8"))
    assert written["agent"]["entrypoint"] == "other:main"


def test_an_existing_file_is_never_overwritten(isolated: Path) -> None:
    repository = make_repository(isolated / "repo", {"app.py": GRAPH, "refinery.toml": "# mine\n"})

    called = call("init", "--repo", str(repository), "--yes")

    assert called.code == ExitCode.USAGE
    assert "exists already" in called.stderr
    assert (repository / "refinery.toml").read_text(encoding="utf-8") == "# mine\n"


def test_without_a_terminal_nothing_is_written_unless_yes_is_said(isolated: Path) -> None:
    repository = make_repository(isolated / "repo", {"app.py": GRAPH})

    called = call("init", "--repo", str(repository))

    assert called.code == ExitCode.REFUSED
    assert not (repository / "refinery.toml").exists()


def test_tests_and_vendored_code_are_not_looked_at(isolated: Path) -> None:
    files = {
        name: GRAPH
        for name in (
            "tests/app.py",
            "env/pyvenv.cfg",
            "env/app.py",
            "node_modules/a.py",
            ".hidden/a.py",
        )
    }
    repository = make_repository(isolated / "repo", files)

    called = call("init", "--repo", str(repository), "--dry-run", "--json")

    assert called.json["candidates"] == []
    assert "# entrypoint" in called.json["text"]


def test_a_missing_folder_is_a_usage_error(isolated: Path) -> None:
    assert call("init", "--repo", str(isolated / "nowhere")).code == ExitCode.USAGE
