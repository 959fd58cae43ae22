"""The pages from the cause to the proof of a fix."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from refinery import clock
from refinery.agents.attempt import Attempt
from refinery.errors import BudgetError, CredentialsError, ModelError, RefineryError
from refinery.model.failure import Finding
from refinery.model.verdict import Outcome, Verdict
from refinery.workflows import fix_stages, repositories
from refinery.workflows.fix import FixRequest
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.fix_stages import Place
from refinery.workflows.guide import figures, plain
from refinery.workflows.guide.context import ENGINEER, STOP, Context, Say, chosen
from refinery.workflows.guide.pages import Choice, Kind, Page
from refinery.workflows.guide.picking import can_be_tried

MOST_FIXES = 5
"""Fixes that are offered at most."""


class Look:
    """Looks for the cause and for what could be changed."""

    def page(self, context: Context) -> Page:
        """What is going on."""
        del context
        return Page("look", Kind.WORK, "I am looking for the cause", ("Nothing is changed yet.",))

    def run(self, context: Context, say: Say) -> None:
        """Diagnose and draft; a session of `fix` holds what came of it."""
        session, trace = context.session, context.trace
        session.tried, session.chosen, session.cause = {}, None, 0
        if not can_be_tried(trace):
            _stuck(context, "the recording does not say how the agent was started")
            return
        also = [t for t in map(context.load, session.joined) if t is not None]
        request = FixRequest(trace=trace, repository=context.repository, also=tuple(also))
        heard: list[str] = []
        try:
            outcome = fix_stages.propose(_place(context), request, heard.append)
        except (ModelError, BudgetError, CredentialsError) as error:
            say("The program that was to help did not answer; I go on without it.")
            session.trouble = str(error)
            outcome = fix_stages.propose(_without_model(context), request, heard.append)
        except RefineryError as error:
            _stuck(context, str(error))
            return
        session.fix_session = outcome.session_id
        context.go("cause" if outcome.diagnosis.findings else "stuck")


class Cause:
    """What went wrong, in plain words."""

    def page(self, context: Context) -> Page:
        """The cause, with the passages it rests on."""
        outcome = _outcome(context)
        finding = _finding(context, outcome)
        return Page(
            step="cause",
            kind=Kind.ASK,
            title="This is what went wrong",
            said=(plain.cause_told(finding), plain.sureness(finding)),
            quotes=tuple(plain.passages(finding, context.trace)),
            choices=(
                Choice("yes", "Yes, that may well be"),
                Choice("no", "No, look for another cause"),
                Choice("unsure", "I cannot tell"),
            ),
            default="yes",
            question="Does that sound right to you?",
            details=_cause_details(outcome, finding),
        )

    def take(self, context: Context, text: str) -> None:
        """Accept the cause, or show the next one."""
        choice = chosen(text, self.page(context).choices)
        outcome = _outcome(context)
        if choice is None:
            context.again("Please type yes, no, or unsure.")
        elif choice.key != "no":
            context.go("fix" if _drafts(outcome) else "stuck")
        elif context.session.cause + 1 < len(outcome.diagnosis.findings):
            context.session.cause += 1
            context.again("Then it may be this:")
        elif _drafts(outcome):
            context.again("I know of no other cause. These are the fixes I can try out anyway.")
            context.go("fix")
        else:
            context.go("stuck")


class Fix:
    """Which fix to try."""

    def page(self, context: Context) -> Page:
        """The fixes, by what they change for customers."""
        offered = _offered(context)
        return Page(
            step="fix",
            kind=Kind.ASK,
            title="What could be changed",
            said=("Choose one; it is tried out on recorded conversations before it counts.",),
            choices=(
                *_fixes(context, offered),
                ENGINEER,
            ),
            default="1",
            question="Which one shall I try out?",
            details=tuple(
                f"{n}: {a.hypothesis.hypothesis_id} {a.hypothesis.title} "
                f"[{a.hypothesis.strategy}, guard: {a.guard.outcome.value if a.guard else '-'}]"
                for n, a in enumerate(offered, 1)
            ),
        )

    def take(self, context: Context, text: str) -> None:
        """Choose one."""
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            context.again("Please type the number of a fix, or engineer.")
        elif choice.key == "engineer":
            context.go("hand")
        else:
            offered = _offered(context)
            context.session.chosen = offered[int(choice.key) - 1].hypothesis.hypothesis_id
            context.go("try")


class Try:
    """Tries the chosen fix out."""

    def page(self, context: Context) -> Page:
        """What is going on."""
        del context
        said = (
            "I play the recorded conversations again, as the agent is now and with the fix.",
            "Your customers notice nothing of it. This can take a minute or two.",
        )
        return Page("try", Kind.WORK, "I am trying it out", said)

    def run(self, context: Context, say: Say) -> None:
        """Prove it; doing it again after a crash starts the proof anew."""
        session = context.session
        name, heard = session.chosen or "", _listening(say)
        try:
            outcome = fix_stages.prove(_place(context), session.fix_session or "", name, heard)
        except RefineryError as error:
            _stuck(context, str(error))
            return
        attempt = _attempt(outcome, name)
        trial = attempt.trial if attempt else None
        session.tried[name] = trial.verdict.value if trial else "unverifiable"
        context.go("proof")


class Proof:
    """What the trial showed, and the decision."""

    def page(self, context: Context) -> Page:
        """Answers before and after, and the figures as they were measured."""
        outcome = _outcome(context)
        attempt = _attempt(outcome, context.session.chosen or "")
        trial = attempt.trial if attempt else None
        if attempt is None or trial is None:
            return _no_proof(context)
        told = figures.told(trial, context.load)
        reason = _no_approval(context, attempt)
        approve = () if reason else (Choice("approve", "Approve: put it into effect"),)
        others = [a for a in _offered(context) if a.hypothesis != attempt.hypothesis]
        another = (Choice("another", "Try another fix"),) if others else ()
        said = (plain.change_told(attempt.hypothesis), *told.said, *((reason,) if reason else ()))
        return Page(
            step="proof",
            kind=Kind.ASK,
            title=told.title,
            said=said,
            pairs=told.pairs,
            choices=(*approve, *another, ENGINEER, STOP),
            question="What shall I do?",
            details=figures.details(attempt),
        )

    def take(self, context: Context, text: str) -> None:
        """Approve, try another, hand over, or leave it."""
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            keys = ", ".join(choice.key for choice in self.page(context).choices)
            context.again(f"Please type one of: {keys}.")
            return
        if choice.key == "approve":
            context.session.approved_ns = clock.now_ns()
        steps = {"approve": "keep", "another": "fix", "engineer": "hand", "stop": "stopped"}
        context.go(steps[choice.key])


def _stuck(context: Context, why: str) -> None:
    context.session.trouble = why
    context.go("stuck")


def _place(context: Context) -> Place:
    return Place(context.workspace, context.repository)


def _without_model(context: Context) -> Place:
    settings = context.workspace.settings
    values = settings.values.model_copy(update={"model": None})
    workspace = replace(context.workspace, settings=replace(settings, values=values))
    return Place(workspace, context.repository)


def _outcome(context: Context) -> FixOutcome:
    return fix_stages.look(_place(context), context.session.fix_session or "")


def _finding(context: Context, outcome: FixOutcome) -> Finding:
    findings = outcome.diagnosis.findings
    return findings[min(context.session.cause, len(findings) - 1)]


def _cause_details(outcome: FixOutcome, finding: Finding) -> tuple[str, ...]:
    place = finding.source
    where = f"{place.file}:{place.line_start}-{place.line_end}" if place else "no place was found"
    return (
        f"{finding.finding_id} {finding.category} ({finding.engine}, {finding.confidence:.0%})",
        finding.title,
        finding.explanation,
        where,
        f"session {outcome.session_id}",
    )


def _offered(context: Context) -> list[Attempt]:
    """Fixes that can be tried, those of the confirmed cause first."""
    outcome = _outcome(context)
    finding = _finding(context, outcome)
    drafts = _drafts(outcome)
    ranked = sorted(drafts, key=lambda a: a.hypothesis.finding_id != finding.finding_id)
    return ranked[:MOST_FIXES]


def _fixes(context: Context, offered: list[Attempt]) -> Iterator[Choice]:
    """The fixes by what they change; two that sound alike are told apart."""
    seen: Counter[str] = Counter()
    for number, attempt in enumerate(offered, 1):
        told = plain.change_told(attempt.hypothesis)
        seen[told] += 1
        again = f" (in another way, {seen[told]})" if seen[told] > 1 else ""
        yield Choice(str(number), told + again, _note(context, attempt))


def _drafts(outcome: FixOutcome) -> list[Attempt]:
    """Every attempt that has, or had, a change that may be tried."""
    return [
        attempt
        for attempt in outcome.attempts
        if attempt.is_provable or (attempt.guard and attempt.guard.outcome is not Outcome.BLOCK)
    ]


def _attempt(outcome: FixOutcome, hypothesis_id: str) -> Attempt | None:
    found = (a for a in outcome.attempts if a.hypothesis.hypothesis_id == hypothesis_id)
    return next(found, None)


def _note(context: Context, attempt: Attempt) -> str:
    notes = []
    verdict = context.session.tried.get(attempt.hypothesis.hypothesis_id)
    if verdict is not None:
        notes.append("tried out: " + figures.VERDICTS.get(verdict, "not proven"))
    if attempt.guard and attempt.guard.outcome is Outcome.HOLD:
        notes.append("an engineer has to look at this one before it can take effect")
    if risk := plain.risk_told(attempt.hypothesis):
        notes.append(f"mind: {risk}")
    return "; ".join(notes)


def _no_approval(context: Context, attempt: Attempt) -> str:
    """Why the expert cannot approve this; empty when nothing stands in the way."""
    trial, guard = attempt.trial, attempt.guard
    if trial is None or trial.verdict is not Verdict.FIXED:
        return "It is not proven that this helps, so it cannot be put into effect from here."
    if guard is None or guard.outcome is not Outcome.ALLOW:
        return (
            "This change reaches further than the mistake itself, so an engineer has to look at "
            "it before it takes effect."
        )
    if not _may_write(repositories.choose(context.repository, context.trace)):
        return "You may not change the agent's files, so an engineer has to put it into effect."
    return ""


def _may_write(root: Path) -> bool:
    folders = [root, root / ".git", root / ".git" / "objects"]
    return all(os.access(folder, os.W_OK) for folder in folders if folder.is_dir())


def _no_proof(context: Context) -> Page:
    return Page(
        step="proof",
        kind=Kind.ASK,
        title="It could not be tried out",
        said=("The conversations could not be played again, so nothing is known of this fix.",),
        choices=(Choice("another", "Try another fix"), ENGINEER, STOP),
        question="What shall I do?",
        details=(context.session.trouble or "no trial was made",),
    )


def _listening(say: Say) -> Callable[[str], None]:
    """Turns what the pipeline says into plain sentences."""
    heard: set[str] = set()

    def hear(line: str) -> None:
        plainly = ""
        if line.startswith("replaying"):
            plainly = "First as the agent is now …"
        elif ": runs" in line:
            plainly = "… then with the fix …"
        elif any(f": {verdict.value} (" in line for verdict in Verdict):
            plainly = "… and now I compare the answers."
        if plainly and plainly not in heard:
            heard.add(plainly)
            say(plainly)

    return hear
