"""Content told by events fills what a run does not say itself, and never replaces it."""

from dataclasses import replace

from refinery.model.logged import with_logged_content, without_logged_content
from refinery.model.merge import merge
from refinery.model.trace import Json, Run


def event(name: str, body: Json, time_ns: int = 1) -> Json:
    return {"name": name, "body": body, "time_ns": time_ns}


ASKED = event("gen_ai.user.message", {"content": "Hi"})
ANSWERED = event("gen_ai.choice", {"index": 0, "message": {"content": "Ho"}}, 2)


def test_events_become_inputs_and_outputs() -> None:
    run = with_logged_content(Run("r", "t", events=[ANSWERED, ASKED]))

    assert run.inputs == {"messages": [{"role": "user", "content": "Hi"}]}
    assert run.outputs == {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ho"}}]
    }
    assert run.metadata == {"refinery": {"from_events": ["inputs", "outputs"]}}


def test_content_of_the_run_itself_stays() -> None:
    run = with_logged_content(Run("r", "t", inputs="mine", events=[ASKED, ANSWERED]))

    assert run.inputs == "mine"
    assert run.metadata == {"refinery": {"from_events": ["outputs"]}}


def test_content_of_the_run_itself_wins_whenever_it_comes() -> None:
    logs = with_logged_content(Run("r", "t", events=[ASKED, ANSWERED]))
    span = Run("r", "t", end_ns=5, inputs="mine")

    for run in (merge(logs, span), merge(span, logs)):
        assert run.inputs == "mine"
        assert run.outputs["choices"][0]["message"]["content"] == "Ho"


def test_later_events_are_added() -> None:
    early = with_logged_content(Run("r", "t", events=[ASKED]))
    late = with_logged_content(
        Run("r", "t", events=[event("gen_ai.user.message", {"content": "?"}, 3)])
    )

    run = merge(late, early)

    assert [message["content"] for message in run.inputs["messages"]] == ["Hi", "?"]
    assert merge(run, early) == run


def test_taking_the_content_away_gives_the_run_before() -> None:
    plain = Run("r", "t", metadata={"a": 1, "refinery": {"is_patch": True}}, events=[ASKED])

    assert without_logged_content(with_logged_content(plain)) == plain


def test_runs_without_such_events_are_left_alone() -> None:
    run = Run("r", "t", events=[{"name": "new_token", "time": "now"}, "odd", None])

    assert with_logged_content(run) is run
    assert without_logged_content(run) is run


def test_older_events_keep_content_in_attributes() -> None:
    told = [
        {"name": "gen_ai.content.prompt", "attributes": {"gen_ai.prompt": [{"role": "user"}]}},
        {"name": "gen_ai.content.completion", "attributes": {"gen_ai.completion": "Ho"}},
    ]

    run = with_logged_content(Run("r", "t", events=told))

    assert (run.inputs, run.outputs) == ({"messages": [{"role": "user"}]}, "Ho")


def test_odd_events_are_survived() -> None:
    odd: list[Json] = [
        {"name": "gen_ai.user.message"},
        {"name": "gen_ai.choice", "body": "text"},
        {"name": "gen_ai.choice", "body": {"message": 3}, "time_ns": "x"},
        {"name": "gen_ai.tool.message", "attributes": 7},
        {"name": ["gen_ai."]},
    ]

    run = with_logged_content(Run("r", "t", events=odd))

    assert run.outputs is not None
    assert with_logged_content(replace(run)) == run
