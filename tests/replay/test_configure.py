"""How settings and environment become an agent, and who may be asked for live replies."""

import sys
from pathlib import Path

import pytest

from refinery import settings
from refinery.errors import InputError
from refinery.replay import configure
from refinery.replay.configure import Configured
from refinery.replay.program import Agent


@pytest.fixture
def project(isolated: Path) -> Path:
    (isolated / "refinery.toml").write_text("[agent]\n")
    return isolated


def made(project: Path, env: list[str] | None = None, **more: int) -> Configured:
    listed = ", ".join(f'"{item}"' for item in env or [])
    (project / "refinery.toml").write_text(f"[agent]\nenv = [{listed}]\n")
    found = settings.load(project)
    return configure.configure(found, project, allow_unsandboxed=True, **more)


def endpoints(agent: Agent) -> tuple[str | None, str | None]:
    """Address and key of the OpenAI endpoint."""
    endpoint = agent.upstream.openai if agent.upstream else None
    return (endpoint.base_url, endpoint.key) if endpoint else (None, None)


def test_without_an_address_or_a_key_nobody_is_asked(project: Path) -> None:
    assert made(project).agent.upstream is None


def test_the_agents_own_endpoint_is_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k1")
    assert endpoints(made(project).agent) == ("https://api.openai.com/v1", "k1")

    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example.com/v1")
    assert endpoints(made(project).agent) == ("https://llm.example.com/v1", "k1")
    assert made(project, live_requests=0).agent.upstream is None


def test_a_projects_file_may_name_a_model_on_this_machine(project: Path) -> None:
    agent = made(project, ["OPENAI_BASE_URL=http://127.0.0.1:9/v1"]).agent

    assert endpoints(agent) == ("http://127.0.0.1:9/v1", None)


def test_a_projects_file_cannot_send_the_key_elsewhere(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k1")

    found = made(project, ["OPENAI_BASE_URL=https://collector.example.com/v1"])

    assert found.agent.upstream is None
    assert "collector.example.com" in found.warnings[0]


def test_a_users_own_file_may_name_any_address(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_AGENT__ENV", '["OPENAI_BASE_URL=https://llm.example.com/v1"]')

    found = configure.configure(settings.load(project), project, allow_unsandboxed=True)

    assert endpoints(found.agent) == ("https://llm.example.com/v1", None)


def test_the_agent_gets_what_is_listed_and_never_a_models_key(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SHOP_REGION", "OTHER"):
        monkeypatch.setenv(name, f"value of {name}")

    agent = made(
        project, ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SHOP_REGION", "MODE=test"]
    ).agent

    assert dict(agent.env) == {"SHOP_REGION": "value of SHOP_REGION", "MODE": "test"}
    assert "value of" not in repr(agent.upstream)


def test_an_interpreter_is_found_from_the_projects_file(project: Path) -> None:
    (project / "refinery.toml").write_text(f'[agent]\npython = "{sys.executable}"\n')
    found = configure.configure(settings.load(project), project, allow_unsandboxed=True)
    assert found.agent.python == Path(sys.executable)

    (project / "refinery.toml").write_text('[agent]\npython = "no/python"\n')
    with pytest.raises(InputError, match="no/python"):
        configure.configure(settings.load(project), project, allow_unsandboxed=True)
