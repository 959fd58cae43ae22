"""The last pages: the fix is put into effect, an engineer has to help, or nothing is changed."""

import getpass

from refinery.codebase.repository import Repository
from refinery.errors import RefineryError, RefusedError
from refinery.workflows import changes, check_book, fix_stages, repositories
from refinery.workflows.fix import Decision
from refinery.workflows.fix_stages import Place
from refinery.workflows.guide import conversation
from refinery.workflows.guide.context import ENGINEER, STOP, Context, Say, chosen
from refinery.workflows.guide.pages import Choice, Kind, Page
from refinery.workflows.wiring import state_folder


class Keep:
    """Puts the approved fix into effect."""

    def page(self, context: Context) -> Page:
        """What is going on."""
        del context
        return Page("keep", Kind.WORK, "I am putting the fix into effect")

    def run(self, context: Context, say: Say) -> None:
        """Commit, unless it has been done: a process may have died right after it."""
        session = context.session
        try:
            session.change_id = _made_already(context) or self._commit(context)
        except (RefineryError, OSError) as error:
            session.trouble = str(error)
            session.approved_ns = None
            say("The fix could not be put into effect, and nothing was changed.")
            context.again(
                "The fix could not be put into effect from here: you may not be allowed to change "
                "the agent, or somebody is changing it right now. You can hand it over."
            )
            context.go("proof")
            return
        home = context.workspace.home
        for trace_id in (session.trace_id or "", *session.joined):
            check_book.answered_by(home, trace_id, session.change_id)
        context.go("done")

    def _commit(self, context: Context) -> str:
        decision = Decision("yes", context.approver or getpass.getuser())
        outcome = fix_stages.decide(
            Place(context.workspace, context.repository),
            context.session.fix_session or "",
            decision,
            lambda _: None,
        )
        if outcome.change is None:
            raise RefusedError("the approved change was not made")
        return outcome.change.change_id


def _made_already(context: Context) -> str | None:
    """The change this session's approval led to, also when the process died right after it."""
    folder = repositories.choose(context.repository, context.trace)
    repository = Repository.open(folder)
    home = state_folder(repository.root)
    changes.recover(repository, home)
    since = context.session.approved_ns or 0
    for change in changes.history(home):
        is_ours = change.trace_id == context.session.trace_id and change.created_ns >= since
        if is_ours and change.state == changes.APPLIED:
            return change.change_id
    return None


class Stuck:
    """Nothing can be tried here."""

    def page(self, context: Context) -> Page:
        """Say so, and offer the hand-over."""
        has_cause = context.session.fix_session is not None
        said = (
            "I know no change that I could try out for this."
            if has_cause
            else "This conversation cannot be played again here, so no fix can be tried out."
        )
        return Page(
            step="stuck",
            kind=Kind.ASK,
            title="Here an engineer has to help",
            said=(said, "What you said is kept, and goes to the engineer with everything else."),
            choices=(ENGINEER, Choice("again", "Say it again in other words"), STOP),
            default="engineer",
            question="What shall I do?",
            details=(context.session.trouble or "no hypothesis has a change that may be tried",),
        )

    def take(self, context: Context, text: str) -> None:
        """Hand over, or stop."""
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            context.again("Please type engineer, again, or stop.")
            return
        context.go({"engineer": "hand", "again": "right", "stop": "stopped"}[choice.key])


class Done:
    """The end of a session that led to a fix."""

    def page(self, context: Context) -> Page:
        """Say what was done, and how to take it back."""
        title = conversation.title(context.trace)
        word = _naming(title)
        return Page(
            step="done",
            kind=Kind.END,
            title="The fix is in effect",
            said=(
                f"When it was tried out, the agent answered “{title}” as you said.",
                "What you said is kept: should the mistake come back, you will be told.",
                f'To take the fix out again, type: refinery guide --undo "{word}"',
            ),
            details=(f"change {context.session.change_id}",),
        )


def _naming(title: str) -> str:
    """A few words that name a conversation."""
    words = [word.strip("?!.,:;\"'“”") for word in title.split()]
    return " ".join([word for word in words if len(word) > 3][:3]) or title[:40]


class Stopped:
    """The end of a session that was left."""

    def page(self, context: Context) -> Page:
        """Say that nothing was changed."""
        del context
        return Page(
            step="stopped",
            kind=Kind.END,
            title="Nothing was changed",
            said=("What you said is kept, so that the same mistake can be recognised again.",),
        )
