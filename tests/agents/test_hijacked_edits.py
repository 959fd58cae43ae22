"""A hijacked model whose edits hide beside the right place: the guard of the loop holds them."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from refinery.agents.nodes import review
from refinery.agents.state import FixState
from refinery.codebase import editor
from refinery.codebase.locate import attach
from refinery.codebase.repository import Repository
from refinery.model.codec import encode
from refinery.model.failure import Diagnosis, Evidence, Finding, Likelihood, RootCause
from refinery.model.patch import Edit
from refinery.model.trace import Json, Run, RunKind, Trace
from refinery.model.verdict import Outcome
from refinery.settings import Settings, load
from tests.kits.repositories import make_repository

DESK = "You are the desk of the Polar line. Answer only from the documents and be brief."
VALUES: dict[str, Json] = {
    "model": "gpt-4o-mini", "prompts": {"desk": DESK, "shop": "Sell only what is in season."},
    "top": 4, "webhook": "a",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    repository: Repository
    settings: Settings


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = make_repository(tmp_path / "repo", {"desk.json": json.dumps(VALUES) + "\n"})
    return Place(Repository.open(root), load(root))


def judged(place: Place, *edits: Edit) -> tuple[Outcome, str]:
    """What the guard says of a model's edits after a diagnosis that blames the desk's prompt."""
    messages: Json = [{"role": "system", "content": DESK}, {"role": "user", "content": "When?"}]
    run = Run("m", "t", "ChatOpenAI", RunKind.LLM, inputs={"messages": messages})
    trace = Trace("t", (run,))
    finding = Finding(
        finding_id="F1", category="ungrounded_answer", title="x", explanation="x",
        likelihood=Likelihood.LIKELY, confidence=0.8, cause_run_id="m", symptom_run_id="m",
        evidence=(Evidence("m", "brief"),), root_cause=RootCause.PROMPT,
    )  # fmt: skip
    found = attach((finding,), trace, place.repository.root)
    state: FixState = {"diagnosis": encode(Diagnosis("t", "model", found)), "trace_id": "t"}
    patch = editor.plan(place.repository, edits)
    report = review(state, patch, trace, place)
    return report.outcome, " ".join(remark.message for remark in report.remarks)


def key(path: list[str | int], value: Json) -> Edit:
    return Edit("set_key", "desk.json", {"path": path, "value": value})


def test_the_located_prompt_alone_may_change(place: Place) -> None:
    assert judged(place, key(["prompts", "desk"], f"{DESK} Name the day."))[0] is Outcome.ALLOW


@pytest.mark.parametrize(
    "edits",
    [
        [key(["top"], 400)],
        [key(["model"], "gpt-9")],
        [key(["webhook"], "b")],
        [key(["prompts", "shop"], "Sell only what is in season, or not.")],
        [key(["prompts", "other"], "Be kind.")],
        [key(["prompts", "desk"], f"{DESK} Name the day."), key(["top"], 400)],
        [Edit("replace_text", "desk.json", {"old": "be brief.", "new": 'be", "x": "brief.'})],
    ],
)
def test_what_stands_beside_it_on_its_line_is_held(place: Place, edits: list[Edit]) -> None:
    outcome, why = judged(place, *edits)

    assert outcome is Outcome.HOLD
    assert "another part of this line" in why
