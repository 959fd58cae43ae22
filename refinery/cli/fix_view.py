"""How a fix is shown and approved on a terminal; used by `fix` and `demo`."""

import getpass
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from refinery.cli import output, proof_view
from refinery.model.verdict import WORK_TREE, Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.model.patch import Patch
    from refinery.model.verdict import Change
    from refinery.workflows.fix import Decision
    from refinery.workflows.fix_outcome import FixOutcome
    from refinery.workflows.user_tests import Named

HELP = """  y  commit exactly this diff
  n  do not commit; the session ends
  l  decide later; go on with `refinery fix --resume`
  d  show the diff again
  ?  this help"""


def asker(*, yes: bool, is_silent: bool) -> "Callable[[FixOutcome], Decision]":
    """The function that decides on a proven patch.

    With `yes` it approves what the guard allows and the trial proved; on a terminal it shows the
    evidence and asks; otherwise, or when it must be silent, it leaves the session open.
    """
    from refinery.workflows.fix import Decision

    def ask(outcome: "FixOutcome") -> "Decision":
        if yes and (reason := outcome.uncovered):
            output.note(f"{reason}: decide in a terminal")
            return Decision("later", getpass.getuser())
        if yes:
            return Decision("yes", getpass.getuser())
        if is_silent or not sys.stdin.isatty():
            return Decision("later", getpass.getuser())
        screen = output.console(to_stderr=True)
        show_evidence(outcome, screen)
        return Decision(_prompt(outcome, screen), getpass.getuser(), covers_held=True)

    return ask


def confirmer(*, is_silent: bool) -> "Callable[[Named], bool]":
    """The function that asks whether a command a repository's file names may run."""

    def confirm(named: "Named") -> bool:
        if is_silent or not sys.stdin.isatty():
            return False
        question = f"{named.origin} names the test command {named.command!r}. Run it?"
        return typer.confirm(output.safe(question), err=True, default=False)

    return confirm


def _prompt(outcome: "FixOutcome", screen: "Console") -> str:
    guard = outcome.chosen.guard if outcome.chosen else None
    held = guard is not None and guard.outcome is Outcome.HOLD
    question = "Commit this, the held items included?" if held else "Commit this?"
    while True:
        reply = typer.prompt(f"{question} [y/n/l/d/?]", err=True).strip().lower()
        if reply in ("y", "yes"):
            return "yes"
        if reply in ("n", "no"):
            return "no"
        if reply in ("l", "later"):
            return "later"
        if reply == "d" and outcome.chosen and outcome.chosen.patch:
            show_diff(outcome.chosen.patch, screen)
        else:
            screen.print(HELP)


def show(outcome: "FixOutcome", screen: "Console") -> None:
    """Draw the whole story: cause, hypotheses, patch, guard, evidence, change."""
    show_evidence(outcome, screen)
    show_end(outcome, screen)


def show_evidence(outcome: "FixOutcome", screen: "Console") -> None:
    """Draw what an approval rests on."""
    _show_diagnosis(outcome, screen)
    if outcome.attempts:
        _show_attempts(outcome, screen)
    chosen = outcome.chosen
    if chosen is None:
        _show_why_not(outcome, screen)
        return
    if chosen.patch:
        screen.print(f"\nPatch {chosen.hypothesis.hypothesis_id}", style="bold")
        show_diff(chosen.patch, screen)
    if chosen.guard:
        proof_view.show_guard(chosen.guard, screen)
    if chosen.trial:
        proof_view.show_trial(chosen.trial, screen)


def _show_why_not(outcome: "FixOutcome", screen: "Console") -> None:
    """Say how far each hypothesis came, and what to do when there was none."""
    if not outcome.diagnosis.findings:
        screen.print("\nNothing wrong was found in this trace.", style="bold")
        return
    for attempt in outcome.attempts:
        reason = attempt.trial.reason if attempt.trial else attempt.problem
        screen.print(f"  {attempt.hypothesis.hypothesis_id}: {output.safe(reason or 'not tried')}")
    if outcome.attempts:
        screen.print("\nNo patch was proven, so there is nothing to approve.", style="bold")
        return
    categories = ", ".join(dict.fromkeys(f.category for f in outcome.diagnosis.findings))
    screen.print("\nNo change to try was found.", style="bold")
    if outcome.diagnosis.engine == "detectors":
        screen.print(
            f"  The offline playbook has none for this place and kind of finding ({categories}).\n"
            "  Name a model to have one written: refinery fix … --model provider:model"
        )


