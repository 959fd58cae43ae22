"""Puts everything an engineer needs to go on into one folder."""

import json
from collections.abc import Iterator
from pathlib import Path

from refinery import home
from refinery.agents.attempt import Attempt
from refinery.errors import InputError, RefineryError
from refinery.model.codec import encode
from refinery.model.trace import Trace
from refinery.safety.untrusted import visible
from refinery.workflows import fix_stages
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.fix_stages import Place
from refinery.workflows.guide import conversation, figures, wording
from refinery.workflows.guide.context import Context, Say
from refinery.workflows.guide.pages import Kind, Page

FOLDER = "handovers"
"""Folder of the hand-overs in a `.refinery` folder."""


class Hand:
    """Prepares the hand-over."""

    def page(self, context: Context) -> Page:
        """What is going on."""
        del context
        return Page("hand", Kind.WORK, "I am putting everything together for an engineer")

    def run(self, context: Context, say: Say) -> None:
        """Write the folder; written again it is the same."""
        try:
            folder = write(context)
        except (RefineryError, OSError) as error:
            context.session.trouble = str(error)
            say("The folder could not be written.")
            context.go("stopped")
            return
        context.session.handover = str(folder)
        context.go("handed")


class Handed:
    """The end of a session an engineer goes on with."""

    def page(self, context: Context) -> Page:
        """Say where everything is."""
        return Page(
            step="handed",
            kind=Kind.END,
            title="Ready for an engineer",
            said=(
                "Nothing was changed. Give this folder to an engineer; it holds the conversation, "
                "what you said, and everything that was tried:",
            ),
            quotes=(context.session.handover or "",),
        )


def write(context: Context) -> Path:
    """Write the hand-over of a session.

    Returns:
        The folder: `README.md`, `conversation.json`, and `fix.patch` when there is a change.

    Raises:
        InputError: the folder cannot be written.
    """
    session, trace = context.session, context.trace
    folder = home.prepare(context.workspace.home) / FOLDER / session.session_id
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        outcome = _outcome(context)
        best = _best(outcome, session.chosen)
        (folder / "README.md").write_text(
            "\n".join(_readme(context, outcome, best)) + "\n", encoding="utf-8", errors="replace"
        )
        runs = {"trace_id": trace.trace_id, "runs": encode(trace.runs)}
        (folder / "conversation.json").write_text(json.dumps(runs, indent=1), encoding="utf-8")
        if best and best.patch:
            (folder / "fix.patch").write_bytes(best.patch.diff.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(
            f"the hand-over cannot be written to {folder}: {error.strerror}",
            hint="set REFINERY_HOME to a folder you may write",
        ) from error
    return folder


def _outcome(context: Context) -> FixOutcome | None:
    if context.session.fix_session is None:
        return None
    return fix_stages.look(
        Place(context.workspace, context.repository), context.session.fix_session
    )


def _best(outcome: FixOutcome | None, chosen: str | None) -> Attempt | None:
    """The attempt that was tried last, else the first with a change."""
    attempts = outcome.attempts if outcome else ()
    tried = next((a for a in attempts if a.hypothesis.hypothesis_id == chosen and a.patch), None)
    return tried or next((a for a in attempts if a.patch), None)


def _readme(context: Context, outcome: FixOutcome | None, best: Attempt | None) -> Iterator[str]:
    session, trace = context.session, context.trace
    yield f"# {conversation.title(trace)}"
    yield f"\nTrace `{trace.trace_id}`. Whole recording: `conversation.json`.\n"
    yield "## The conversation\n"
    for line in conversation.lines_of(trace, session.marked):
        mark = "  ← wrong" if line.is_marked else ""
        yield f"- **{line.who}**: {_inline(line.text)}{mark}"
    yield "\n## What the domain expert says\n"
    yield f"- wrong: {_inline(session.problem)}"
    yield f"- right: {_inline(session.words)}"
    if session.readings:
        reading = session.readings[session.reading or 0]
        yield f"- read as: {_inline(wording.told_all(reading['checks']))}"
        yield from (f"- check: `{check}`" for check in reading["checks"])
    yield f"- holds: {session.scope or 'not said'} {_inline(session.condition)}"
    if session.joined:
        yield f"- also wrong: {', '.join(session.joined)}"
    yield from _of_fix(outcome, best)
    yield "\n## Go on\n"
    yield from _next(context, outcome, trace)


def _of_fix(outcome: FixOutcome | None, best: Attempt | None) -> Iterator[str]:
    if outcome is None:
        return
    yield "\n## Cause\n"
    for finding in outcome.diagnosis.findings[:5]:
        place = finding.source
        where = f" (`{place.file}:{place.line_start}`)" if place else ""
        likely = finding.likelihood.value
        yield f"- {finding.finding_id} {_inline(finding.title)} [{likely}]{where}"
        yield f"  {_inline(finding.explanation)}"
    yield "\n## Changes considered\n"
    for attempt in outcome.attempts:
        trial = attempt.trial
        became = f"{trial.verdict.value}: {trial.reason}" if trial else attempt.problem
        hypothesis = attempt.hypothesis
        yield f"- {hypothesis.hypothesis_id} {_inline(hypothesis.title)}: {became or 'not tried'}"
    if best is not None:
        yield "\n## The change in `fix.patch`\n"
        yield "```text"
        yield from (visible(line).replace("```", "'''") for line in figures.details(best))
        yield "```"


def _next(context: Context, outcome: FixOutcome | None, trace: Trace) -> Iterator[str]:
    trouble = context.session.trouble
    if trouble:
        yield f"The session ended with: {_inline(trouble)}\n"
    if outcome is not None and outcome.is_waiting:
        yield f"    refinery fix --resume {outcome.session_id}    # look at it and approve"
    yield f"    refinery diagnose {trace.trace_id}"
    yield f"    refinery fix {trace.trace_id}"
    yield "    refinery trial fix.patch --on " + trace.trace_id


def _inline(text: str) -> str:
    return visible(" ".join(text.split())).replace("<", "&lt;")
