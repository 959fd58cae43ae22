"""A check that does not hold is followed to where the right answer was lost."""

from pathlib import Path

import pytest

from refinery.agents import playbook
from refinery.agents.missed import with_missed
from refinery.codebase.locate import attach
from refinery.detectors import diagnose
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace
from tests.kits.repositories import make_repository

PROMPT = "You answer questions about the weather in the valley."
APP = f'''SYSTEM = "{PROMPT}"


def search(query):
    hits = rank(query)
    return hits[:1]


def ask(turns):
    return model(SYSTEM, turns[-2:])
'''


def trace(*, question: str, found: Json, given: str, said: str, answer: Json) -> Trace:
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": given}]
    reply = {"choices": [{"message": {"role": "assistant", "content": said}}]}
    return Trace(
        "r",
        (
            Run("r", "r", name="answer", kind=RunKind.CHAIN, status=RunStatus.OK,
                inputs={"question": question}, outputs=answer),
            Run("s", "r", name="search", kind=RunKind.RETRIEVER, parent_id="r",
                inputs={"query": question}, outputs={"documents": found}, status=RunStatus.OK),
            Run("m", "r", name="model", kind=RunKind.LLM, parent_id="r", status=RunStatus.OK,
                inputs={"messages": messages}, outputs=reply, params={"temperature": 0}),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "lost", "cause"),
    [
        ({"said": "It is Odda."}, "after the model", "r"),
        ({"given": "Odda is windy. Where?"}, "in the answer", "m"),
        ({"found": [{"page_content": "Odda is windy."}]}, "before the model", "s"),
        ({"question": "I live in Odda. Where?"}, "in the conversation", "r"),
        ({}, "not retrieved", "s"),
    ],
)
def test_the_place_where_a_wanted_text_is_lost(
    given: dict[str, Json], lost: str, cause: str
) -> None:
    whole = {"question": "Where?", "found": [], "given": "Where?", "said": "No idea.", **given}
    failing = trace(answer={"answer": "No idea."}, **whole)

    found = with_missed(diagnose(failing), failing, ["contains@answer:Odda"])

    missed = next(one for one in found.findings if one.category == "expectation_missed")
    assert (missed.facts["lost"], missed.cause_run_id) == (lost, cause)
    assert [one.finding_id for one in found.findings] == [
        f"F{number}" for number in range(1, len(found.findings) + 1)
    ]


def test_a_wanted_number_is_not_found_inside_other_numbers_and_identifiers() -> None:
    given = "Since 2026 (request 20a1b2c3-1111-4222-8333-944445555620). Where?"
    failing = trace(question="Where?", found=[], given=given, said="No idea.", answer="No idea.")

    found = with_missed(diagnose(failing), failing, ["contains@answer:20"])

    assert [one.facts["lost"] for one in found.findings if "lost" in one.facts] == [
        "not retrieved"
    ]


def test_nothing_is_added_when_the_checks_hold() -> None:
    good = trace(question="Where?", found=[], given="?", said="Odda.", answer={"answer": "Odda"})
    found = diagnose(good)

    assert with_missed(found, good, ["contains@answer:Odda"]) == found
    assert with_missed(found, good, []) == found
    assert with_missed(found, good, ["nonsense"]) == found


def hypotheses(root: Path, failing: Trace, check: str) -> str:
    """What all hypotheses would write."""
    found = with_missed(diagnose(failing), failing, [check])
    placed = attach(found.findings, failing, root)
    proposed = playbook.propose(placed, failing, root)
    assert proposed
    return "\n".join(str(edit.arguments["new"]) for one in proposed for edit in one.edits)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", {"app.py": APP})


def test_what_was_never_found_asks_for_more_documents(root: Path) -> None:
    failing = trace(
        question="Where?", found=[], given="?", said="No idea.", answer={"answer": "No idea."}
    )

    assert "    return hits[:4]" in hypotheses(root, failing, "contains@answer:Odda")


def test_what_was_said_earlier_asks_for_a_longer_window(root: Path) -> None:
    failing = trace(
        question="I live in Odda.", found=[], given="?", said="No.", answer={"answer": "No."}
    )

    assert "    return model(SYSTEM, turns[-12:])" in hypotheses(
        root, failing, "contains@answer:Odda"
    )


def test_a_wanted_language_is_asked_for(root: Path) -> None:
    failing = trace(
        question="Wo ist das?",
        found=[],
        given="Wo ist das?",
        said="The place is in the valley and it is windy.",
        answer={"answer": "The place is in the valley and it is windy."},
    )

    proposed = hypotheses(root, failing, "language@answer:de")

    assert "Answer in the language of the question." in proposed


def test_a_wanted_text_is_written_into_no_file(root: Path) -> None:
    for given in ({"given": "Odda 4711"}, {"found": ["Odda 4711"]}, {}):
        whole = {"question": "Where?", "found": [], "given": "?", "said": "No.", **given}
        failing = trace(answer={"answer": "No."}, **whole)

        assert "4711" not in hypotheses(root, failing, "contains@answer:Odda 4711")
