"""The agent's keys, endpoints and tracing that lie in the environment are never used."""

import os
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.llm.clients import ANTHROPIC_URL, OPENAI_URL, Limits, is_loopback, make_client
from refinery.llm.router import ModelChoice, connect
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer, StatusError
from tests.llm.test_router import ANTHROPIC, OPENAI, Vendor, always, ask

LIMITS = Limits(timeout_s=60, output_tokens=100)


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """A server that every variable of the environment points to."""

    def refuse(request: ModelRequest) -> ModelReply | StatusError:
        return StatusError(500)

    server = ModelServer(refuse)
    poison = {
        "OPENAI_API_KEY": "sk-agent-openai",
        "OPENAI_ADMIN_KEY": "sk-agent-admin",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_BASE": f"{server.url}/v1",
        "OPENAI_ORG_ID": "org-agent",
        "OPENAI_ORGANIZATION": "org-agent",
        "OPENAI_PROJECT_ID": "proj-agent",
        "OPENAI_PROXY": server.url,
        "OPENAI_CUSTOM_HEADERS": "x-agent: agent-header",
        "ANTHROPIC_API_KEY": "sk-agent-anthropic",
        "ANTHROPIC_AUTH_TOKEN": "agent-token",
        "ANTHROPIC_BASE_URL": server.url,
        "ANTHROPIC_API_URL": server.url,
        "ANTHROPIC_PROXY": server.url,
        "ANTHROPIC_CUSTOM_HEADERS": "x-agent: agent-header",
        "LANGSMITH_TRACING": "true",
        "LANGCHAIN_TRACING_V2": "true",
        "LANGSMITH_ENDPOINT": server.url,
        "LANGSMITH_API_KEY": "ls-agent",
    }
    for name, value in poison.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.mark.parametrize("vendor", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_calls_go_only_to_the_named_endpoint_with_the_named_key(
    vendor: Vendor, trap: ModelServer
) -> None:
    before = dict(os.environ)
    with trap, ModelServer(always({"label": "good"})) as server:
        ask(connect(vendor.choice(server.url, api_key="sk-own")))

        assert trap.requests == []
        assert len(server.requests) == 1
    headers = server.headers[0]
    assert "sk-own" in headers.get("authorization", "") + headers.get("x-api-key", "")
    assert "agent" not in " ".join(headers.values()).replace("user-agent", "")
    assert dict(os.environ) == before


@pytest.mark.parametrize("vendor", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_without_a_key_a_local_server_gets_none_of_the_agents(
    vendor: Vendor, trap: ModelServer
) -> None:
    with trap, ModelServer(always({"label": "good"})) as server:
        ask(connect(vendor.choice(server.url)))

    assert "agent" not in " ".join(server.headers[0].values())


@pytest.mark.parametrize(
    ("spec", "field", "url"),
    [
        ("openai:gpt-4o", "openai_api_base", OPENAI_URL),
        ("anthropic:claude-haiku-4-5", "anthropic_api_url", ANTHROPIC_URL),
    ],
)
def test_without_a_base_url_the_vendors_own_is_used_not_the_environments(
    spec: str, field: str, url: str, trap: ModelServer
) -> None:
    chat = make_client(spec, None, "sk-own", LIMITS).chat

    assert getattr(chat, field) == url
    client = chat.root_client if spec.startswith("openai") else chat._client
    assert str(client.base_url).rstrip("/") == url
    assert client.api_key == "sk-own"


def test_our_calls_are_not_traced(trap: ModelServer) -> None:
    traced: list[str] = []

    with trap, ModelServer(always({"label": "good"})) as server:
        ask(connect(OPENAI.choice(server.url)))
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()
        traced = [request.model for request in trap.requests]

    assert traced == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:9/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://localhost.evil.example/v1", False),
    ],
)
def test_loopback_is_told_from_the_rest(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_a_log_that_cannot_be_written_is_not_silent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with ModelServer(always({"label": "good"})) as server:
        model = connect(ModelChoice(OPENAI.spec, f"{server.url}/v1", log=tmp_path / "file" / "x"))
        with pytest.raises(InputError, match="log of model calls"):
            ask(model)
