"""The pages that take a fix out again, named by the conversation it was made for."""

import re
from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.errors import RefineryError
from refinery.model.verdict import Change
from refinery.workflows import changes, repositories
from refinery.workflows.guide import conversation
from refinery.workflows.guide.context import Context, Say, chosen
from refinery.workflows.guide.pages import Choice, Kind, Page
from refinery.workflows.wiring import state_folder

SHOWN = 8


class UndoPick:
    """Which fix to take out."""

    def page(self, context: Context) -> Page:
        """The fixes in effect, by their conversations."""
        found = _found(context)
        session = context.session
        session.listed = [change.change_id for change, _, _ in found]
        said = []
        if not found and session.query:
            said.append(f"No fix in effect was made for “{session.query}”.")
        elif not found:
            said.append("No fix is in effect.")
        return Page(
            step="undo_pick",
            kind=Kind.ASK if found or session.query else Kind.END,
            title="Which fix shall I take out?",
            said=tuple(said),
            choices=tuple(
                Choice(str(n), title, f"in effect since {conversation.when(change.created_ns)}")
                for n, (change, title, _) in enumerate(found, 1)
            ),
            default="1" if len(found) == 1 else None,
            question="Type a number, or words of the conversation",
            takes_words=True,
            details=tuple(f"{c.change_id} {c.commit[:12]} {c.title}" for c, _, _ in found),
        )

    def take(self, context: Context, text: str) -> None:
        """Choose by number, or name the conversation."""
        session = context.session
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            session.query = text[:200]
            return
        change_id = session.listed[int(choice.key) - 1]
        change = next(c for c, _, _ in _found(context) if c.change_id == change_id)
        session.change_id, session.trace_id = change_id, change.trace_id
        context.go("undo_confirm")


class UndoConfirm:
    """Whether to take it out."""

    def page(self, context: Context) -> Page:
        """Ask, with what that means."""
        change = changes.find(_home(context), context.session.change_id or "")
        trace = context.load(change.trace_id)
        title = conversation.title(trace) if trace else "a conversation that is no longer kept"
        return Page(
            step="undo_confirm",
            kind=Kind.ASK,
            title="Take this fix out?",
            said=(
                f"The fix for “{title}” was put into effect "
                f"{conversation.when(change.created_ns)}.",
                "Only the fix itself is taken out; everything others did since stays.",
            ),
            choices=(Choice("yes", "Yes, take it out"), Choice("no", "No, leave it")),
            question="Shall I?",
            details=(f"{change.change_id} {change.commit} {change.title}", *change.paths),
        )

    def take(self, context: Context, text: str) -> None:
        """Take it out, or leave it."""
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            context.again("Please type yes or no.")
        else:
            context.go("undo" if choice.key == "yes" else "undo_left")


class Undo:
    """Takes the fix out."""

    def page(self, context: Context) -> Page:
        """What is going on."""
        del context
        return Page("undo", Kind.WORK, "I am taking the fix out")

    def run(self, context: Context, say: Say) -> None:
        """Roll back, unless it has been done already."""
        repository, home = _repository(context), _home(context)
        try:
            changes.recover(repository, home)
            change = changes.find(home, context.session.change_id or "")
            if change.state == changes.APPLIED:
                reason = "a domain expert took it back"
                changes.rollback(repository, home, change.change_id, reason=reason)
        except (RefineryError, OSError) as error:
            context.session.trouble = str(error)
            say("The fix could not be taken out.")
            context.go("undo_failed")
            return
        context.go("undone")


class Undone:
    """The end of an undo."""

    def page(self, context: Context) -> Page:
        """Say what holds now."""
        del context
        return Page(
            step="undone",
            kind=Kind.END,
            title="The fix is out again",
            said=("The agent answers as it did before. Nothing else was changed.",),
        )


class UndoLeft:
    """The end of an undo that was not wanted."""

    def page(self, context: Context) -> Page:
        """Say what holds now."""
        del context
        return Page("undo_left", Kind.END, "The fix stays", ("Nothing was changed.",))


class UndoFailed:
    """The end of an undo that was not possible."""

    def page(self, context: Context) -> Page:
        """Say what to do."""
        said = (
            "Somebody has changed the same place since, or you may not change the agent. "
            "Nothing was changed. Please ask an engineer.",
        )
        details = (context.session.trouble, f"refinery rollback {context.session.change_id}")
        return Page(
            "undo_failed", Kind.END, "The fix could not be taken out", said, details=details
        )


def _found(context: Context) -> list[tuple[Change, str, str]]:
    """Fixes in effect whose conversation holds the words that were typed, newest first."""
    words = re.findall(r"\w[\w'-]*", context.session.query.casefold())
    found = []
    for change in changes.history(_home(context)):
        if change.state != changes.APPLIED:
            continue
        trace = context.load(change.trace_id)
        title = conversation.title(trace) if trace else change.title
        said = title
        if trace is not None:
            said = f"{conversation.said_by_customer(trace)} {conversation.answer(trace)}"
        if all(word in said.casefold() for word in words):
            found.append((change, title, said))
    return found[:SHOWN]


def _repository(context: Context) -> Repository:
    folder = repositories.find(context.repository)
    return Repository.open(folder or Path.cwd())


def _home(context: Context) -> Path:
    return state_folder(_repository(context).root)
