"""The session of a domain expert: pages that ask, work between them, kept after every step.

    pick ─▶ mark ─▶ wrong ─▶ right ─▶ confirm ─▶ scope (─▶ condition) (─▶ clash) (─▶ similar)
      ─▶ [look] ─▶ cause ─▶ fix ─▶ [try] ─▶ proof ─▶ [keep] ─▶ done
    stuck, proof ─▶ [hand] ─▶ handed      undo_pick ─▶ undo_confirm ─▶ [undo] ─▶ undone

Steps in brackets work. A terminal, a web page and a script drive it alike: `page`, then `answer`
or `work`, until the page is an end. A process may die anywhere; another one loads the session and
asks the same page again, or does the same work again, which is harmless.
"""

from dataclasses import dataclass
from pathlib import Path

from refinery.errors import InputError
from refinery.model.trace import Json, Trace
from refinery.workflows.guide import (
    agreeing,
    asking,
    ending,
    glossary,
    handover,
    mending,
    pages,
    picking,
    undoing,
)
from refinery.workflows.guide import (
    session as sessions,
)
from refinery.workflows.guide.context import Context, End, Say, Step, Work
from refinery.workflows.guide.pages import Kind, Page
from refinery.workflows.guide.session import Session
from refinery.workflows.wiring import Workspace

MAX_ANSWER = 4_000
"""Characters of an answer that are read."""
ASKING: dict[str, Step] = {
    "pick": picking.Pick(),
    "mark": picking.Mark(),
    "wrong": asking.Wrong(),
    "right": asking.Right(),
    "confirm": asking.Confirm(),
    "scope": asking.Scope(),
    "condition": asking.Condition(),
    "clash": agreeing.Clash(),
    "similar": agreeing.Similar(),
    "cause": mending.Cause(),
    "fix": mending.Fix(),
    "proof": mending.Proof(),
    "stuck": ending.Stuck(),
    "undo_pick": undoing.UndoPick(),
    "undo_confirm": undoing.UndoConfirm(),
}
WORKING: dict[str, Work] = {
    "look": mending.Look(),
    "try": mending.Try(),
    "keep": ending.Keep(),
    "hand": handover.Hand(),
    "undo": undoing.Undo(),
}
ENDS: dict[str, End] = {
    "done": ending.Done(),
    "stopped": ending.Stopped(),
    "handed": handover.Handed(),
    "undone": undoing.Undone(),
    "undo_left": undoing.UndoLeft(),
    "undo_failed": undoing.UndoFailed(),
}
"""The last pages."""


@dataclass(slots=True)
class Guide:
    """One session over real parts."""

    context: Context

    @property
    def session(self) -> Session:
        """What has been said, and where the session stands."""
        return self.context.session

    def page(self) -> Page:
        """What is to be shown now.

        Raises:
            NotFoundError: the conversation is no longer in the store.
        """
        name = self.session.step
        step: End | None = ASKING.get(name) or WORKING.get(name) or ENDS.get(name)
        if step is None:
            raise InputError(
                f"the session stands at an unknown step {name!r}",
                hint="it was made by a newer version; start a new one: refinery guide",
            )
        page = step.page(self.context)
        if page.kind is Kind.END and not self.session.is_over:
            self.session.is_over = True
            self._keep()
        return page

    @property
    def remark(self) -> str:
        """What is to be said before the page, e.g. why an answer was not understood."""
        return self.session.remark

    def answer(self, text: str) -> None:
        """Take an answer to the present page, and keep the session.

        Nonsense is not an error: the same page comes again with a remark.

        Raises:
            InputError: the page asks nothing, or the session cannot be kept.
        """
        name = self.session.step
        if name not in ASKING:
            raise InputError("this page asks nothing", hint="let it work, or start a new session")
        said = text[:MAX_ANSWER].replace("\x00", "").strip()
        said = said.encode("utf-8", "replace").decode()
        self.session.remark = ""
        if said.casefold() in ("back", "go back"):
            self._back()
        elif not said and (default := ASKING[name].page(self.context).default) is None:
            self.context.again("Please type an answer, or ? for help.")
        else:
            ASKING[name].take(self.context, said or default or "")
            if self.session.step != name:
                self.session.trail.append(name)
        self._keep()

    def work(self, say: Say) -> None:
        """Do the work of the present page, and keep the session.

        Args:
            say: is told what is going on, a plain sentence at a time.

        Raises:
            InputError: the page is none of work, or the session cannot be kept.
        """
        name = self.session.step
        if name not in WORKING:
            raise InputError("there is nothing to do on this page")
        self.session.remark = ""
        WORKING[name].run(self.context, say)
        self._keep()

    def explain(self, word: str) -> str:
        """What a word means."""
        return glossary.explain(word) if word.strip() else glossary.known()

    def to_document(self) -> dict[str, Json]:
        """The session and its page as JSON."""
        session = self.session
        return {
            "session_id": session.session_id,
            "step": session.step,
            "trace_id": session.trace_id,
            "expectation": session.words,
            "checks": [
                check
                for reading in session.readings[session.reading or 0 :][:1]
                for check in reading["checks"]
                if session.reading is not None
            ],
            "scope": session.scope or None,
            "condition": session.condition or None,
            "fix_session": session.fix_session,
            "verdicts": dict(session.tried),
            "change_id": session.change_id,
            "handover": session.handover,
            "over": session.is_over,
            "remark": session.remark,
            "page": pages.to_document(self.page()),
        }

    def _back(self) -> None:
        if self.session.trail:
            self.context.go(self.session.trail.pop())
        else:
            self.context.again("This is the first page.")

    def _keep(self) -> None:
        sessions.save(self.context.workspace.home, self.session)


def start(
    workspace: Workspace, *, trace: Trace | None = None, repository: Path | None = None
) -> Guide:
    """Begin a session.

    Args:
        workspace: store and settings.
        trace: the conversation; None: it is picked on the first page.
        repository: the agent's; None: this folder's.
    """
    session = sessions.create(workspace.home, "mark" if trace else sessions.FIRST)
    if trace is not None:
        session.trace_id = trace.trace_id
        sessions.save(workspace.home, session)
    return Guide(Context(workspace, session, repository))


def undo(workspace: Workspace, words: str = "", *, repository: Path | None = None) -> Guide:
    """Begin a session that takes a fix out, named by words of its conversation."""
    session = sessions.create(workspace.home, sessions.UNDO_FIRST)
    session.query = words[:200]
    sessions.save(workspace.home, session)
    return Guide(Context(workspace, session, repository))


def resume(workspace: Workspace, session: Session, *, repository: Path | None = None) -> Guide:
    """Go on with a session that was kept."""
    return Guide(Context(workspace, session, repository))
