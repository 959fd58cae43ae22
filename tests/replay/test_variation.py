"""Variations: how they are written, and what they do to requests and recorded values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.errors import InputError
from refinery.model.trace import EntryPoint, Run, RunKind, Trace
from refinery.replay.exchange import Api
from refinery.replay.json_paths import get, put
from refinery.replay.sequences import MAX_PAIRS, parts
from refinery.replay.session import Rules, Session
from refinery.replay.tape import Tape
from refinery.replay.variation import (
    Matrix,
    Variation,
    changed_tape,
    combined,
    find_step,
    parse_setting,
    resolved,
    split_model,
)
from refinery.replay.varying import CannotVaryError, Recorded, changed_body
from refinery.replay.wire import parse_request
from tests.replay.traces import llm, trace, work

PROMPT = Variation(prompt="Be {mood}.", prompt_name="p.md")


def test_a_matrix_is_every_combination_in_order() -> None:
    found = combined(Matrix(("a", "openai:b:c"), (0.0, 1.0), settings=("root.input.x=1",)))

    assert [(v.model, v.vendor, v.temperature) for v in found] == [
        ("a", None, 0.0),
        ("a", None, 1.0),
        ("b:c", "openai", 0.0),
        ("b:c", "openai", 1.0),
    ]
    assert found[0].label == "model a, temperature 0, root.input.x=1"
    assert split_model("llama3:8b") == (None, "llama3:8b")
    with pytest.raises(InputError, match="more than 64"):
        combined(Matrix(temperatures=tuple(range(65))))


@pytest.mark.parametrize(
    ("text", "step", "side", "path", "value"),
    [
        ("search.output.items.0=5", "search", "output", ("items", "0"), 5),
        ("root.input=hello = you", "root", "input", (), "hello = you"),
        ('my.tool.outputs.a={"b": 1}', "my.tool", "output", ("a",), {"b": 1}),
    ],
)
def test_a_setting_is_read(
    text: str, step: str, side: str, path: tuple[str, ...], value: Any
) -> None:
    found = parse_setting(text)

    assert (found.step, found.side, found.path, found.value) == (step, side, path, value)


@pytest.mark.parametrize("text", ["", "search", "search=1", "a.b.c=1", ".input.x=1"])
def test_what_sets_nothing_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError, match="sets nothing"):
        parse_setting(text)


def test_a_step_is_found_by_id_beginning_name_and_number() -> None:
    found = trace(llm(1, "a", "b"), llm(2, "c", "d"), work(3, RunKind.TOOL, "stock", {}, "x"))

    assert find_step(found, "ask#2").run_id == "llm-2"
    assert find_step(found, "stock").run_id == "tool-3"
    assert find_step(found, "tool").run_id == "tool-3"
    assert find_step(found, "root").run_id == "root"
    with pytest.raises(InputError, match="2 steps are called 'ask'") as caught:
        find_step(found, "ask")
    assert "ask llm-1, ask llm-2" in caught.value.hint
    with pytest.raises(InputError, match="no step 'stock'"):
        find_step(found, "stock", RunKind.LLM)


BODIES: dict[Api, dict[str, Any]] = {
    Api.OPENAI_CHAT: {
        "model": "m",
        "max_completion_tokens": 5,
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "old"}]},
            {"role": "user", "content": "hi"},
        ],
    },
    Api.OPENAI_RESPONSES: {"model": "m", "instructions": "old", "input": "hi"},
    Api.ANTHROPIC: {
        "model": "m",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "old"}],
        "messages": [{"role": "user", "content": "hi"}],
    },
}
PATHS = {
    Api.OPENAI_CHAT: "/v1/chat/completions",
    Api.OPENAI_RESPONSES: "/v1/responses",
    Api.ANTHROPIC: "/v1/messages",
}


@pytest.mark.parametrize("api", BODIES)
def test_each_interface_gets_model_parameters_and_prompt_where_it_keeps_them(api: Api) -> None:
    variation = Variation("other", None, 0.5, 99, "new")
    before = json.dumps(BODIES[api])

    body = changed_body(api, BODIES[api], variation)

    request = parse_request(PATHS[api], body)
    assert [(m.role, m.text) for m in request.messages] == [("system", "new"), ("user", "hi")]
    assert (request.model, request.params["temperature"]) == ("other", 0.5)
    limits = {"max_tokens", "max_completion_tokens", "max_output_tokens"}
    assert [v for k, v in body.items() if k in limits] == [99]
    assert json.dumps(BODIES[api]) == before


def test_a_prompt_is_put_in_front_where_there_was_none() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

    changed = changed_body(Api.OPENAI_CHAT, body, Variation(prompt="new {not a place}"))

    assert changed["messages"][0] == {"role": "system", "content": "new {not a place}"}


def test_a_template_is_filled_as_recorded_or_the_request_is_left_unanswered() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

    filled = changed_body(Api.OPENAI_CHAT, body, PROMPT, {"mood": "kind", "other": "x"})

    assert filled["messages"][0]["content"] == "Be kind."
    with pytest.raises(CannotVaryError, match=r"what \{mood\} of the prompt stands for"):
        changed_body(Api.OPENAI_CHAT, body, PROMPT, None)
    two = Variation(prompt="{mood} {gone}")
    with pytest.raises(CannotVaryError, match=r"does not say what \{gone\}"):
        changed_body(Api.OPENAI_CHAT, body, two, {"mood": "kind"})
    with pytest.raises(CannotVaryError, match="anthropic:c does not"):
        changed_body(Api.OPENAI_CHAT, body, Variation("c", "anthropic"))


def test_the_values_of_a_template_come_from_the_prompt_run_of_the_step() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
    prompt = Run(
        "p", "root", "ChatPromptTemplate", RunKind.PROMPT, "root",
        inputs={"mood": "kind", "n": 3}, outputs={"messages": messages},
    )  # fmt: skip
    call = llm(1, "hi", "x", inputs={"model": "m", "messages": messages})

    assert Recorded.of(trace(prompt, call)).places == {"llm-1": {"mood": "kind"}}


def asked(said: str, **more: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": said}], **more}
    return parse_request("/v1/chat/completions", body)


def session(found: Trace, variation: Variation) -> Session:
    rules = Rules(is_unchanged=True, variation=(variation, Recorded.of(found)))
    return Session(Tape.from_trace(found), rules)


def test_only_the_named_step_is_changed_and_equal_requests_keep_their_order() -> None:
    found = trace(llm(1, "again", "one"), llm(2, "again", "two"), llm(3, "last", "three"))
    case = session(found, Variation("other", at="llm-2"))

    varied = [case.vary(asked("again")) is not None]
    first = case.find(asked("again"))
    second = case.vary(asked("again"))
    third = case.vary(asked("last"))

    assert varied == [False] and first is not None and first[0].run_id == "llm-1"
    assert second is not None and (second.run_id, second.sent.model) == ("llm-2", "other")
    assert case.find(second.sent, is_varied=True) is None
    assert third is None
    assert second.told == "varied: model other"


def test_from_a_step_on_everything_is_changed_recorded_or_not() -> None:
    found = trace(llm(1, "a", "one"), llm(2, "b", "two"), llm(3, "c", "three"))
    case = session(found, Variation(temperature=1.0, start="llm-2"))

    states = [case.vary(asked(said)) is not None for said in ("a", "new", "b", "new", "c")]

    assert states == [False, False, True, True, True]


def test_a_changed_request_is_a_recorded_one_only_when_every_field_is_known() -> None:
    other = llm(2, "hi", "two", inputs={"model": "n", "messages": asked("hi").body["messages"]})
    found = trace(llm(1, "hi", "one"), other)
    case = session(found, Variation("n", at="llm-1"))

    varied = case.vary(asked("hi"))

    assert varied is not None
    known = case.find(varied.sent, is_varied=True)
    assert known is not None and known[0].run_id == "llm-2"
    lost = trace(llm(1, "hi", "one", inputs={"messages": asked("hi").body["messages"]}))
    vague = session(lost, Variation("n"))
    changed = vague.vary(asked("hi"))
    assert changed is not None and vague.find(changed.sent, is_varied=True) is None


def test_an_input_of_a_model_step_is_set_wherever_the_request_has_it() -> None:
    found = trace(llm(1, "hi", "one"))
    setting = parse_setting("ask.input.messages.0.content=hello")
    case = session(found, resolved(Variation(settings=(setting,)), found))

    varied = case.vary(asked("hi"))

    assert varied is not None and varied.sent.messages[0].text == "hello"
    nowhere = parse_setting("ask.input.messages.7.content=hello")
    lost = session(found, resolved(Variation(settings=(nowhere,)), found))
    with pytest.raises(CannotVaryError, match="not found in the request"):
        lost.vary(asked("hi"))


def test_results_answers_and_the_argument_are_set_on_a_copy_of_the_tape() -> None:
    message = {"lc": 1, "type": "constructor", "kwargs": {"content": "7", "type": "tool"}}
    found = trace(
        llm(1, "hi", "one"),
        work(2, RunKind.TOOL, "stock", {"item": "x"}, {"output": message}),
        work(3, RunKind.TOOL, "price", {"item": "x"}, {"output": '{"eur": 5}'}),
        entry=EntryPoint("callable", "a:b", {"q": ["old"]}),
    )
    texts = ("stock.output=0", "price.output.eur=6", "root.input.q.0=new", "ask.output=two")
    variation = resolved(Variation(settings=tuple(map(parse_setting, texts))), found)
    tape = Tape.from_trace(found)

    changed = changed_tape(tape, variation)

    assert changed.tools[0].output["output"]["kwargs"]["content"] == "0"
    assert changed.tools[1].output == {"output": '{"eur": 6}'}
    assert changed.entry is not None and changed.entry.argument == {"q": ["new"]}
    assert changed.calls[0].reply is not None and changed.calls[0].reply.text == "two"
    assert tape == Tape.from_trace(found)
    for text in ("stock.input.item=y", "root.output=1"):
        with pytest.raises(InputError):
            resolved(Variation(settings=(parse_setting(text),)), found)
    lost = resolved(Variation(settings=(parse_setting("root.input.a.b=1"),)), found)
    with pytest.raises(InputError, match="leads nowhere"):
        changed_tape(tape, lost)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(JSON, st.lists(st.sampled_from(["a", "0", "-1", "kwargs", ""]), max_size=4), st.integers())
def test_what_is_put_is_found_again_or_refused(value: Any, path: list[str], new: int) -> None:
    before = json.dumps(value)
    try:
        changed = put(value, path, new, "x")
    except InputError:
        return

    assert get(changed, path) == new
    assert json.dumps(value) == before


@given(
    st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30)
)
def test_stretches_cover_both_sequences_in_order(left: list[str], right: list[str]) -> None:
    found = list(parts(left, right))

    assert [x for _, (a, b, _, _) in found for x in left[a:b]] == left
    assert [x for _, (_, _, c, d) in found for x in right[c:d]] == right
    assert all(left[a:b] == right[c:d] for is_equal, (a, b, c, d) in found if is_equal)


def test_long_loops_of_equal_steps_are_aligned() -> None:
    left = ["x"] * 3000 + ["y"] + ["x"] * 3000
    right = ["z"] + ["x"] * 2990 + ["y", "y"] + ["x"] * 3000 + ["w"]

    found = list(parts(left, right))

    assert len(left) * len(right) > MAX_PAIRS
    assert [x for _, (a, b, _, _) in found for x in left[a:b]] == left
    assert sum(b - a for is_equal, (a, b, _, _) in found if is_equal) > 5900