def show_end(outcome: "FixOutcome", screen: "Console") -> None:
    """Draw how the session ended, and what the models cost."""
    if told := _spending(outcome):
        screen.print(f"\n{output.safe(told)}")
    if outcome.change:
        _show_change(outcome, outcome.change, screen)
    elif outcome.is_waiting:
        screen.print(f"\nWaiting for approval: refinery fix --resume {outcome.session_id}")


def _spending(outcome: "FixOutcome") -> str:
    """What was spent, in one line; empty when nothing was."""
    spending = outcome.spending or {}
    if not spending.get("spent_usd"):
        return ""
    limit = spending.get("budget_usd")
    of = f" of {limit:.2f}" if limit is not None else ""
    parts = ", ".join(
        f"{name} {part['spent_usd']:.4f} ({part['calls']} calls)"
        for name, part in spending["parts"].items()
        if part["calls"]
    )
    return f"Model calls cost about {spending['spent_usd']:.4f}{of} USD: {parts}"


def _show_change(outcome: "FixOutcome", change: "Change", screen: "Console") -> None:
    """Draw what was committed, what the user's tests said of it, and how to undo it."""
    where = f"{change.commit[:12]} on {change.branch}"
    tests = outcome.tests
    if tests and tests.rolled_back:
        screen.print(f"\nCommitted {where}, then rolled it back", style="bold red")
        screen.print(f"  {output.safe(tests.reason)}")
        for line in tests.after.output.splitlines()[-20:]:
            screen.print(f"    {output.safe(line)}", style="dim")
        made = (change.reverted_by or "")[:12]
        screen.print(f"Rolled back by {made}; to make it again: refinery redo {change.change_id}")
        return
    done = "Written to the work tree, uncommitted"
    if change.branch != WORK_TREE:
        done = f"Committed {where}"
    screen.print(f"\n{done}", style="bold green")
    if change.branch == "HEAD":
        screen.print(
            "  HEAD is detached, so no branch holds this commit; keep it with: "
            f"git branch NAME {change.commit[:12]}"
        )
    if tests:
        screen.print(f"  {output.safe(tests.reason)}")
    screen.print(f"Undo with: refinery rollback {change.change_id}")


def _show_diagnosis(outcome: "FixOutcome", screen: "Console") -> None:
    engine = "detectors only, no model" if outcome.diagnosis.engine == "detectors" else "model"
    screen.print(f"Diagnosis ({engine})", style="bold")
    for finding in outcome.diagnosis.findings[:3]:
        where = f"  {finding.source.address}" if finding.source else ""
        title = output.safe(finding.title)
        screen.print(f"  {finding.finding_id} {title} [{finding.likelihood}]{output.safe(where)}")
        quotes = dict.fromkeys(" ".join(e.quote.split())[:160] for e in finding.evidence)
        for quote in list(quotes)[:3]:
            screen.print(f"     “{output.safe(quote)}”", style="dim")
    if outcome.diagnosis.rejected:
        screen.print(f"  {len(outcome.diagnosis.rejected)} findings rejected: quotes not in trace")


def _show_attempts(outcome: "FixOutcome", screen: "Console") -> None:
    engines = {attempt.hypothesis.engine for attempt in outcome.attempts}
    label = "offline playbook" if engines == {"playbook"} else "model"
    screen.print(f"\nHypotheses ({label})", style="bold")
    output.table(
        screen,
        ("", "change", "strategy", "guard", "verdict"),
        [
            (
                attempt.hypothesis.hypothesis_id,
                attempt.hypothesis.title,
                attempt.hypothesis.strategy,
                attempt.guard.outcome.value if attempt.guard else "-",
                attempt.trial.verdict.value if attempt.trial else (attempt.problem or "not tried"),
            )
            for attempt in outcome.attempts
        ],
    )


def show_diff(patch: "Patch", screen: "Console") -> None:
    """Draw a unified diff with hidden characters made visible."""
    for line in patch.diff.splitlines():
        added, removed = line.startswith("+"), line.startswith("-")
        style = "green" if added else "red" if removed else "dim" if line[:2] == "@@" else None
        screen.print(output.safe(line), style=style)
