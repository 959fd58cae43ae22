"""Conversations of several users with the same words, for tests of who sees what."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from refinery.model.trace import Feedback, Run
from refinery.ports import Store
from refinery.server.grants import Grants
from tests.kits.traces import llm, run
from tests.server.api import Api

CANARY = "canary"
"""In every id, name and text of others; Ada's data has the other words in common with theirs."""
WORDS = ("lamp", "refund", "invoice", "parcel", "hotel")


@dataclass(frozen=True)
class Written:
    """One trace as it is written."""

    runs: tuple[Run, ...]
    project: str | None
    said: Feedback | None
    is_adas: bool


def conversation(number: int, users: Sequence[str | None], chance: random.Random) -> Written:
    """A trace of three runs naming these users; of others all texts have canaries."""
    is_adas = users[0] == "ada" and set(users) <= {"ada", None}
    mark = "" if is_adas else f" {CANARY}{number}"
    trace_id = f"{'own' if is_adas else CANARY}-{number:04}"
    words = " ".join(chance.choices(WORDS, k=6))
    project = chance.choice(("shop", "desk", None)) if is_adas else f"{CANARY} project"
    about = {
        "trace_id": trace_id,
        "session_id": "shared session" if number % 2 else f"{trace_id}-session",
        "at_ms": number * 1_000,
        "took_ms": chance.randrange(5, 500),
        "metadata": {"secret": f"metadata{mark}"},
        "tags": [f"tag{mark}"],
    }
    failed = f"boom {words}{mark}" if chance.random() < 0.3 else None
    asked, answered = f"{words}{mark}", f"it is about {words}{mark}"
    runs = (
        run(
            trace_id,
            "agent",
            user_id=users[0],
            name=f"agent{mark}",
            inputs={"question": asked},
            outputs={"answer": answered},
            failed=failed,
            **about,
        ),
        llm(
            f"{trace_id}/1",
            trace_id,
            asked,
            answered,
            user_id=users[1],
            model_responded=f"model{mark}",
            **about,
        ),
        run(f"{trace_id}/2", "tool", trace_id, user_id=users[2], name=f"tool{mark}", **about),
    )
    said = None
    if chance.random() < 0.4:
        value = {"outcome": "fail"} if chance.random() < 0.5 else 1
        key = "label" if isinstance(value, dict) else f"helpful{mark}"
        said = Feedback(f"f-{number}", trace_id, key, value=value, comment=f"said{mark}")
    return Written(runs, project, said, is_adas)


def conversations() -> list[Written]:
    """40 of Ada's among 260 of others: of Bob, of nobody, and of several."""
    chance = random.Random(7)
    others: list[tuple[str | None, ...]] = [
        ("bob", "bob", None),
        ("bob", "bob", None),
        ("Ada", None, None),
        ("ada ", None, None),
        (None, None, None),
        ("ada", "bob", None),
        ("bob", "ada", "ada"),
        (None, "ada", None),
        ("ada", None, ""),
    ]
    made = []
    for number in range(300):
        own = ("ada", chance.choice(("ada", None)), None)
        users = own if number % 15 in (4, 11) else chance.choice(others)
        made.append(conversation(number, users, chance))
    return made


def write(store: Store, written: Sequence[Written]) -> None:
    for one in written:
        store.write_runs(one.runs, source="test", project=one.project)
        if one.said is not None:
            store.write_feedback([one.said])


def ada(asked: Api, **more: Any) -> httpx.Client:
    """A client with a token of Ada's."""
    _, token = Grants(Path(asked.served.app.state.settings.home)).add("ada", **more)
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=asked.client.base_url, headers=headers, timeout=60)
