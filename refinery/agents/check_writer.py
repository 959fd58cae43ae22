"""Lets a model write a deterministic check for an expectation no offline form reads."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from refinery.agents._prompt import one_line, system_prompt
from refinery.agents.judge import as_text
from refinery.errors import InputError
from refinery.llm.router import Model
from refinery.model.verdict import Check, ReplayResult
from refinery.replay import checks
from refinery.safety.untrusted import fence


class CheckDraft(BaseModel):
    """A check as the model writes it."""

    kind: Literal[
        "contains", "not_contains", "contains_any", "regex", "not_regex", "equals", "json_schema",
        "max_words", "min_words", "max_chars", "language", "not_language", "tool_called",
        "tool_not_called", "order", "asks_before", "none",
    ]  # fmt: skip
    value: str = ""
    field: str = Field(default="", description="dotted path into the result; empty: the answer")
    reason: str = ""


def write(model: Model, words: str, run: ReplayResult, tools: Sequence[str]) -> Check | None:
    """One deterministic check that says what the words say; None when there is none.

    Args:
        model: who writes it.
        words: the expectation, in the user's own words.
        run: a run that does not meet it; shown as quoted data.
        tools: names of the agent's tools.

    Raises:
        ModelError, BudgetError, CredentialsError: as `llm.router.Model.structured`.
    """
    question = (
        f"The expectation:\n{one_line(words, 2000)}\n\n"
        f"Tools: {one_line(', '.join(tools), 1000) or 'none'}\n\n"
        f"The run that did not meet it:\n{fence(as_text(run), 'run')}"
    )
    conversation = model.converse(system_prompt("check_writer"), question, purpose="write check")
    for _ in range(2):
        draft = conversation.structured(CheckDraft).value
        if draft.kind == "none":
            return None
        try:
            return checks.parse(str(Check(draft.kind, draft.value, draft.field or None)))
        except InputError as error:
            hint = f"{error} ({error.hint})" if error.hint else str(error)
            conversation.say(f"That is no check: {hint}. Write it again, or `none`.")
    return None
