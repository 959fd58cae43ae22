"""The vendors whose clients are recorded, and how their recording is switched on."""

from collections.abc import Callable
from typing import Any

from refinery.recorders import _calls, _listening
from refinery.recorders._book import Book

OPENAI = _calls.Vendor("openai")
ANTHROPIC = _calls.Vendor("anthropic")


def arm_openai(current_book: Callable[[], Book | None]) -> None:
    """Record every `openai` client of the process; called once the package is imported."""
    import openai

    _arm(OPENAI, (openai.OpenAI, openai.AsyncOpenAI), current_book)


def arm_anthropic(current_book: Callable[[], Book | None]) -> None:
    """Record every `anthropic` client of the process; called once the package is imported."""
    import anthropic

    _arm(ANTHROPIC, (anthropic.Anthropic, anthropic.AsyncAnthropic), current_book)


def wrap(client: Any, vendor: _calls.Vendor, current_book: Callable[[], Book | None]) -> None:
    """Record the calls of one client and of its copies, which share its HTTP client."""
    vendor.current_book = current_book
    _calls.patch(type(client), vendor, _listening.answered)
    http = getattr(client, "_client", None)
    if http is not None:
        vendor.clients.add(http)


def _arm(
    vendor: _calls.Vendor, clients: tuple[type, ...], current_book: Callable[[], Book | None]
) -> None:
    vendor.current_book = current_book
    for client in clients:
        _calls.patch(client, vendor, _listening.answered)
    vendor.is_armed = True
    if book := current_book():
        book.origin.begin()
