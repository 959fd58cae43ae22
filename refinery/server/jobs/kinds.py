"""What can be ordered: the options of each kind, and the function that does it.

These run in the job's own process. Each returns what the command of that name prints with
`--json`. Options that would loosen the sandbox, name another repository or another endpoint are
not among them: who wants that is at a terminal.
"""

import getpass
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from refinery.errors import NotFoundError, RefusedError
from refinery.model.trace import Json, Trace
from refinery.workflows.wiring import Workspace

Text = Annotated[str, Field(max_length=20_000)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Runs = Annotated[int, Field(ge=8, le=10_000)]
Repeats = Annotated[int, Field(ge=1, le=60)]
Usd = Annotated[float, Field(ge=0, le=1_000_000)]


class Options(BaseModel):
    """Options of a kind; unknown ones are an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DiagnoseOptions(Options):
    """As of `refinery diagnose`."""

    expectation: Text | None = None
    failed: bool = False
    model: Name | None = None


class ReplayOptions(Options):
    """As of `refinery replay` without changes."""

    from_step: Name | None = None


class Prompt(Options):
    """A system prompt to try."""

    name: Name
    text: Annotated[str, Field(max_length=200_000)]


class WhatIfOptions(Options):
    """As of `refinery replay` with changes; lists are combined, each with each."""

    models: Annotated[list[Name], Field(max_length=64)] = []
    temperatures: Annotated[list[Annotated[float, Field(ge=0, le=1e9)]], Field(max_length=64)] = []
    max_tokens: Annotated[list[Annotated[int, Field(ge=1, le=10**9)]], Field(max_length=64)] = []
    prompts: Annotated[list[Prompt], Field(max_length=16)] = []
    settings: Annotated[list[Annotated[str, Field(max_length=200_000)]], Field(max_length=64)] = []
    at: Name | None = None
    from_step: Name | None = None
    alone: bool = False
    max_requests: Annotated[int, Field(ge=0, le=10_000)] | None = None
    budget_usd: Usd | None = None


class FixOptions(Options):
    """As of `refinery fix`; stops before the approval."""

    expectation: Text | None = None
    checks: Annotated[list[Text], Field(max_length=50)] = []
    model: Name | None = None
    also: Annotated[list[Name], Field(max_length=100)] = []
    branch: Name | None = None
    repeats: Repeats | None = None
    max_runs: Runs | None = None
    budget_usd: Usd | None = None
    resume: Name | None = None
    """A session to go on with, as `session_id` of a job that was interrupted."""


class BisectOptions(Options):
    """As of `refinery bisect`."""

    good: Name | None = None
    bad: Name | None = None
    checks: Annotated[list[Text], Field(max_length=50)] = []
    repeats: Annotated[int, Field(ge=1, le=200)] | None = None
    max_requests: Annotated[int, Field(ge=0, le=10_000)] | None = None
    budget_usd: Usd | None = None


class VerifyOptions(Options):
    """As of `refinery verify`."""

    change_id: Name


class DecideOptions(Options):
    """What a person said of a patch that waits."""

    session_id: Name
    digest: str | None = None
    """The patch that was looked at; None: it is rejected, whatever it is."""
    held: bool = False
    """Whether the items the guard holds were accepted."""


class EditOptions(Options):
    """A patch in the place of the one that waits."""

    session_id: Name
    diff: Annotated[str, Field(min_length=1, max_length=1_000_000)]


class GuideOptions(Options):
    """The session whose present page is to be worked on."""

    session_id: Name


@dataclass(slots=True)
class Task:
    """One order, in the process that carries it out."""

    workspace: Workspace
    trace_id: str
    say: Callable[[str], None]
    began: Callable[[str], None] = field(default=lambda session_id: None)
    """Is told the id of the session as soon as it is known."""

    def trace(self, trace_id: str | None = None) -> Trace:
        """The trace the order is about, or another one.

        Raises:
            NotFoundError: it was deleted meanwhile.
        """
        wanted = trace_id or self.trace_id
        trace = self.workspace.store.get_trace(wanted)
        if trace is None:
            raise NotFoundError(f"there is no trace {wanted!r}", hint="it may have been deleted")
        return trace


Document = dict[str, Json]


def diagnose(task: Task, options: DiagnoseOptions) -> Document:
    """Say why a trace failed."""
    from refinery.workflows import diagnose as workflow

    found = workflow.diagnose(
        task.workspace,
        task.trace(),
        expectation=options.expectation,
        model=options.model,
        failed=options.failed,
    )
    return workflow.to_document(found)


def replay(task: Task, options: ReplayOptions) -> Document:
    """Run a trace again as it was."""
    from refinery.workflows import replay as workflow

    request = workflow.ReplayRequest(from_step=options.from_step)
    task.say("replaying")
    return workflow.to_document(workflow.replay_trace(task.workspace, task.trace(), request))


def what_if(task: Task, options: WhatIfOptions) -> Document:
    """Run a trace again with something changed."""
    from dataclasses import replace

    from refinery.replay.variation import Matrix, combined
    from refinery.workflows import what_if as workflow

    matrix = Matrix(
        models=tuple(options.models),
        temperatures=tuple(options.temperatures),
        max_tokens=tuple(options.max_tokens),
        prompts=tuple((prompt.name, prompt.text) for prompt in options.prompts),
        settings=tuple(options.settings),
    )
    variations = [replace(one, at=options.at, start=options.from_step) for one in combined(matrix)]
    request = workflow.WhatIfRequest(alone=options.alone, budget_usd=options.budget_usd)
    if options.max_requests is not None:
        request = replace(request, max_requests=options.max_requests)
    found = workflow.what_if(task.workspace, task.trace(), variations, request, task.say)
    return workflow.to_document(found)


def fix(task: Task, options: FixOptions) -> Document:
    """Prove a fix and leave it waiting for the approval."""
    from refinery.workflows import fix as workflow

    def later(outcome: Any) -> workflow.Decision:
        return workflow.Decision("later", getpass.getuser())

    if options.resume is not None:
        task.began(options.resume)
        return _waiting(workflow.resume(task.workspace, options.resume, later, task.say))
    request = workflow.FixRequest(
        trace=task.trace(),
        also=tuple(task.trace(name) for name in options.also),
        expectation=options.expectation,
        checks=tuple(options.checks),
        model=options.model,
        branch=options.branch,
        repeats=options.repeats,
        max_runs=options.max_runs,
        budget_usd=options.budget_usd,
    )
    return _waiting(workflow.fix(task.workspace, request, later, task.say, began=task.began))


def _waiting(outcome: Any) -> Document:
    """The document of a fix, and whether a patch waits for approval."""
    from refinery.workflows.fix_outcome import to_document

    return {**to_document(outcome), "is_waiting": outcome.is_waiting}


def decide(task: Task, options: DecideOptions) -> Document:
    """Commit exactly the patch that was looked at, or end the session without it."""
    from refinery.workflows import fix as workflow
    from refinery.workflows import user_tests
    from refinery.workflows.fix_outcome import to_document
    from refinery.workflows.wiring import state_folder

    def ask(outcome: Any) -> workflow.Decision:
        if options.digest is None:
            return workflow.Decision("no", getpass.getuser())
        patch = outcome.chosen.patch if outcome.chosen else None
        if patch is None or patch.digest != options.digest:
            raise RefusedError(
                "the patch that waits is not the one that was approved", hint="look at it again"
            )
        return workflow.Decision("yes", getpass.getuser(), covers_held=options.held)

    tests = user_tests.chosen(task.workspace.settings, None, lambda named: False, task.say)
    asked = tests.asking(ask) if tests is not None else ask
    outcome = workflow.resume(task.workspace, options.session_id, asked, task.say)
    if tests is not None:
        outcome = tests.judge(outcome, state_folder(outcome.repository))
    return to_document(outcome)


def edit(task: Task, options: EditOptions) -> Document:
    """Prove a patch a person wrote in the place of the proposed one."""
    from refinery.model.codec import encode
    from refinery.workflows import fix_edit

    edited = fix_edit.edit(task.workspace, options.session_id, options.diff, task.say)
    trial = edited.attempt.trial
    return {
        **_waiting(edited.outcome),
        "edited": {
            "is_proven": edited.is_proven,
            "verdict": trial.verdict.value if trial else None,
            "reason": trial.reason if trial else edited.attempt.problem,
            "guard": encode(edited.attempt.guard),
        },
    }


def bisect(task: Task, options: BisectOptions) -> Document:
    """Find the commit that broke it."""
    from refinery.workflows import bisect as workflow

    request = workflow.BisectRequest(
        good=options.good,
        bad=options.bad,
        checks=tuple(options.checks),
        repeats=options.repeats,
        max_requests=options.max_requests,
        budget_usd=options.budget_usd,
    )
    return workflow.to_document(workflow.bisect(task.workspace, task.trace(), request, task.say))


def verify(task: Task, options: VerifyOptions) -> Document:
    """Execute the proof of a change again."""
    from pathlib import Path

    from refinery.codebase.repository import Repository
    from refinery.workflows import repositories
    from refinery.workflows import verify as workflow

    repository = Repository.open(repositories.find(None) or Path.cwd())
    task.say("executing the proof again")
    return workflow.to_document(workflow.verify(task.workspace, repository, options.change_id))


def guide(task: Task, options: GuideOptions) -> Document:
    """Do the work of a session's present page, and of those that follow at once."""
    from refinery.workflows.guide import engine
    from refinery.workflows.guide import session as sessions
    from refinery.workflows.guide.pages import Kind as PageKind

    kept = sessions.load(task.workspace.home, options.session_id)
    session = engine.resume(task.workspace, kept)
    while session.page().kind is PageKind.WORK:
        session.work(task.say)
    return session.to_document()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job."""

    options: type[Options]
    do: Callable[[Task, Any], Document]


ORDERED: dict[str, Kind] = {
    "diagnose": Kind(DiagnoseOptions, diagnose),
    "replay": Kind(ReplayOptions, replay),
    "what_if": Kind(WhatIfOptions, what_if),
    "fix": Kind(FixOptions, fix),
    "bisect": Kind(BisectOptions, bisect),
}
"""What can be ordered by name."""

STEPS: dict[str, Kind] = {
    **ORDERED,
    "verify": Kind(VerifyOptions, verify),
    "decide": Kind(DecideOptions, decide),
    "edit": Kind(EditOptions, edit),
    "guide": Kind(GuideOptions, guide),
}
"""What a process can be told to do; a fix is several steps."""
