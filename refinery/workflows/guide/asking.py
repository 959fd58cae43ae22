"""The pages that ask what was wrong and what would be right."""

import re

from refinery.errors import RefineryError
from refinery.workflows import check_book
from refinery.workflows.check_book import ALWAYS, QUESTION, WORDS
from refinery.workflows.guide import conversation, expecting, wording
from refinery.workflows.guide.agreeing import reading_of, settle
from refinery.workflows.guide.context import Context, chosen
from refinery.workflows.guide.pages import Choice, Kind, Page
from refinery.workflows.guide.wording import ACTION, BROKEN, FACT, FORBIDDEN, FORM, MISSING

KINDS = {
    FACT: "It says something that is not true",
    MISSING: "Something is missing from it",
    FORBIDDEN: "It says something it must not say",
    FORM: "The language, the length or the form is wrong",
    ACTION: "The agent did something wrong, or did not do what it should",
    BROKEN: "The agent broke off, or gave no answer at all",
}
_RIGHT = {
    FACT: "What would be right? For example: it must say 29 euros",
    MISSING: "What should it say as well? For example: it must mention the opening hours",
    FORBIDDEN: "Which words must not come up? For example: it must not say “guaranteed”",
    FORM: "How should it be? For example: in German, or: at most 20 words",
    ACTION: "What should the agent have done? For example: it must ask before it cancels",
    BROKEN: "What should it have answered? If any answer will do, type: any answer",
}
_NOT_UNDERSTOOD = (
    "I could not turn that into something that can be tried out. Please name the very words the "
    "answer must hold, or must not hold. For example: it must say “Monday”"
)

_ONLY_THIS = re.compile(
    r"\b(?:this|that)(?: (?:very|one|same))* (?:question|case|one|conversation|time)\b"
    r"|\bthis is asked\b|\bonly here\b|\bjust here\b",
    re.IGNORECASE,
)


class Wrong:
    """What kind of mistake it was."""

    def page(self, context: Context) -> Page:
        """The kinds, to choose from."""
        lines = conversation.lines_of(context.trace)
        marked = lines[min(context.session.marked or 0, len(lines) - 1)]
        return Page(
            step="wrong",
            kind=Kind.ASK,
            title="What is wrong here?",
            quotes=(f"{marked.who}: {marked.text}",),
            choices=tuple(
                Choice(str(number), label) for number, label in enumerate(KINDS.values(), 1)
            ),
            question="Type a number, or say it in your own words",
            takes_words=True,
        )

    def take(self, context: Context, text: str) -> None:
        """Choose a kind, or say it in words."""
        choice = chosen(text, self.page(context).choices)
        if choice is None and text.strip().isdecimal():
            context.again(f"Please type a number from 1 to {len(KINDS)}, or use your own words.")
            return
        names = list(KINDS)
        context.session.problem = names[int(choice.key) - 1] if choice else text[:500]
        context.go("right")


class Right:
    """What would have been right."""

    def page(self, context: Context) -> Page:
        """Ask, with what can be done by choice where there is a choice."""
        problem = context.session.problem
        return Page(
            step="right",
            kind=Kind.ASK,
            title="What would be right?",
            choices=_choices(context),
            question=_RIGHT.get(problem, _RIGHT[FACT]),
            takes_words=True,
        )

    def take(self, context: Context, text: str) -> None:
        """Turn the words into something that can be tried, or say why that fails."""
        session, trace = context.session, context.trace
        choice = chosen(text, _choices(context))
        words = _as_told(context, choice.key) if choice else text[:1000]
        about = wording.Situation(
            conversation.answer(trace), conversation.question(trace), session.problem
        )
        try:
            found = expecting.understand(context.workspace, trace, words, about)
        except RefineryError as error:
            session.trouble = str(error)
            context.again("The program that helps to understand you did not answer. Try again.")
            return
        session.words, session.readings = words, list(found.readings)
        if found.contradiction:
            context.again(f"These two cannot both be: {found.contradiction}. Which one is right?")
        elif found.readings:
            context.go("confirm")
        elif found.already:
            met = wording.told_all(list(found.already[:2]))
            context.again(
                f"But that is already so here: {met}, and in this conversation that is the case. "
                "What else should be different?"
            )
        else:
            context.again(_NOT_UNDERSTOOD)


