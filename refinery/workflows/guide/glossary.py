"""Explains words, those on the screen and those an engineer may use."""

import re
from difflib import get_close_matches

WORDS: dict[str, str] = {
    "agent": "The program that answers your customers.",
    "always": "What you said holds for every conversation, whatever the customer asks.",
    "approve": "You say that the fix may take effect. Before that nothing is changed.",
    "before": "What the agent answers as it is now, before the fix.",
    "after": "What the agent answers with the fix.",
    "cause": "The place where the answer went wrong, not only where it showed.",
    "check": "What you said is right, put so that a computer can say yes or no to an answer.",
    "conversation": "What one customer asked and what the agent looked up, did and answered.",
    "customer": "Whoever wrote to the agent.",
    "details": "What an engineer wants to see: exact texts, names and numbers.",
    "engineer": "Somebody who may change how the agent is built.",
    "fix": "A small change to the agent that makes it answer as you said.",
    "good conversation": "One that somebody marked as right, or in which nothing looks wrong.",
    "hand over": "Everything is put into one folder, so that an engineer can go on from here.",
    "instructions": "The text the agent is given before each conversation.",
    "like this one": "Other conversations in which the same thing went wrong.",
    "looked up": "What the agent read while it was working on its answer.",
    "not proven": "The fix was tried and the answers did not get right often enough.",
    "passage": "A text, word for word as it stood in the conversation.",
    "proof": "The recorded conversations are played again, as the agent is and with the fix, and "
    "the answers are compared. Your customers notice nothing of it.",
    "tried out": "The recorded conversations were played again with the fix, apart from the real "
    "agent.",
    "unchanged": "Conversations that were right before and are still right with the fix.",
    "undo": "The fix is taken out again. Everything others did since stays.",
    # Words the screen does not use, but an engineer does.
    "branch": "A copy of the agent's files on which somebody works, apart from the one in use.",
    "commit": "A change of the agent's files that is kept with a date and a reason.",
    "diff": "The lines of a file that a fix takes away and puts in.",
    "git": "The program that keeps every version of the agent's files.",
    "json": "A way programs write data down.",
    "model": "The language program behind the agent that writes its texts.",
    "patch": "All the lines a fix changes.",
    "prompt": "The instructions and texts the model is given.",
    "repository": "The folder with the agent's files and all their earlier versions.",
    "replay": "Playing a recorded conversation again.",
    "sandbox": "A closed room for programs: the agent runs in it while fixes are tried out.",
    "tool": "Something the agent can use, e.g. to look up an order.",
    "trace": "The recording of one conversation.",
}


def explain(word: str) -> str:
    """What a word means; for an unknown one, the words that can be explained."""
    asked = re.sub(r"[^\w\s]", " ", word).casefold().strip()
    asked = " ".join(asked.split())
    found = WORDS.get(asked) or WORDS.get(asked.removesuffix("s"))
    if found is None:
        near = get_close_matches(asked, WORDS, n=1, cutoff=0.75)
        found = WORDS[near[0]] if near else None
        asked = near[0] if near else asked
    if found is None:
        return f"I have no explanation for “{asked[:40]}”. {known()}"
    return f"{asked}: {found}"


def known() -> str:
    """The words that can be explained and that the screen uses."""
    shown = [word for word in WORDS if word not in _ENGINEERS]
    return f"I can explain: {', '.join(sorted(shown))}."


_ENGINEERS = frozenset(list(WORDS)[list(WORDS).index("branch") :])
