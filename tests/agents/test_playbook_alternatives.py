"""Second and third ways to mend a fault: each an edit that plans, parses and does what it says."""

from pathlib import Path

import pytest

from refinery.agents import playbook
from refinery.codebase import editor
from refinery.codebase.repository import Repository
from refinery.model.failure import Evidence, Finding, Likelihood, RootCause, SourceLocation
from refinery.model.patch import Hypothesis
from refinery.model.trace import Json, Run, RunKind, Trace
from tests.kits.repositories import make_repository

CHAT = '''from openai import OpenAI

SYSTEM = """Answer from these pages.

{pages}

Be brief."""
LABELS = ("a", "b")


def window(turns):
    return turns[-2:]


def ask(question):
    client = OpenAI(max_retries=0, timeout=30)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return client.chat.completions.create(model="m", max_tokens=20, messages=messages)


def label(text):
    return model(f"Label the text as one of {LABELS} by its tone.\\nText: {text}")


def sort_out(text):
    return model(f"Sort out what the text {text} is about.")


def rank(text):
    return model(f"Rank {text}")


def greet(**names):
    return SYSTEM.format(**names)


def hello(name):
    return greet(recipient=name)


def total(rows):
    found = []
    for row in rows:
        found.append(row["price"])
    return found


def price(item):
    return "It costs " + PRICES[item]
'''
PAGES = "Answer from the pages.\n\n{pages}\n"
MARKED = "Answer.\n<pages>\n{pages}\n</pages>\n"
DATA = "system: |\n  Answer from the pages.\n  {{ pages }}\n  Be kind.\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {"chat.py": CHAT, "pages.txt": PAGES, "marked.txt": MARKED, "texts.yaml": DATA}
    return make_repository(tmp_path_factory.mktemp("agent") / "repository", files)


def at(kind: str, text: str, node: str = "") -> SourceLocation:
    line = 1 + next(n for n, one in enumerate(CHAT.splitlines()) if text in one)
    return SourceLocation("chat.py", line, line, node, kind)


def template(file: str, lines: int, node: str = "") -> SourceLocation:
    return SourceLocation(file, 1, lines, node, "template")


def proposed(
    root: Path, category: str, *places: SourceLocation, **facts: Json
) -> dict[str, Hypothesis]:
    """Hypotheses by title."""
    asked: Json = {"choices": [{"message": {"role": "assistant", "tool_calls": [
        {"id": "1", "function": {"name": "price", "arguments": "{}"}}]}}]}  # fmt: skip
    trace = Trace("r", (Run("r", "r"), Run("m", "r", kind=RunKind.LLM, outputs=asked)))
    finding = Finding(
        *("F1", category, "t", "e", Likelihood.CERTAIN, 0.9, "m", "r", (Evidence("r", "x"),)),
        root_cause=RootCause.PROMPT,
        source=places[0] if places else None,
        related=places[1:],
        facts=facts,
    )
    return {one.title: one for one in playbook.propose([finding], trace, root)}


def added(root: Path, hypothesis: Hypothesis) -> list[str]:
    lines = editor.plan(Repository.open(root), hypothesis.edits).diff.splitlines()
    return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]


def only(found: dict[str, Hypothesis], words: str) -> Hypothesis:
    (title,) = [title for title in found if words in title]
    return found[title]


def test_a_cut_answer_gets_more_room_or_far_more_or_is_asked_to_be_short(root: Path) -> None:
    found = proposed(
        root, "truncated_output", at("function", "def ask"), value=20, parameter="max_tokens"
    )

    assert list(found)[:2] == [
        "Raise max_tokens from 20 to 256",
        "Raise max_tokens from 20 to 1024",
    ]
    short = only(found, "Tell the model to be short, beside the question")
    assert short.strategy == "context"
    assert '"content": question + "\\n\\nAnswer in two short sentences at most."}]' in "".join(
        added(root, short)
    )


def test_a_refused_call_is_tried_again_or_left_to_the_client(root: Path) -> None:
    found = proposed(root, "rate_limit", at("function", "def ask"), template("pages.txt", 3))

    default = only(found, "Leave the number of retries to the client")
    assert [one.strategy for one in found.values()][:3] == ["parameters", "code", "prompt"]
    assert added(root, default) == ["    client = OpenAI(timeout=30)"]


