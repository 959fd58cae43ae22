"""How the search for a commit looks in the terminal."""

from typing import TYPE_CHECKING

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.codebase.history import Commit
    from refinery.workflows.bisect import BisectOutcome
    from refinery.workflows.commit_trials import Evidence


def show(outcome: "BisectOutcome", screen: "Console") -> None:
    """Draw the replays, then the commit with its evidence."""
    rows = [
        (found.commit[:12], _state(found), found.why or found.seen) for found in outcome.tested
    ]
    output.table(screen, ("commit", "pass", "seen"), rows)
    for warning in outcome.warnings:
        screen.print(output.safe(f"note: {warning}"))
    screen.print("")
    if outcome.first_bad is not None:
        title = "first bad commit" if outcome.state == "found" else "perhaps the first bad commit"
        screen.print(output.safe(f"{title}  {_named(outcome.first_bad)}"), style="bold")
        screen.print(output.safe(f"{outcome.first_bad.author}, {outcome.first_bad.date}"))
        screen.print(output.safe(outcome.stat))
    elif outcome.candidates:
        screen.print("the first bad commit is one of", style="bold")
        for candidate in outcome.candidates:
            screen.print(output.safe(f"  {_named(candidate)}"))
    else:
        screen.print(outcome.state, style="bold")
    p = f", p = {outcome.p_value:.2g}" if outcome.p_value is not None else ""
    screen.print(output.safe(f"{outcome.reason}{p}"))
    screen.print(
        f"{len(outcome.tested)} commits replayed of {outcome.commits}, {outcome.spent} "
        f"(sandbox {outcome.sandbox})"
    )


def _named(commit: "Commit") -> str:
    return f"{commit.sha[:12]} {commit.subject}" + (" (a merge)" if commit.is_merge else "")


def _state(found: "Evidence") -> str:
    if not found.is_testable:
        return "skipped"
    changes = " with uncommitted changes" if found.with_changes else ""
    return f"{found.passed} of {found.total}{changes}"