class Confirm:
    """Whether the words were understood."""

    def page(self, context: Context) -> Page:
        """Read the expectation back."""
        readings = context.session.readings
        asked = conversation.title(context.trace)
        more = tuple(
            Choice(str(number), f"Not quite: {reading['told']}")
            for number, reading in enumerate(readings[1:], 2)
        )
        return Page(
            step="confirm",
            kind=Kind.ASK,
            title="Have I understood you?",
            said=(f"So, when somebody asks “{asked}”: {readings[0]['told']}.",),
            choices=(
                Choice("yes", "Yes, that is it"),
                *more,
                Choice("no", "No, let me say it again"),
            ),
            question="Is that right?",
            takes_words=True,
            details=tuple(f"{r['words']!r} → {', '.join(r['checks'])}" for r in readings),
        )

    def take(self, context: Context, text: str) -> None:
        """Confirm a reading, or say it again."""
        session = context.session
        choice = chosen(text, self.page(context).choices)
        if choice is None:
            is_number = text.strip().isdecimal()
            if is_number or len(text.strip()) < 4:
                context.again("Please type yes, no, or one of the numbers.")
            else:  # other words: what would be right is said again
                context.go("right")
                Right().take(context, text)
            return
        if choice.key == "no":
            context.go("right")
            return
        session.reading = 0 if choice.key == "yes" else int(choice.key) - 1
        context.go("scope")


class Scope:
    """Whether that holds always or only sometimes."""

    def page(self, context: Context) -> Page:
        """Global or conditional."""
        reading = reading_of(context)
        suggested = expecting.suggested_scope(reading["checks"])
        return Page(
            step="scope",
            kind=Kind.ASK,
            title="Is that always so?",
            said=(f"You said: {reading['told']}.",),
            choices=(
                Choice("1", "Only when this very question is asked"),
                Choice("2", "Only when the customer mentions certain words"),
                Choice("3", "Always, whatever the customer asks"),
            ),
            default="1" if suggested == QUESTION else "3",
            question="When does it hold?",
            takes_words=True,
        )

    def take(self, context: Context, text: str) -> None:
        """Choose, or name the words right away: `only for plan Pro`."""
        session = context.session
        choice = chosen(text, self.page(context).choices)
        condition = _condition(text)
        if choice is None and text.casefold().strip(" .!") in ("always", "yes", "all"):
            choice = self.page(context).choices[2]
        if choice is None and _ONLY_THIS.search(text):
            choice = self.page(context).choices[0]
        if choice is None and condition:
            session.scope = WORDS
            context.go("condition")
            Condition().take(context, condition)
        elif choice is None:
            context.again("Please type 1, 2 or 3.")
        elif choice.key == "2":
            session.scope = WORDS
            context.go("condition")
        else:
            session.scope, session.condition = (QUESTION if choice.key == "1" else ALWAYS), ""
            settle(context)


class Condition:
    """What a customer has to mention."""

    def page(self, context: Context) -> Page:
        """Ask for the words."""
        asked = conversation.title(context.trace)
        return Page(
            step="condition",
            kind=Kind.ASK,
            title="Only when the customer mentions what?",
            quotes=(f"Customer: {asked}",),
            question="Type the words, for example: plan Pro",
            takes_words=True,
        )

    def take(self, context: Context, text: str) -> None:
        """Take the words, if this conversation holds them."""
        words = _condition(text) or text.strip().strip("\"'“”")
        if not check_book.mentions(context.trace, words):
            context.again(
                f"In this conversation the customer does not mention “{words[:80]}”, so it would "
                "not count for this one. Please type words the customer used."
            )
            return
        context.session.condition = words[:200]
        settle(context)


def _choices(context: Context) -> tuple[Choice, ...]:
    """What can be chosen instead of typed."""
    problem = context.session.problem
    if problem == BROKEN:
        return (Choice("1", "Any answer will do, as long as it does not break off"),)
    if problem != ACTION:
        return ()
    used = conversation.helpers(context.trace)[:4]
    return tuple(
        Choice(str(number), f"It must not use “{conversation.plain_name(name)}” here")
        for number, name in enumerate(used, 1)
    )


def _as_told(context: Context, key: str) -> str:
    """The words of a choice."""
    if context.session.problem == BROKEN:
        return wording.NO_FAILURE
    name = conversation.helpers(context.trace)[int(key) - 1]
    return f"must not call `{name}`"


def _condition(text: str) -> str:
    """The words of `only for plan Pro`, `only when they mention plan Pro`; empty for others."""
    shape = re.match(
        r"\s*(?:no,? )?(?:it is )?(?:only|just)\s+(?:for|if|when|with|about|on)\s+"
        r"(?:(?:the |a )?(?:customer|user|they|he|she|somebody|someone|people)\s+)?"
        r"(?:(?:mentions?|says?|asks?|talks?)\s+(?:about |for )?)?(?P<words>.+)",
        text,
        re.IGNORECASE,
    )
    return shape["words"].strip(" .!\"'“”") if shape else ""
