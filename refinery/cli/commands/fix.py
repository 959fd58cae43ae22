"""Prove a fix for a failing trace, ask, and commit it."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import fix_view, output
from refinery.cli.arguments import complete_trace
from refinery.errors import ExitCode, InputError
from refinery.model.verdict import WORK_TREE

if TYPE_CHECKING:
    from refinery.workflows.fix_outcome import FixOutcome
    from refinery.workflows.wiring import Workspace

EPILOG = """Examples:

  refinery fix latest-failed

  refinery fix 3f2a --check 'contains@answer:29 EUR' --yes --json

  refinery fix latest-failed --dry-run --max-runs 200 --budget 0.50

  refinery fix 3f2a 77b1 9c04

  refinery fix --resume session-8c1f0a2b
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: Annotated[
        list[str] | None,
        typer.Argument(
            help="Trace id, unique prefix, latest, latest-failed, a file or a URL; several: one "
            "patch has to fix them all.",
            autocompletion=complete_trace,
        ),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    expect: Annotated[str | None, typer.Option(help="The right behaviour, in words.")] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(help="KIND[@FIELD]:VALUE the right answer passes; may be repeated."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="provider:model for the analysis; default: no model.")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Commit to this branch instead.")] = None,
    no_commit: Annotated[
        bool,
        typer.Option("--no-commit", help="Write the work tree only; `rollback` still undoes it."),
    ] = False,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=60, help="Fewest replays of a trace in each arm.")
    ] = None,
    max_runs: Annotated[
        int | None, typer.Option(min=8, max=10_000, help="Most replays of one patch's trial.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Most USD analysis and replays may cost.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a session.")] = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="With --resume: end the session, commit nothing.")
    ] = False,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Replay without a sandbox; for this call only.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prove and show, but stop before the approval.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve a proven patch the guard does not hold.")
    ] = False,
    run_hooks: Annotated[
        bool,
        typer.Option("--run-hooks", help="Run pre-commit and commit-msg hooks, on a copy."),
    ] = False,
    test_command: Annotated[
        str | None,
        typer.Option(
            help="Run this before and after the commit; when it fails only since, roll back. "
            "'' runs none."
        ),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Prove a fix for a failing trace, ask, and commit it."""
    from refinery.workflows import traces, user_tests
    from refinery.workflows.fix import FixRequest, fix
    from refinery.workflows.fix import resume as go_on
    from refinery.workflows.fix_outcome import to_document
    from refinery.workflows.wiring import open_workspace, state_folder

    if bool(trace) == bool(resume):
        raise InputError("name a trace or a session", hint="refinery fix latest-failed")
    workspace = open_workspace(repo, ctx.obj)
    if no_commit and (branch or resume):
        raise InputError("--no-commit goes with neither --branch nor --resume")
    if abandon:
        _abandon(workspace, resume, repo, json_output)
        return
    if dry_run and yes:
        raise InputError("--dry-run writes nothing, so --yes has nothing to approve")
    ask = fix_view.asker(yes=yes, is_silent=json_output or dry_run)
    is_silent = yes or json_output or dry_run
    confirm = fix_view.confirmer(is_silent=is_silent)
    tests = user_tests.chosen(workspace.settings, test_command, confirm, output.note)
    if tests is not None:
        ask = tests.asking(ask)
    if resume is not None:
        outcome = go_on(workspace, resume, ask, output.note, repository=repo, run_hooks=run_hooks)
    else:
        first, *others = (traces.resolve(workspace, name) for name in trace or ())
        request = FixRequest(
            trace=first,
            also=tuple(others),
            repository=repo,
            expectation=expect,
            checks=tuple(check or ()),
            model=model,
            branch=WORK_TREE if no_commit else branch,
            run_hooks=run_hooks,
            repeats=repeats,
            max_runs=max_runs,
            budget_usd=budget,
            unsandboxed=unsandboxed,
        )
        outcome = fix(workspace, request, ask, output.note)
    if tests is not None:
        outcome = tests.judge(outcome, state_folder(outcome.repository))
    # Who was asked has seen the evidence already.
    was_asked = outcome.decision is not None and not yes and not json_output
    draw = fix_view.show_end if was_asked else fix_view.show
    output.emit(to_document(outcome), json_output, lambda screen: draw(outcome, screen))
    is_shown = dry_run and outcome.is_waiting
    raise typer.Exit(ExitCode.DONE if is_shown else exit_code(outcome))


def _abandon(
    workspace: "Workspace", session_id: str | None, repo: Path | None, json_output: bool
) -> None:
    from refinery.workflows import fix
    from refinery.workflows.fix_outcome import to_document

    if session_id is None:
        raise InputError("--abandon ends a session", hint="name it: --resume SESSION --abandon")
    outcome = fix.abandon(workspace, session_id, getpass.getuser(), output.note, repo)
    output.emit(to_document(outcome), json_output, lambda screen: None)


def exit_code(outcome: "FixOutcome") -> ExitCode:
    """Exit code of a fix that ended without an error."""
    if outcome.change:
        is_undone = outcome.tests is not None and outcome.tests.rolled_back
        return ExitCode.NEGATIVE if is_undone else ExitCode.DONE
    if outcome.chosen:
        return ExitCode.REFUSED
    return ExitCode.NEGATIVE if outcome.diagnosis.findings else ExitCode.NOTHING
