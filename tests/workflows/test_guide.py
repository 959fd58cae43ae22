"""The expert's session as a state machine, driven without a terminal."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.trace import Label, Trace
from refinery.ports import TraceFilter
from refinery.workflows import check_book, traces
from refinery.workflows.guide import engine, script, session
from refinery.workflows.guide.engine import Guide
from refinery.workflows.guide.pages import Kind
from refinery.workflows.wiring import Workspace, open_workspace
from tests.kits.repositories import make_repository
from tests.kits.traces import run, trace

PRICE, HOURS = "What does the red lamp cost?", "When are you open?"
Keep = Callable[..., Trace]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    root = make_repository(tmp_path / "shop", {"a.py": "x = 1\n"})
    monkeypatch.chdir(root)
    return open_workspace(root)


@pytest.fixture
def keep(workspace: Workspace) -> Keep:
    def keep(
        name: str, question: str, answer: str, label: Label | None = None, **more: object
    ) -> Trace:
        given, gives = {"question": question}, {"answer": answer}
        kept = trace(run(name, "chain", name="shop", inputs=given, outputs=gives, **more))
        workspace.store.write_runs(kept.runs)
        if label:
            traces.label(workspace, kept.trace_id, label)
        return kept

    return keep


@pytest.fixture
def bad(keep: Keep) -> Trace:
    return keep("bad", PRICE, "It costs 19 euros.")


def at(guide: Guide, *answers: str) -> Guide:
    for answer in answers:
        guide.answer(answer)
    return guide


def said_right(workspace: Workspace, bad: Trace, words: str, wrong: str = "1") -> Guide:
    return at(engine.start(workspace, trace=bad), "last", wrong, words)


def test_a_conversation_is_found_by_what_was_said_by_whom_and_when(
    workspace: Workspace, keep: Keep
) -> None:
    keep("lamp", PRICE, "19 euros", user_id="Anna")
    keep("hours", HOURS, "At nine.", user_id="Ben")
    guide = engine.start(workspace)

    found = {}
    for words in ("red lamp", "conversation of Ben", "28.5.2026", "2026-05-29", "zebra"):
        guide.answer(words)
        guide.page()
        found[words] = guide.session.listed

    assert found["red lamp"] == ["lamp"]
    assert found["conversation of Ben"] == ["hours"]
    assert sorted(found["28.5.2026"]) == ["hours", "lamp"]
    assert found["2026-05-29"] == found["zebra"] == []


def test_a_conversation_reads_as_people_speak(workspace: Workspace) -> None:
    kept = trace(
        run("t", "agent", inputs={"question": "Where is order A-1?"}, outputs={"answer": "Here."}),
        run("t/1", "tool", "t", name="look_up_order", inputs={"order_id": "A-1"},
            outputs={"output": {"content": "It is on its way.", "type": "tool"}}),
        run("t/2", "tool", "t", name="cancel_order", inputs={"order_id": "A-1"}, failed="boom"),
    )  # fmt: skip
    workspace.store.write_runs(kept.runs)

    lines = engine.start(workspace, trace=kept).page().lines

    assert [(line.who, line.text) for line in lines] == [
        ("Customer", "Where is order A-1?"),
        ("looked up", "look up order (A-1): It is on its way."),
        ("did", "cancel order (A-1): this did not work"),
        ("Agent", "Here."),
    ]


@pytest.mark.parametrize(
    ("problem", "words", "check"),
    [
        ("1", "it must say 29 euros", "contains:29 euros"),
        ("It says something that is not true", "The red lamp costs 29", "contains:29"),
        ("2", "the opening hours", "contains:opening hours"),
        ("3", "euros", "not_contains:euros"),
        ("4", "in german please", "language:de"),
        ("4", "at most 3 words", "max_words:3"),
        ("the price is made up", "it should be 29 euros", "contains:29 euros"),
    ],
)
def test_plain_words_become_a_check_that_is_read_back(
    workspace: Workspace, bad: Trace, problem: str, words: str, check: str
) -> None:
    guide = said_right(workspace, bad, words, problem)

    page = guide.page()

    assert page.step == "confirm", guide.remark
    assert check in guide.session.readings[0]["checks"]
    assert "the answer must" in page.said[0]


def test_an_expectation_the_bad_answer_meets_already_is_asked_again(
    workspace: Workspace, bad: Trace
) -> None:
    guide = said_right(workspace, bad, 'it must say "19 euros"')

    assert guide.session.step == "right"
    assert "already so here: the answer must say “19 euros”" in guide.remark


def test_words_that_contradict_each_other_are_asked_again(
    workspace: Workspace, bad: Trace
) -> None:
    guide = said_right(workspace, bad, 'it must say "29 euros" and must not say "29 euros"')

    assert guide.session.step == "right"
    assert "These two cannot both be" in guide.remark


def test_words_that_contradict_what_was_said_before_are_asked_again(
    workspace: Workspace, keep: Keep, bad: Trace
) -> None:
    at(said_right(workspace, bad, 'it must not say "euros"', "3"), "yes", "always")
    other = keep("other", HOURS, "We are open.")

    guide = at(said_right(workspace, other, 'it must say "euros"', "2"), "yes", "1")

    assert guide.session.step == "right"
    assert "Earlier it was said" in guide.remark


def test_a_good_conversation_that_would_be_wrong_is_shown_before_anything_is_kept(
    workspace: Workspace, keep: Keep, bad: Trace
) -> None:
    keep("good", HOURS, "We open at nine.", Label("pass"))

    guide = at(said_right(workspace, bad, "it must say 29 euros"), "yes", "always")

    assert guide.session.step == "clash"
    assert "We open at nine." in guide.page().quotes[0]
    assert check_book.entries(workspace.home) == []
    guide.answer("2")
    assert [entry.scope for entry in check_book.entries(workspace.home)] == ["question"]


def test_words_that_hold_only_for_some_customers_are_kept_with_their_condition(
    workspace: Workspace, keep: Keep, bad: Trace
) -> None:
    keep("alike", "Is the red lamp dear?", "It costs 19 euros.")
    keep("apart", HOURS, "We open at nine.")

    guide = at(said_right(workspace, bad, "29 euros"), "yes", "only for blue lamps")
    assert "does not mention “blue lamps”" in guide.remark
    at(guide, "red lamp")

    (entry,) = check_book.entries(workspace.home)
    assert (entry.scope, entry.condition) == ("words", "red lamp")
    assert guide.session.step == "similar"
    assert guide.session.similar == ["alike"]


def test_what_was_said_is_kept_as_a_label_and_as_a_check(workspace: Workspace, bad: Trace) -> None:
    at(said_right(workspace, bad, "it must say 29 euros"), "yes", "1")

    label = traces.label_of(workspace, "bad")
    assert label == Label("fail", "it must say 29 euros", ("contains:29 euros",))
    (entry,) = check_book.entries(workspace.home)
    assert (entry.checks, entry.scope) == (("contains:29 euros",), "question")


def test_a_conversation_that_cannot_be_played_again_is_handed_over_with_everything(
    workspace: Workspace, bad: Trace
) -> None:
    guide = at(said_right(workspace, bad, "it must say 29 euros"), "yes", "1")

    guide.work(lambda _: None)
    assert guide.session.step == "stuck"
    guide.answer("engineer")
    guide.work(lambda _: None)

    assert guide.page().kind is Kind.END
    folder = Path(guide.session.handover or "")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "- right: it must say 29 euros" in text
    assert "contains:29 euros" in text
    assert json.loads((folder / "conversation.json").read_text())["trace_id"] == "bad"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("answer", ["", "99", "-1", "\x00\x1b[2J", "🦆" * 2_000, "\udc80", "back"])
def test_nonsense_never_ends_a_session(workspace: Workspace, bad: Trace, answer: str) -> None:
    for steps in ([], ["last"], ["last", "1"], ["last", "1", "29 euros"]):
        guide = at(engine.start(workspace, trace=bad), *steps)

        guide.answer(answer)

        assert guide.page().kind is Kind.ASK
        kept = session.load(workspace.home, guide.session.session_id)
        assert kept.step == guide.session.step


def test_a_session_goes_on_in_another_process_after_every_answer(
    workspace: Workspace, bad: Trace
) -> None:
    guide = engine.start(workspace)
    for answer in ("red lamp", "1", "last", "1", "it must say 29 euros", "yes", "1"):
        kept = session.unfinished(workspace.home) or guide.session
        guide = engine.resume(workspace, session.load(workspace.home, kept.session_id))
        guide.page()
        guide.answer(answer)

    assert guide.session.step == "look"
    assert check_book.entries(workspace.home)[0].checks == ("contains:29 euros",)


def test_a_session_is_readable_by_its_user_alone(workspace: Workspace, bad: Trace) -> None:
    guide = at(engine.start(workspace, trace=bad), "last")

    path = workspace.home / session.FOLDER / f"{guide.session.session_id}.json"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_session_file_that_was_damaged_is_passed_over(workspace: Workspace, bad: Trace) -> None:
    guide = at(engine.start(workspace, trace=bad), "last")
    folder = workspace.home / session.FOLDER
    (folder / "guide-00000000.json").write_text("{", encoding="utf-8")
    (folder / "guide-00000001.json").write_text('{"session_id": 1}', encoding="utf-8")

    assert session.unfinished(workspace.home) == guide.session


def test_every_word_on_the_screen_is_explained_and_unknown_ones_are_met_kindly(
    workspace: Workspace,
) -> None:
    guide = engine.start(workspace)

    assert "played again" in guide.explain("proof")
    assert "recording of one conversation" in guide.explain(" traces?")
    assert "no explanation for “frobnicate”" in guide.explain("frobnicate")
    assert "conversation" in guide.explain("")


def test_a_script_that_names_no_step_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text("rihgt: 29 euros\n", encoding="utf-8")

    with pytest.raises(InputError, match="unknown step 'rihgt'") as refused:
        script.read(path)
    assert "right" in refused.value.hint


def test_a_script_stops_where_an_answer_is_not_taken(workspace: Workspace, bad: Trace) -> None:
    guide = engine.start(workspace, trace=bad)

    with pytest.raises(InputError, match="already so here"):
        script.play(guide, {"wrong": ["1"], "right": ['it must say "19"']}, lambda _: None)


def test_a_session_labels_nothing_before_the_words_are_confirmed(
    workspace: Workspace, bad: Trace
) -> None:
    said_right(workspace, bad, "it must say 29 euros")

    assert workspace.store.list_traces(TraceFilter(label="fail")) == []
