"""A prompt inside a JSON file of one line is found by its place, and edited where it changes."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.agents.playbook._shared.advice import appended
from refinery.codebase import editor, keyed_json
from refinery.codebase.locate import locate_template
from refinery.codebase.repository import Repository
from refinery.codebase.splices import apply_splices
from refinery.model.failure import SourceLocation
from refinery.model.trace import Json, Run, RunKind
from tests.kits.repositories import make_repository, write_files

DESK = (
    "You are the desk of the Polar line.\nAnswer only from {documents} and say “no” when unsure."
)
SHOP = "You sell seeds. Recommend only what is in season, and name the price of each packet."


def rendered(text: str = DESK) -> Run:
    system = text.replace("{documents}", "[1] The train leaves at nine.")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "When?"}]
    return Run("m", "t", "ChatOpenAI", RunKind.LLM, inputs={"messages": messages})


def found(
    folder: Path, value: Json, run: Run | None = None, *, ascii_only: bool = True
) -> list[SourceLocation]:
    text = json.dumps(value, ensure_ascii=ascii_only)
    write_files(folder, {"prompts.json": text})
    return locate_template(run or rendered(), folder)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_place_tells_path_columns_and_text(tmp_path: Path, ascii_only: bool) -> None:
    value = {"shop": SHOP, "desks": [{"v1.2": {"text": DESK}}], "other": 3}

    (place,) = found(tmp_path, value, ascii_only=ascii_only)

    source = (tmp_path / "prompts.json").read_text(encoding="utf-8")
    assert (place.line_start, place.line_end, place.node) == (1, 1, "desks.0.v1.2.text")
    assert source[place.column_start - 1 : place.column_end] == place.text
    assert json.loads(place.text) == DESK


def test_two_prompts_of_one_line_are_two_places(tmp_path: Path) -> None:
    run = Run("m", "t", "m", RunKind.LLM, inputs={"messages": [
        {"role": "system", "content": SHOP}, {"role": "user", "content": DESK}]})  # fmt: skip

    places = found(tmp_path, {"a": SHOP, "b": DESK}, run)

    assert {place.node for place in places} == {"a", "b"}


def test_the_same_text_twice_is_told_as_doubtful(tmp_path: Path) -> None:
    places = found(tmp_path, {"a": DESK, "b": DESK})

    assert [place.node for place in places] == ["a", "b"]
    assert all(place.confidence < 0.7 for place in places)


def test_a_value_over_several_lines_has_columns_too(tmp_path: Path) -> None:
    write_files(tmp_path, {"prompts.json": json.dumps({"a": {"b": DESK}}, indent=2)})

    (place,) = locate_template(rendered(), tmp_path)

    line = (tmp_path / "prompts.json").read_text().split("\n")[place.line_start - 1]
    assert line[place.column_start - 1 : place.column_end] == json.dumps(DESK)


def test_a_sentence_is_added_and_every_other_byte_stays(tmp_path: Path) -> None:
    value = {"shop": SHOP, "desks": [{"v1.2": {"text": DESK}}], "other": 3}
    (place,) = found(tmp_path / "look", value)
    source = json.dumps(value)
    repository = Repository.open(make_repository(tmp_path / "repo", {"prompts.json": source}))

    edit = appended(place, source, "Name the day.")
    assert edit is not None
    patch = editor.plan(repository, (edit,))

    end = source.index('"}}]')
    after = source[:end] + "\\nName the day." + source[end:]
    assert patch.changes[0].after == after.encode()


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


def written(text: str, escaped: list[bool]) -> str:
    """A JSON text in which some characters stand as escapes that they do not need."""
    units = [
        json.dumps(c, ensure_ascii=is_escaped or not c.isprintable())[1:-1]
        if not (is_escaped and c.isalpha() and c.isascii())
        else f"\\u{ord(c):04x}"
        for c, is_escaped in zip(text, (escaped + [False] * len(text)), strict=False)
    ]
    return '"' + "".join(units) + '"'


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS, st.lists(st.booleans(), max_size=90))
def test_what_stays_of_a_text_keeps_its_bytes(
    head: str, old: str, new: str, tail: str, escaped: list[bool]
) -> None:
    source = f'{{"k":{written(head + old + tail, escaped)},"z":[1]}}'

    splices = keyed_json.splices(source, "a.json", ["k"], head + new + tail)

    after = apply_splices(source.encode(), splices).decode()
    assert json.loads(after) == {"k": head + new + tail, "z": [1]}
    before_head = len(written(head, escaped)) - 1
    assert after[: 5 + before_head] == source[: 5 + before_head]
    assert (
        sum(one.end_byte - one.start_byte for one in splices)
        <= len(written(old, escaped[len(head) :]).encode()) - 2
    )
