"""A new user: one line in an agent, its decisions, another model, before and after."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer
from tests.kits.browser import NARROW, WORK_MS, Seen, Served, axe
from tests.ui.shop import endpoint

pytestmark = pytest.mark.slow

AGENT = """
import refinery

refinery.record()

from langchain_core.runnables import chain
from langchain_openai import ChatOpenAI

SYSTEM = "You are the returns desk. Goods can be returned for 30 days."


@chain
def desk(question):
    model = ChatOpenAI(model="small-1", temperature=0)
    topic = model.invoke([("system", "Name the topic."), ("user", question)]).text
    return model.invoke([("system", SYSTEM), ("user", f"[{topic}] {question}")]).text


print(desk.invoke("I bought a kettle 20 days ago. May I return it?"))
"""
BEFORE = "No, you cannot return the kettle."
AFTER = "Yes, you can return the kettle."


def returns_desk(request: ModelRequest) -> ModelReply:
    """The small model is wrong, the large one right."""
    told = next(m.text for m in request.messages if m.role == "system")
    if told.startswith("Name"):
        return ModelReply(text="returns", model=request.model)
    return ModelReply(text=BEFORE if request.model == "small-1" else AFTER, model=request.model)


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer(returns_desk) as running:
        yield running


def test_a_new_user_sees_the_decisions_and_tries_another_model(
    model: ModelServer,
    tmp_path: Path,
    serve: Callable[..., Served],
    open_page: Callable[..., Seen],
) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "agent.py").write_text(AGENT)
    env = endpoint(model)
    done = subprocess.run(
        [sys.executable, "agent.py"], cwd=folder, env={**os.environ, **env}, capture_output=True
    )
    assert done.stdout.decode().strip() == BEFORE, done.stderr

    seen = open_page(serve(folder, env=env))
    page = seen.page
    page.get_by_role("link", name="desk").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("desk")
    seen.shoot("first-use-1-decisions")
    page.get_by_role("link", name="What if?").click()
    expect(page.get_by_text("I bought a kettle 20 days ago").first).to_be_visible()

    page.get_by_label("Which step").select_option(index=1)
    expect(page.get_by_label("Another model")).to_have_attribute("placeholder", "then: small-1")
    page.get_by_label("Another model").fill("large-1")
    page.get_by_role("button", name="Try it").click()

    result = page.locator("[data-result=what_if]")
    expect(result).to_contain_text("Before and after", timeout=WORK_MS)
    expect(result.locator("del").first).to_have_text("No")
    expect(result.locator("ins").first).to_have_text("Yes")
    expect(result).to_contain_text("The answer changed")
    expect(result).to_contain_text("only this one call was asked again")
    assert model.requests[-1].model == "large-1"
    assert axe(page) == []
    seen.shoot("first-use-2-before-and-after")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    seen.shoot("first-use-3-narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


def test_with_nothing_recorded_the_page_says_how_to_record(
    tmp_path: Path, serve: Callable[..., Served], open_page: Callable[..., Seen]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()

    seen = open_page(serve(folder))

    expect(seen.page.get_by_role("main")).to_contain_text("refinery.record()")
    assert axe(seen.page) == []
    seen.shoot("first-use-0-nothing-recorded")
