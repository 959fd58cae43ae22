"""How the evidence for a patch is shown: what the guard says, and what the replays showed."""

from typing import TYPE_CHECKING

from refinery.cli import output
from refinery.model.verdict import GuardReport, Outcome, Trial, Verdict

if TYPE_CHECKING:
    from rich.console import Console


def show_guard(guard: GuardReport, screen: "Console") -> None:
    """Draw what the guard says, and its remarks on what it does not just allow."""
    screen.print(f"\nGuard: {guard.outcome.value}", style="bold")
    for remark in guard.remarks:
        if remark.outcome is not Outcome.ALLOW:
            text = f"{remark.outcome.value}: {remark.message} ({remark.rule})"
            screen.print(f"  {output.safe(text)}")


def show_trial(trial: Trial, screen: "Console") -> None:
    """Draw the verdict, each arm's k of n, dropped hunks and warnings."""
    style = "bold green" if trial.verdict is Verdict.FIXED else "bold"
    screen.print(f"\nVerdict: {trial.verdict.value} (sandbox: {trial.sandbox})", style=style)
    screen.print(f"  {output.safe(trial.reason)}")
    for arm in trial.arms:
        low, high = arm.interval or (0.0, 1.0)
        shown = f"{arm.passed} of {arm.total} right"
        screen.print(
            f"  {arm.name:<24} {arm.group:<8} {shown:<14} 95 % interval {low:.0%}-{high:.0%}"
        )
    minimal = trial.facts.get("minimal")
    dropped = minimal.get("dropped") if isinstance(minimal, dict) else None
    if isinstance(dropped, list) and dropped:
        told = ", ".join(map(str, dropped))
        screen.print(f"  dropped, since it holds without: {output.safe(told)}")
    for warning in trial.warnings:
        screen.print(f"  note: {output.safe(warning)}")