def test_a_cut_conversation_is_kept_longer_or_whole_or_with_its_beginning(root: Path) -> None:
    found = proposed(
        root, "expectation_missed", at("function", "def window"), lost="in the conversation"
    )

    assert [one.strategy for one in found.values()] == ["context", "code", "code"]
    whole, first = list(found.values())[1:]
    assert added(root, whole) == ["    return turns"]
    (line,) = added(root, first)
    turns = list(range(9))
    assert eval(line.strip().removeprefix("return "), {"turns": turns}) == [0, 7, 8]
    assert eval(line.strip().removeprefix("return "), {"turns": [1]}) == [1]


@pytest.mark.parametrize(
    ("place", "lines"),
    [
        (template("pages.txt", 3), ["<material>", "</material>"]),
        (template("texts.yaml", 3, "system"), ["  <material>", "  </material>"]),
        (SourceLocation("chat.py", 3, 7, "SYSTEM", "template"), ["<material>", "</material>"]),
    ],
)
def test_material_is_put_between_tags(root: Path, place: SourceLocation, lines: list[str]) -> None:
    found = proposed(root, "ungrounded_answer", place)

    assert added(root, only(found, "Mark where the material")) == lines


def test_material_that_stands_between_marks_is_left_alone(root: Path) -> None:
    found = proposed(root, "ungrounded_answer", template("marked.txt", 4))

    assert not [title for title in found if "Mark where" in title]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Label the text", "by its tone. State only facts"),
        ("Sort out what", "is about. State only facts"),
        ("Rank {text}", 'model(f"State only facts'),
    ],
)
def test_a_sentence_is_never_put_in_the_middle_of_a_filled_in_sentence(
    root: Path, text: str, written: str
) -> None:
    found = proposed(root, "ungrounded_answer", at("template", text))

    (line,) = added(root, only(found, "state only what its sources say"))
    assert written in line
    assert ("Text: {text}" in line) is ("Label" in text)


def test_a_placeholder_that_cannot_be_renamed_is_filled_in_or_written_out(root: Path) -> None:
    facts: dict[str, Json] = {"placeholder": "{recipent}", "variable": "recipent"}
    found = proposed(root, "unfilled_template", at("function", "def hello"), **facts)

    assert added(root, only(found, "Fill in recipent")) == [
        "    return greet(recipient=name, recipent=name)"
    ]
    place = template("pages.txt", 3)
    found = proposed(root, "unfilled_template", place, placeholder="{pages}", variable="pages")
    assert "pages" in added(root, only(found, "instead of the placeholder"))


def test_an_item_of_a_loop_that_lacks_something_is_passed_over(root: Path) -> None:
    place = at("frame", 'row["price"]')
    found = proposed(root, "exception", place, error_type="KeyError", message="'price'")

    over = only(found, "Pass over items")
    assert added(root, over) == ["        if 'price' not in row:", "            continue"]
    assert over.strategy == "control flow"


def test_a_tool_the_model_asked_for_returns_its_error_with_or_without_a_word_in_the_prompt(
    root: Path,
) -> None:
    place = at("frame", "PRICES[item]")
    found = proposed(
        *(root, "exception", place, template("pages.txt", 3)),
        error_type="KeyError", message="'x'",
    )  # fmt: skip

    assert [one.strategy for one in found.values()] == ["code", "control flow", "prompt"]
    both = list(found.values())[2]
    assert {edit.path for edit in both.edits} == {"chat.py", "pages.txt"}
    assert any("When a tool returns nothing" in line for line in added(root, both))


def test_the_form_is_asked_for_in_the_prompt_or_beside_the_question(root: Path) -> None:
    found = proposed(
        *(root, "expectation_missed", template("pages.txt", 3), at("function", "def ask")),
        lost="in form", check="max_words", wanted="12",
    )  # fmt: skip

    assert list(found) == [
        "Ask for the form that is wanted: answer in at most 12 words",
        "Ask for the form that is wanted: answer in one short sentence",
        "Ask for the form that is wanted: answer in at most 12 words, beside the question",
    ]


def test_two_ways_to_say_the_same_are_not_proposed_together(root: Path) -> None:
    found = proposed(root, "ungrounded_answer", template("pages.txt", 3), at("call", "create"))

    assert any("beside the question" in title for title in found)
    assert not [title for title in found if ";" in title]
