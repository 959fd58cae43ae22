"""How the demo tells its story: six short steps for somebody who has never seen Refinery."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinery.cli import fix_view, output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.demo.story import Answered
    from refinery.workflows.fix_outcome import FixOutcome

MOST_QUOTES = 4
INTRODUCTION = """\
From an agent's failure to a proven, committed fix. No key, no network: a small scripted model
on this machine answers from what the agent gives it."""


def introduce(folder: Path, screen: "Console") -> None:
    """Say what will happen, and where the agent is."""
    screen.print(INTRODUCTION)
    _title("1  The agent", screen)
    screen.print(f"   A support agent that answers from help documents, in {folder}/")


def show_answers(answered: "Sequence[Answered]", screen: "Console") -> None:
    """Draw what the agent was asked and what it said."""
    _title(f"2  What it answered: {len(answered)} questions, recorded and labelled", screen)
    for item in answered:
        is_right = item.question.label.outcome == "pass"
        mark, style = ("right", "green") if is_right else ("WRONG", "bold red")
        screen.print(f"   {mark}  {item.question.text}", style=style)
        screen.print(f"          {output.safe(item.answer)}")
        if not is_right:
            screen.print(f"          should be: {item.question.label.expectation}")


def show_evidence(outcome: "FixOutcome", screen: "Console") -> None:
    """Draw why it failed, what could mend it, and what the replays showed."""
    _show_causes(outcome, screen)
    _show_hypotheses(outcome, screen)
    if outcome.chosen and outcome.chosen.patch:
        fix_view.show_diff(outcome.chosen.patch, screen)
    trial = outcome.chosen.trial if outcome.chosen else None
    if trial is None:
        return
    _title(f"5  Proof: the recorded questions again, sandbox tier {trial.sandbox}", screen)
    for arm in trial.arms:
        which = "the wrong answer" if arm.group == "failing" else "the right answers"
        now = f"{arm.passed} of {arm.total} right"
        screen.print(f"   {arm.name:<24}{which:<19}{now}")
    screen.print(f"   Verdict: {trial.verdict.value}. {output.safe(trial.reason)}", style="bold")


def show_change(outcome: "FixOutcome", folder: Path, seconds: float, screen: "Console") -> None:
    """Draw the commit and how to take it back."""
    _title("6  The commit", screen)
    change = outcome.change
    if change is None:
        screen.print("   Nothing was committed.")
        if outcome.is_waiting:
            screen.print(
                f"   Go on with: cd {folder} && {program()} fix --resume {outcome.session_id}"
            )
            screen.print("   (`refinery demo --yes` approves a proven fix without asking)")
        return
    done = f"   Committed {change.commit[:12]} on {change.branch}: {output.safe(change.title)}"
    screen.print(done, style="bold green")
    screen.print(f"   {seconds:.0f} seconds. See it:  cd {folder} && git log -1")
    screen.print(f"   Take it back:       cd {folder} && {program()} rollback {change.change_id}")


def program() -> str:
    """How this program is called from another folder: its name if it is on the `PATH`."""
    called = Path(sys.argv[0])
    if shutil.which("refinery") or called.name != "refinery":
        return "refinery"
    return str(called.absolute())


def _show_causes(outcome: "FixOutcome", screen: "Console") -> None:
    _title("3  Why it failed (detectors, no model)", screen)
    for finding in outcome.diagnosis.findings[:2]:
        where = finding.source
        place = f"  {where.file}:{where.line_start}" if where else ""
        screen.print(f"   {output.safe(finding.title)}{output.safe(place)}", style="bold")
        screen.print(f"   {output.safe(finding.explanation)}")
        quotes = dict.fromkeys(" ".join(e.quote.split()) for e in finding.evidence)
        for quote in list(quotes)[:MOST_QUOTES]:
            screen.print(f"     “{output.safe(quote)[:150]}”", style="dim")


def _show_hypotheses(outcome: "FixOutcome", screen: "Console") -> None:
    _title("4  What could mend it (offline playbook, no model)", screen)
    tried = {attempt.hypothesis.hypothesis_id: attempt for attempt in outcome.attempts}
    for hypothesis in outcome.hypotheses:
        attempt = tried.get(hypothesis.hypothesis_id)
        trial = attempt.trial if attempt else None
        guard = attempt.guard.outcome.value if attempt and attempt.guard else "-"
        seen = trial.verdict.value if trial else attempt.problem if attempt else None
        name = f"{hypothesis.hypothesis_id} {output.safe(hypothesis.title)}"
        screen.print(f"   {name}  [guard: {guard}, replay: {output.safe(seen or 'not tried')}]")


def _title(text: str, screen: "Console") -> None:
    screen.print(f"\n{text}", style="bold")
