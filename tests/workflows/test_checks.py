"""Checks made of words, held against recorded runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.trace import Label, Trace
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import checks, traces
from refinery.workflows.checks import REFUSED, STRONG, WEAK, Expected
from refinery.workflows.wiring import Workspace, open_workspace
from tests.agents.samples import in_the_vendors_form
from tests.agents.test_judge import parts
from tests.cli.calling import call
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import make_repository
from tests.kits.traces import run, trace

PRICE, HOURS = "What does it cost?", "When are you open?"
Keep = Callable[..., Trace]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    root = make_repository(tmp_path / "shop", {"a.py": "x = 1\n"})
    monkeypatch.chdir(root)
    return open_workspace(root)


@pytest.fixture
def keep(workspace: Workspace) -> Keep:
    def keep(name: str, question: str, answer: str, label: Label | None = None) -> Trace:
        root = run(name, "chain", name="shop", inputs={"q": question}, outputs={"answer": answer})
        kept = trace(root)
        workspace.store.write_runs(kept.runs)
        if label:
            traces.label(workspace, kept.trace_id, label)
        return kept

    return keep


@pytest.fixture
def bad(keep: Keep) -> Trace:
    keep("good-1", PRICE, "It costs 29 EUR a month.", Label("pass"))
    keep("good-2", HOURS, "We open at 9:00.", Label("pass", None, ("contains:9:00",)))
    return keep("bad", PRICE, "It costs 19 EUR a month, and that is it.")


def only(expected: Expected) -> tuple[str, str, str]:
    (made,) = expected.made
    return made.check, made.strength, "; ".join(made.reasons)


def test_a_check_that_tells_bad_from_good_and_dies_when_negated_is_trusted(
    workspace: Workspace, bad: Trace
) -> None:
    expected = checks.make(workspace, bad, 'must mention "29 EUR"')

    assert only(expected) == ("contains:29 EUR", STRONG, "")
    (made,) = expected.made
    said = {t.trace_id: (t.is_good, t.binds, t.held, t.opposite_held) for t in made.tests}
    assert said["bad"] == (False, True, False, True)
    assert said["good-1"] == (True, True, True, False)
    assert said["good-2"] == (True, False, False, True)


@pytest.mark.parametrize(
    ("words", "check", "reason"),
    [
        ('must mention "EUR"', "contains:EUR", "the bad run already satisfies it"),
        ('must mention "39 EUR"', "contains:39 EUR", "the good run good-1 does not satisfy it"),
        ("must answer in German", "language:de", "does not satisfy it"),
    ],
)
def test_a_check_that_does_not_tell_them_apart_is_refused_with_the_reason(
    workspace: Workspace, bad: Trace, words: str, check: str, reason: str
) -> None:
    found, strength, why = only(checks.make(workspace, bad, words))

    assert (found, strength) == (check, REFUSED)
    assert reason in why


def test_without_a_good_run_of_the_same_input_a_check_is_weak(
    workspace: Workspace, keep: Keep
) -> None:
    keep("good", HOURS, "We open at 9:00.", Label("pass", None, ("contains:9:00",)))
    lonely = keep("bad", PRICE, "It costs 19 EUR.")

    found = only(checks.make(workspace, lonely, 'must mention "29 EUR"'))

    assert found[:2] == ("contains:29 EUR", WEAK)
    assert "no good run of the same input" in found[2]


def test_without_a_model_words_of_no_known_form_are_said_to_give_no_check(
    workspace: Workspace, bad: Trace
) -> None:
    expected = checks.make(workspace, bad, "must be polite")

    assert expected.accepted == ()
    assert expected.told() == ["no check could be made of: must be polite"]
    with pytest.raises(InputError, match="no check"):
        checks.keep(workspace, expected)
    with pytest.raises(InputError, match="empty"):
        checks.make(workspace, bad, " ")


def test_kept_checks_stand_in_the_label_with_all_their_verdicts(
    workspace: Workspace, bad: Trace
) -> None:
    checks.keep(workspace, checks.make(workspace, bad, 'must mention "29 EUR"'))

    label = traces.label_of(workspace, "bad")
    (feedback,) = workspace.store.get_feedback("bad")
    assert label == Label("fail", 'must mention "29 EUR"', ("contains:29 EUR",))
    assert len(feedback.value["evidence"]["made"][0]["tests"]) == 3


def test_the_commands_add_try_and_list(workspace: Workspace, bad: Trace) -> None:
    workspace.store.close()

    added = call("checks", "add", "bad", "--expect", 'must mention "29 EUR"', "--json")
    refused = call("checks", "add", "bad", "--expect", "must be polite")
    tried = call("checks", "try", "bad", "--check", "not_contains:19 EUR", "--json")
    listed = call("checks", "list", "--json")

    assert added.code == 0 and added.json["kept"] is True
    assert refused.code == 1 and "no check could be made of: must be polite" in refused.stdout
    assert tried.code == 0 and tried.json["tells"] is True
    assert ["contains:29 EUR"] in [label["checks"] for label in listed.json["labels"]]
    assert call("checks", "try", "bad").code == 2


def model(polite: str) -> Callable[[ModelRequest], ModelReply]:
    """Writes no deterministic check; as a judge it looks for a polite word in the recording."""

    def answer(request: ModelRequest) -> ModelReply:
        system = next(m.text for m in request.messages if m.role == "system")
        if "deterministic check" in system:
            return in_the_vendors_form(request, {"kind": "none"})
        statement, recording = parts(request)
        said = recording.partition("answered: ")[2]
        negations = statement.count("It is not the case") + statement.count("must not be so")
        is_true = (polite in said) is (negations % 2 == 0)
        quote = polite if polite in said else said[:12]
        return in_the_vendors_form(
            request, {"answer": "yes" if is_true else "no", "quote": quote, "reason": "x"}
        )

    return answer


@pytest.mark.slow
def test_a_judge_is_the_last_resort_and_weak_until_measured(
    workspace: Workspace, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("good", PRICE, "Please note that it costs 29 EUR.", Label("pass"))
    rude = keep("rude", PRICE, "29. Take it or leave it.")
    with ModelServer(model("Please")) as server:
        monkeypatch.setenv("REFINERY_MODEL_BASE_URL", server.url + "/v1")
        workspace.store.close()
        connected = open_workspace(Path.cwd())
        few = checks.make(connected, rude, "must be polite", "openai:gpt-4o-mini")
        for number in range(12):
            keep_more(connected, f"g{number}", "Please see: 29 EUR.", Label("pass"))
        many = checks.make(connected, rude, "must be polite", "openai:gpt-4o-mini")

    assert only(few)[:2] == ("judge:must be polite", WEAK)
    assert "fewer than 10 labels" in only(few)[2]
    assert only(many)[:2] == ("judge:must be polite", STRONG)
    assert many.made[0].agreement is not None
    assert many.made[0].agreement.kappa == pytest.approx(1.0)


def keep_more(workspace: Workspace, name: str, answer: str, label: Label) -> None:
    root = run(name, "chain", name="shop", inputs={"q": PRICE}, outputs={"answer": answer})
    workspace.store.write_runs([root])
    traces.label(workspace, name, label)


@pytest.mark.slow
def test_a_judge_that_says_yes_to_everything_is_refused(
    workspace: Workspace, bad: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def yes(request: ModelRequest) -> ModelReply:
        system = next(m.text for m in request.messages if m.role == "system")
        if "deterministic check" in system:
            return in_the_vendors_form(request, {"kind": "contains", "value": "It costs"})
        return in_the_vendors_form(request, {"answer": "yes", "quote": "costs", "reason": ""})

    with ModelServer(yes) as server:
        monkeypatch.setenv("REFINERY_MODEL_BASE_URL", server.url + "/v1")
        workspace.store.close()
        connected = open_workspace(Path.cwd())
        expected = checks.make(connected, bad, "must be polite", "openai:gpt-4o-mini")

    assert expected.accepted == ()
    assert [made.origin for made in expected.made] == ["model", "judge"]
    assert "the bad run already satisfies it" in expected.made[0].reasons[0]
