"""Small stores of conversations, and embedders that are real but peculiar."""

from collections.abc import Sequence
from pathlib import Path

from refinery.embedders.hash import HashEmbedder
from refinery.model.trace import Run
from refinery.stores.sqlite import SqliteStore
from tests.kits.traces import llm, run


def conversation(
    name: str, asked: str, answered: str, *, at_ms: int = 0, **fields: object
) -> list[Run]:
    """An agent run that answers, with a model call below it."""
    root = run(
        name,
        "agent",
        at_ms=at_ms,
        inputs={"messages": [{"role": "user", "content": asked}]},
        outputs={"messages": [{"role": "assistant", "content": answered}]},
        **fields,
    )
    return [root, llm(f"{name}/1", name, asked, answered, at_ms=at_ms + 1)]


def shop(path: Path) -> SqliteStore:
    """Five conversations of two users in three sessions, a minute apart."""
    store = SqliteStore(path)
    minute = 60_000
    store.write_runs(
        [
            *conversation("kettle", "The kettle refund never came", "Booked it again today",
                          user_id="ada", session_id="s1"),
            *conversation("lamp", "The lamp arrived with a cracked shade", "A new shade is sent",
                          at_ms=minute, user_id="ada", session_id="s1"),
            *conversation("invoice", "I need an invoice with our VAT number", "It is attached",
                          at_ms=2 * minute, user_id="ada", session_id="invoice-session"),
            *conversation("bob-kettle", "My kettle refund is late", "It was booked on Friday",
                          at_ms=3 * minute, user_id="bob", session_id="s1"),
            *conversation("broken", "Where is order 20417?", "", at_ms=4 * minute, user_id="bob",
                          session_id="s3", failed="lookup timed out"),
        ],
        source="test",
        project="shop",
    )  # fmt: skip
    store.write_runs(
        [run("broken/2", "tool", "broken", at_ms=4 * minute + 2, name="lookup_order",
             failed="lookup timed out", inputs={"order": "20417"})],
    )  # fmt: skip
    return store


class Counting(HashEmbedder):
    """Counts the texts it embeds."""

    def __init__(self, dimensions: int = 64) -> None:
        super().__init__(dimensions)
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.embedded += texts
        return super().embed(texts)


class Stopping(Counting):
    """Dies, as a process does, after so many texts."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if len(self.embedded) >= self._after:
            raise KeyboardInterrupt
        return super().embed(texts)
