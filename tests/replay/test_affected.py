"""Which recorded runs a patch can change."""

from pathlib import Path

import pytest

from benchmarks.affected import APP, TOOL_FILE
from refinery.codebase.scan import SourceTree
from refinery.model.patch import FileChange
from refinery.model.trace import Run, RunKind, Trace
from refinery.replay.affected import Touch, choose, touch

PROMPT = "You are the clerk of a shop.\nName the price in euros."
FILES = {
    "app.py": APP,
    "tools.py": TOOL_FILE,
    "prompts/clerk.md": PROMPT,
    "helpers.py": (
        "LIMIT = 3\n\n\ndef rounded(value):\n    return value[:LIMIT]\n"
        "\n\ndef shown(value):\n    return rounded(value)\n"
    ),
    "graph.py": 'def search(state):\n    return state\n\n\ngraph.add_node("find", search)\n',
}


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return SourceTree(tmp_path)


def recorded(number: int, *names: str, prompt: str = "") -> Trace:
    root = Run(f"t{number}", f"t{number}", "answer", RunKind.CHAIN)
    runs = [Run(f"r{number}-{name}", f"t{number}", name, RunKind.TOOL) for name in names]
    llm = Run(f"l{number}", f"t{number}", "ask", RunKind.LLM, inputs={"messages": [prompt]})
    return Trace(f"t{number}", (root, *runs, llm))


POOL = [
    recorded(0, "price"),
    recorded(1, "stock", prompt="You are the clerk of a shop.  Name the price in euros. Hi"),
    recorded(2, "find"),
    recorded(3, "shown"),
]


def change(path: str, old: str, new: str) -> FileChange:
    before = FILES[path]
    assert old in before
    return FileChange(path, before.encode(), before.replace(old, new, 1).encode())


def reached(tree: SourceTree, *changes: FileChange) -> list[str]:
    found = touch(tree, changes, POOL)
    return [trace.trace_id for trace in POOL if found.reaches(trace)]


def test_a_tool_touches_the_runs_that_used_it(tree: SourceTree) -> None:
    assert reached(tree, change("tools.py", "return found", "return found.upper()")) == ["t0"]


def test_comments_and_layout_touch_nothing(tree: SourceTree) -> None:
    assert (
        reached(tree, change("tools.py", "    return found", "    # told\n    return found")) == []
    )


def test_a_constant_touches_the_tools_that_read_it(tree: SourceTree) -> None:
    assert reached(tree, change("tools.py", '"29 EUR"', '"30 EUR"')) == ["t0"]


def test_a_node_is_found_by_the_name_it_is_registered_under(tree: SourceTree) -> None:
    assert reached(tree, change("graph.py", "return state", "return None")) == ["t2"]


def test_a_function_nobody_recorded_is_followed_to_its_caller(tree: SourceTree) -> None:
    assert reached(tree, change("helpers.py", "value[:LIMIT]", "value")) == ["t3"]
    assert reached(tree, change("helpers.py", "LIMIT = 3", "LIMIT = 4")) == ["t3"]


def test_a_prompt_touches_the_runs_that_sent_it(tree: SourceTree) -> None:
    assert reached(tree, change("prompts/clerk.md", "in euros", "in dollars")) == ["t1"]


@pytest.mark.parametrize("after", [b"def (", None])
def test_what_cannot_be_followed_touches_everything(tree: SourceTree, after: bytes | None) -> None:
    broken = FileChange("app.py", APP.encode(), after or b"raise SystemExit\n" + APP.encode())
    first = FileChange("app.py", b"print(1)\n" + APP.encode(), APP.encode())

    assert reached(tree, broken if after else first) == ["t0", "t1", "t2", "t3"]


def test_a_choice_holds_affected_ones_and_a_seeded_control() -> None:
    pool = [recorded(n, "price" if n % 10 == 0 else "stock") for n in range(100)]
    told = Touch(frozenset({"price"}))

    chosen = choose(told, pool, most=6, controls=4, seed=1)
    again = choose(told, pool, most=6, controls=4, seed=1)
    other = choose(told, pool, most=6, controls=4, seed=2)

    assert chosen == again != other
    assert len(chosen.affected) == 6
    assert chosen.left_out == 4
    assert all(int(i[1:]) % 10 == 0 for i in chosen.affected)
    assert len(chosen.control) == 4
    assert not set(chosen.control) & set(chosen.affected)
