"""The pages on which what was said is held against other conversations, and then kept."""

from dataclasses import replace

from refinery.model.trace import Json, Label
from refinery.workflows import check_book, traces
from refinery.workflows.check_book import QUESTION, Entry
from refinery.workflows.guide import conversation, expecting
from refinery.workflows.guide.context import Context, chosen
from refinery.workflows.guide.pages import Choice, Kind, Page


class Clash:
    """What was said does not fit with what was marked as right before."""

    def page(self, context: Context) -> Page:
        """Show both sides and ask again."""
        session = context.session
        traces_ = [t for t in map(context.load, session.clashing) if t is not None]
        said = [
            f"Somebody marked {_many(len(traces_))} as right, but by what you said "
            f"({reading_of(context)['told']}) {'it' if len(traces_) == 1 else 'they'} would be "
            "wrong:"
        ]
        return Page(
            step="clash",
            kind=Kind.ASK,
            title="That does not fit together",
            said=tuple(said),
            quotes=tuple(
                f"{conversation.title(t)} → {conversation.shortened(conversation.answer(t), 160)}"
                for t in traces_[:3]
            ),
            choices=(
                Choice("1", "They are wrong too: what I said now counts"),
                Choice("2", "It holds only for the question of this conversation"),
                Choice("3", "Let me say it again"),
            ),
            question="Which is it?",
            details=tuple(session.clashing),
        )

    def take(self, context: Context, text: str) -> None:
        """Decide which of the two counts."""
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            context.again("Please type 1, 2 or 3.")
        elif choice.key == "3":
            context.go("right")
        elif choice.key == "2" and context.session.scope != QUESTION:
            context.session.scope, context.session.condition = QUESTION, ""
            settle(context)
        elif choice.key == "2":
            context.again("They are about this very question already. Please type 1 or 3.")
        else:
            evidence: Json = {"overruled_by": context.trace.trace_id}
            for trace_id in context.session.clashing:
                checks = tuple(reading_of(context)["checks"])
                said = Label("fail", context.session.words, checks)
                traces.label(context.workspace, trace_id, said, evidence=evidence)
            _keep(context)


class Similar:
    """Whether others that look wrong in the same way are to be mended too."""

    def page(self, context: Context) -> Page:
        """Show some of them."""
        found = [t for t in map(context.load, context.session.similar) if t is not None]
        return Page(
            step="similar",
            kind=Kind.ASK,
            title="Others like this one",
            said=(
                f"In {_many(len(found))} the same thing seems to have gone wrong "
                f"({reading_of(context)['told']}, and it was not so):",
            ),
            quotes=tuple(
                f"{conversation.title(t)} → {conversation.shortened(conversation.answer(t), 160)}"
                for t in found[:5]
            ),
            choices=(
                Choice("yes", "Yes, these are wrong too: a fix has to mend them as well"),
                Choice("no", "No, only look at the one I chose"),
            ),
            question="Are these wrong in the same way?",
            details=tuple(context.session.similar),
        )

    def take(self, context: Context, text: str) -> None:
        """Take them in, or leave them."""
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            context.again("Please type yes or no.")
            return
        session = context.session
        session.joined = list(session.similar) if choice.key == "yes" else []
        for trace_id in session.joined:
            said = Label("fail", session.words, tuple(reading_of(context)["checks"]))
            traces.label(context.workspace, trace_id, said)
        context.go("look")


def settle(context: Context) -> None:
    """Hold what was said against what is known, then keep it or ask which counts."""
    entry = _entry(context)
    known = check_book.entries(context.workspace.home)
    if clash := expecting.earlier_clash(known, context.trace, entry.checks):
        context.go("right")
        context.again(
            f"Earlier it was said of a conversation like this: {clash}. Both cannot be. Please "
            "say again what is right, or start with the earlier conversation."
        )
        return
    context.session.clashing = expecting.good_that_fail(context.workspace, entry)
    if context.session.clashing:
        context.go("clash")
    else:
        _keep(context)


def _keep(context: Context) -> None:
    """Make the words a check and a label, and look for others like this one."""
    session, reading, entry = context.session, reading_of(context), _entry(context)
    evidence = {**reading.get("evidence", {}), "scope": entry.scope, "condition": entry.condition}
    said = Label("fail", session.words, entry.checks)
    traces.label(context.workspace, context.trace.trace_id, said, evidence=evidence)
    same = [
        known
        for known in check_book.entries(context.workspace.home)
        if known.trace_id == entry.trace_id and known.change_id is None
    ]
    kept = replace(entry, check_id=same[-1].check_id) if same else entry
    check_book.write(context.workspace.home, kept)
    session.similar = expecting.failing_alike(context.workspace, entry)
    session.joined = []
    context.go("similar" if session.similar else "look")


def _entry(context: Context) -> Entry:
    session = context.session
    checks = tuple(str(check) for check in reading_of(context)["checks"])
    entry = check_book.new_entry(context.trace, session.words, checks, session.scope)
    return replace(entry, condition=session.condition)


def reading_of(context: Context) -> dict[str, Json]:
    """The reading of the expert's words that was confirmed, else the first."""
    reading: dict[str, Json] = context.session.readings[context.session.reading or 0]
    return reading


def _many(count: int) -> str:
    return "1 other conversation" if count == 1 else f"{count} other conversations"
