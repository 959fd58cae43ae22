from pathlib import Path

import pytest

from refinery.demo import model, story
from refinery.model.trace import RunKind
from refinery.workflows import traces


@pytest.mark.slow
def test_one_answer_is_outdated_and_the_others_are_right(isolated: Path) -> None:
    root = story.make_repository(isolated / "demo")

    with model.serve() as url, story.environment(url):
        workspace = story.open_demo(root)
        answered = story.record_and_label(workspace, root)

    assert [item.answer for item in answered] == [
        "The Pro plan is $12 per month.",
        "You can ask for a refund within 30 days of a payment.",
        "The support office is open from 9:00 to 17:00 Central European Time, Monday to Friday.",
        "The account has 12 seats.",
        "Notes can be exported as Markdown or PDF from the menu of a notebook.",
    ]
    outcomes = [traces.label_of(workspace, item.trace_id).outcome for item in answered]  # type: ignore[union-attr]
    assert outcomes == ["fail", "pass", "pass", "pass", "pass"]
    seats = workspace.store.get_trace(answered[3].trace_id)
    assert seats is not None
    assert [run.name for run in seats.runs if run.kind is RunKind.TOOL] == ["look_up_account"]
    workspace.store.close()


def test_nothing_below_the_command_line_knows_of_the_demo() -> None:
    package = Path(story.__file__).parents[1]
    words = ("Lumen", "support_agent", "refinery.demo", "look_up_account", "plan-prices")

    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if place.startswith(("demo/", "cli/")):
            continue
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], place
