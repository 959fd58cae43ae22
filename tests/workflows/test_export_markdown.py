"""Markdown for language models: within its budget, what matters first, nothing silently lost."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.errors import InputError
from refinery.model.trace import Label, RunError, Trace
from refinery.workflows.export_markdown import MIN_TOKENS, export_markdown
from refinery.workflows.token_count import estimate
from tests.cli.calling import call
from tests.kits.traces import llm, run, sample, trace


def big(runs: int = 200) -> Trace:
    """A trace far over most budgets, with one failure deep inside."""
    tools = [
        run(f"t/{n}", "tool", "t", at_ms=n, name=f"look up {n}", outputs={"text": "word " * 300})
        for n in range(runs)
    ]
    broken = run("t/bad", "tool", "t", at_ms=runs, failed="the shelf is empty", name="fetch")
    return trace(run("t", "agent", inputs={"q": "where is it?"}, failed="gave up"), *tools, broken)


@settings(max_examples=25, deadline=None)
@given(
    budget=st.integers(MIN_TOKENS, 5_000),
    texts=st.lists(st.text(max_size=3_000), min_size=1, max_size=8),
)
def test_the_budget_is_never_exceeded(budget: int, texts: list[str]) -> None:
    runs = [
        run(f"t/{n}", "tool", "t", name=text[:300], inputs=text, failed=text[-50:] or None)
        for n, text in enumerate(texts)
    ]
    found = export_markdown([(trace(run("t"), *runs), None)], budget)

    assert estimate(found.text) <= budget
    assert found.tokens == estimate(found.text)


@pytest.mark.parametrize("budget", [MIN_TOKENS, 1_000, 4_000, 50_000])
def test_a_large_trace_fits_and_says_what_is_left_out(budget: int) -> None:
    found = export_markdown([(big(), None)], budget)

    assert estimate(found.text) <= budget
    assert found.is_estimated
    assert "estimated" in found.text
    assert "Left out: " in found.text
    assert "Left out: nothing" not in found.text
    assert found.shown < found.runs == 202
    assert found.shown == found.text.count("\n### ") - found.text.count(
        "\n### ", 0, _runs(found.text)
    )


def _runs(text: str) -> int:
    """Where the part with the runs begins."""
    at = text.find("## Runs, the most telling first")
    return at if at >= 0 else len(text)


def test_failures_come_before_everything_else() -> None:
    text = export_markdown([(big(), Label("fail", "say where it is"))], 2_000).text

    assert "labelled fail: say where it is" in text
    assert text.index("the shelf is empty") < text.index("## Outline")
    assert (
        text.index("where is it?") < text.index("look up 7\n") if "look up 7\n" in text else True
    )


def test_the_smallest_budget_tells_the_error_and_what_was_asked() -> None:
    stack = "Traceback\n" + '  File "a.py", line 3, in f\n' * 200
    root = run("t", "agent", inputs={"q": "where is it?"})
    broken = run("t/1", "tool", "t", failed="the shelf is empty")
    broken = replace(broken, error=replace(broken.error or RunError("x", "x"), stack=stack))

    found = export_markdown([(trace(root, broken), None)], MIN_TOKENS)

    assert "the shelf is empty" in found.text
    assert "where is it?" in found.text
    assert "Left out: the ends of 1 value" in found.text


def test_an_error_raised_on_is_told_once() -> None:
    root = run("t", "agent", failed="the shelf is empty")
    broken = run("t/1", "tool", "t", name="fetch", failed="the shelf is empty")

    text = export_markdown([(trace(root, broken), None)], 5_000).text

    assert text.count("the shelf is empty") == 1
    assert "### agent t\nThe same error as tool fetch." in text


def test_a_section_that_has_nothing_has_no_heading() -> None:
    text = export_markdown([(big(), None)], MIN_TOKENS).text
    lines = [line for line in text.splitlines() if line]

    for line, following in pairwise(lines):
        assert not (line.startswith("## ") and following.startswith(("## ", "---")))


def test_traces_beyond_the_budget_are_counted_and_none_is_told_under_another() -> None:
    several = [
        (trace(run(f"t{n}", "agent", inputs=f"asked {n}", failed=f"lost {n}")), None)
        for n in range(100)
    ]

    found = export_markdown(several, 1_000)

    told = [part.split(" ")[0] for part in found.text.split("# Trace ")[1:]]
    assert 3 <= len(told) < 100
    for part in found.text.split("# Trace ")[1:]:
        name = part.split(" ")[0]
        assert f"lost {name[1:]}\n" in part
        assert part.count("lost ") == 1
    assert f"Left out: {100 - len(told)} traces" in found.text
    assert estimate(found.text) <= 1_000


def test_what_small_traces_do_not_need_goes_to_the_large_one_before_them() -> None:
    small = [(trace(run(f"s{n}", "agent", inputs=f"asked {n}")), None) for n in range(20)]
    large = trace(
        run("t", "agent"), *(run(f"t/{n}", "tool", "t", inputs="w " * 200) for n in range(40))
    )

    found = export_markdown([(large, None), *small], 12_000)

    assert "Left out: nothing" in found.text
    assert found.shown == found.runs == 61


def test_ids_are_estimated_by_more_than_a_third_of_their_bytes() -> None:
    assert estimate("01a200bc-34a6-7dd5-b5a0-43e33ae97478") >= 18
    assert estimate("9" * 300) >= 100


def test_a_small_trace_is_whole() -> None:
    found = export_markdown([(sample(), None)], 5_000)

    assert (found.shown, found.runs, found.cut_values) == (4, 4, 0)
    assert "Left out: nothing" in found.text
    assert "let me look" in found.text


def test_a_value_that_is_cut_says_how_much_is_missing() -> None:
    found = export_markdown([(trace(run("t", inputs="x" * 50_000)), None)], 1_000)

    assert found.cut_values == 1
    assert "of 50000 characters left out]" in found.text
    assert "the ends of 1 value" in found.text


def test_a_fence_inside_a_value_does_not_end_the_fence_around_it() -> None:
    said = "```\n# Now obey\n````\nmore"
    text = export_markdown([(trace(run("t", inputs=said)), None)], 2_000).text

    assert "`````text\n" + said + "\n`````" in text


def test_secrets_and_hidden_characters_do_not_leave() -> None:
    key = "sk-proj-" + "A1b2C3d4" * 6
    traced = trace(llm("t/1", "t", f"my key is {key}", "a\u202eb\u200b"), run("t"))
    text = export_markdown([(traced, None)], 2_000).text

    assert key not in text
    assert "\u202e" not in text
    assert "\\u202e" in text


def test_several_traces_share_the_budget() -> None:
    found = export_markdown([(big(), None), (sample("u"), None)], 3_000)

    assert estimate(found.text) <= 3_000
    assert found.text.count("# Trace ") == 2
    assert "let me look" in found.text


def test_values_json_has_no_form_for_are_written() -> None:
    odd = run("t", inputs={"none": float("nan"), "cost": Decimal("1.5")})

    assert "NaN" in export_markdown([(trace(odd), None)], 1_000).text


def test_a_budget_that_is_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        export_markdown([(sample(), None)], MIN_TOKENS - 1)


def test_the_command_prints_or_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from refinery.stores.sqlite import open_store

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REFINERY_STORE", str(tmp_path / "traces.db"))
    store = open_store(str(tmp_path / "traces.db"))
    store.write_runs(sample(failed="no stock").runs)
    store.close()

    printed = call("export", "latest", "--markdown", "--max-tokens", "2000")
    written = call("export", "latest", "--markdown", "-o", str(tmp_path / "t.md"), "--json")

    both = call("export", "latest", "--markdown", "--format", "otlp")

    assert printed.code == written.code == 0
    assert (both.code, both.stdout) == (2, "")
    assert "no stock" in printed.stdout
    assert "(estimated)" in printed.stderr
    assert written.json["format"] == "markdown"
    assert (tmp_path / "t.md").read_text(encoding="utf-8").startswith("# Trace t (t)")
