from refinery.model.trace import RunStatus, TraceSummary
from refinery.search.interactions import MAX_CONTEXT, MAX_EMBEDDED, asked_of, interaction_of
from tests.kits.traces import llm, run, trace

SUMMARY = TraceSummary("t", "t", RunStatus.OK, 1, 0, 1, 2, "test")


def test_the_first_and_last_message_of_the_user_are_what_was_asked() -> None:
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "where is my parcel?"},
    ]

    asked = asked_of(trace(run("t", inputs={"messages": messages})))

    assert asked == "hello\nwhere is my parcel?"


def test_a_field_of_a_usual_name_is_what_was_asked() -> None:
    assert asked_of(trace(run("t", inputs={"shop": "x", "question": "price?"}))) == "price?"


def test_a_root_without_inputs_asks_what_its_first_model_call_was_asked() -> None:
    assert asked_of(trace(run("t"), llm("t/1", "t", "price?", "29"))) == "price?"


def test_the_context_is_kept_verbatim_and_the_embedded_text_is_short() -> None:
    long = "a" * 5_000 + "the end ☃"
    found = interaction_of(SUMMARY, trace(run("t", inputs={"q": long}, outputs="so")))

    assert found is not None
    assert long in found.context
    assert found.text.endswith("the end ☃\nso")
    assert len(found.text) <= MAX_EMBEDDED + 10


def test_endless_contexts_and_wide_traces_are_bounded() -> None:
    runs = [run("t", inputs={"q": "x" * 2 * MAX_CONTEXT})]
    runs += [run(f"t/{number}", "tool", "t") for number in range(1_200)]
    found = interaction_of(SUMMARY, trace(*runs))

    assert found is not None
    assert len(found.context) == MAX_CONTEXT
    assert len(found.cycles) == 1_000


def test_lone_surrogates_and_deep_values_are_no_obstacle() -> None:
    deep: object = "\ud800"
    for _ in range(5_000):
        deep = [deep]
    found = interaction_of(SUMMARY, trace(run("t", inputs={"q": deep, "r": "\ud800"})))

    assert found is not None
    assert len(found.text_hash) == 16
