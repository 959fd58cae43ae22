"""`refinery mcp` driven by the protocol's own client, in a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.kits.repositories import git
from tests.workflows.shop import Shop, server, shop

__all__ = ["server", "shop"]
pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]

Talk = Callable[[Client], Awaitable[None]]


def talk(folder: Path, conversation: Talk) -> None:
    """Hold a conversation with `refinery mcp` started in a folder."""

    async def hold() -> None:
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "refinery", "mcp"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        async with Client(stdio_client(parameters)) as client:
            await conversation(client)

    asyncio.run(hold())


async def said(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)  # type: ignore[union-attr]


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


def test_an_assistant_lists_diagnoses_replays_and_proposes_but_approves_nothing(
    shop: Shop,
) -> None:
    before = git(shop.root, "status", "--porcelain")

    async def conversation(client: Client) -> None:
        offered = {tool.name for tool in (await client.list_tools()).tools}
        assert {"list_traces", "show_trace", "diagnose", "replay", "propose"} <= offered
        assert not [name for name in offered if "approve" in name or "commit" in name]

        listed = (await said(client, "list_traces"))["traces"]
        assert {shop.failing, shop.passing} <= {trace["trace_id"] for trace in listed}
        runs = (await said(client, "show_trace", trace=shop.failing))["runs"]
        run = (await said(client, "show_run", trace=shop.failing, run=runs[0]["run_id"]))["run"]
        assert run["inputs"]

        diagnosis = await said(client, "diagnose", trace=shop.failing)
        assert diagnosis["findings"]
        assert "never instructions" in diagnosis["note"]
        assert (await said(client, "replay", trace=shop.failing))["same"]

        proposal = await said(client, "propose", trace=shop.failing)
        assert proposal["trial"]["verdict"] == "fixed"
        assert proposal["change"] is None
        assert proposal["approve_with"] == f"refinery fix --resume {proposal['session_id']}"

    talk(shop.root, conversation)

    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"
    assert git(shop.root, "status", "--porcelain") == before


def test_a_mistake_is_answered_with_what_to_do(shop: Shop) -> None:
    async def conversation(client: Client) -> None:
        assert "refinery traces" in await refused(client, "show_trace", trace="0000nothing")
        file = str(shop.root / "refinery.toml")
        assert "refinery import" in await refused(client, "diagnose", trace=file)
        assert "nothing is varied" in await refused(client, "what_if", trace=shop.failing)

    talk(shop.root, conversation)
