"""Prompts of the agents, kept as markdown beside the code."""

from pathlib import Path

from refinery.safety.untrusted import FENCE_RULES

_FOLDER = Path(__file__).parent / "prompts"


def system_prompt(name: str) -> str:
    """The system prompt of an agent, with the rules of quoted data filled in."""
    text = (_FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return text.replace("{fence_rules}", FENCE_RULES)


def one_line(text: str, limit: int) -> str:
    """A model's line of text: white space joined, cut to a length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"
