"""Where a program sets a value, wherever programs keep such values."""

from pathlib import Path

import pytest

from refinery.codebase.causes import settings_behind
from refinery.codebase.parameters import find_settings, find_slices
from refinery.codebase.scan import SourceTree


def tree(folder: Path, **files: str) -> SourceTree:
    for name, text in files.items():
        stem, _, kind = name.rpartition("_")
        (folder / f"{stem}.{kind}").write_text(text, encoding="utf-8")
    return SourceTree(folder)


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("app_py", "ask(max_tokens=40)\n", "argument"),
        ("app_py", "MAX_TOKENS = 40\n", "constant"),
        ("app_py", "class A:\n    max_tokens: int = 40\n", "field"),
        ("app_py", "def ask(text, max_tokens=40): ...\n", "default"),
        ("app_py", "def ask(text, *, max_tokens=40): ...\n", "default"),
        ("app_py", 'P = {"max_tokens": 40}\n', "item"),
        ("app_py", "ROOM = 40\nask(max_tokens=ROOM)\n", "constant"),
        ("app_py", 'import os\nask(max_tokens=SET["room"])\nSET = {"room": 40}\n', "item"),
        ("conf_yaml", "model:\n  max_tokens: 40 # short\n", "key"),
        ("conf_json", '{"model": {"max_tokens": 40}}', "key"),
        ("conf_toml", "[model]\nmax_tokens = 40\n", "key"),
    ],
)
def test_a_value_is_found_where_it_is_set(tmp_path: Path, name: str, text: str, form: str) -> None:
    found = find_settings(tree(tmp_path, **{name: text}), ("max_tokens",))

    assert [(one.form, one.value) for one in found] == [(form, 40)]
    assert "40" in text.split("\n")[found[0].line - 1]


def test_a_recorded_value_tells_which_of_several_is_meant(tmp_path: Path) -> None:
    both = tree(tmp_path, a_py="ask(max_tokens=10)\n", b_py="ask(max_tokens=40)\n")

    assert [one.path for one in find_settings(both, ("max_tokens",), 40)] == ["b.py"]


def test_names_of_one_letter_must_be_equal(tmp_path: Path) -> None:
    text = "search(k=3, top_k=4, key_k=5, kind=6)\n"

    found = find_settings(tree(tmp_path, app_py=text), ("k",))

    assert [one.value for one in found] == [3]


def test_a_cut_leads_to_the_field_that_bounds_it(tmp_path: Path) -> None:
    text = (
        "class Files:\n    most: int = 2\n    def find(self):\n        return hits[: self.most]\n"
    )

    found = find_slices(tree(tmp_path, app_py=text), "app.py", (1, 4), last=False)

    assert [(one.line, one.value) for one in found] == [(2, 2)]


def test_a_cut_at_the_end_is_a_window_and_one_at_the_start_is_not(tmp_path: Path) -> None:
    both = tree(tmp_path, app_py="kept = turns[-4:]\nfirst = hits[:3]\n")

    assert [one.value for one in find_slices(both, "app.py", (1, 2), last=True)] == [4]
    assert [one.value for one in find_slices(both, "app.py", (1, 2), last=False)] == [3]


def test_a_text_lost_in_the_conversation_points_to_the_window(tmp_path: Path) -> None:
    files = tree(tmp_path, app_py="kept = turns[-SET:]\nSET = 3\n")

    found = settings_behind(files, "expectation_missed", {"lost": "in the conversation"})

    assert [(one.line, one.value) for one in found] == [(2, 3)]


def test_broken_files_are_passed_over(tmp_path: Path) -> None:
    files = {"a_py": "max_tokens = (", "b_yaml": "max_tokens: [", "c_json": '{"max_tokens": '}

    assert find_settings(tree(tmp_path, **files), ("max_tokens",)) == []
