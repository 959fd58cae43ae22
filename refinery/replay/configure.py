"""From settings and environment to an agent that can be replayed, and whom its models may ask.

The upstream of changed requests is the endpoint the agent itself is configured for. A project's
file may come from a cloned repository, so an address written there is used only when it is on
this machine: it could send the user's key, and what the trace says, to somebody else.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from refinery.errors import InputError
from refinery.replay.program import Agent
from refinery.replay.upstream import (
    ANTHROPIC_DEFAULT,
    OPENAI_DEFAULT,
    Budget,
    Endpoint,
    Upstream,
)
from refinery.safety import sandbox
from refinery.settings import Settings

LIVE_REQUESTS = 500
"""Most live model requests one trial or replay may make; chosen by us."""

_VENDORS = {
    "openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), "OPENAI_API_KEY", OPENAI_DEFAULT),
    "anthropic": (
        ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"),
        "ANTHROPIC_API_KEY",
        ANTHROPIC_DEFAULT,
    ),
}
_OURS = frozenset(name for urls, key, _ in _VENDORS.values() for name in (*urls, key))


@dataclass(frozen=True, slots=True)
class Configured:
    """An agent ready to be replayed, and what the user should know of its configuration."""

    agent: Agent
    warnings: tuple[str, ...]


def configure(
    settings: Settings,
    repository: Path,
    *,
    allow_unsandboxed: bool = False,
    live_requests: int = LIVE_REQUESTS,
) -> Configured:
    """How the repository's agent is replayed under the settings.

    Args:
        settings: resolved settings; `agent` and `replay` are read.
        repository: root of the agent's work tree.
        allow_unsandboxed: run without a sandbox when there is none, for this one call.
        live_requests: most requests the agent's own model may be asked; 0 asks it nothing.

    Raises:
        InputError: the configured interpreter does not exist.
        RefusedError: no sandbox holds here and none was waived.
    """
    values = settings.values
    own, passed = _variables(values.agent.env)
    asked, warnings = endpoints(settings)
    upstream = Upstream(asked["openai"], asked["anthropic"], Budget(live_requests))
    has_upstream = live_requests > 0 and any(asked.values())
    inside = {name: value for name, value in {**passed, **own}.items() if name not in _OURS}
    agent = Agent(
        repository=repository,
        python=_python(values.agent.python, settings, repository),
        env=inside,
        upstream=upstream if has_upstream else None,
        live=tuple(values.replay.live),
        timeout_s=values.replay.timeout_s,
        tier=sandbox.strongest(allow_unsandboxed=allow_unsandboxed),
    )
    return Configured(agent, tuple(warnings))


def endpoints(settings: Settings) -> tuple[dict[str, Endpoint | None], list[str]]:
    """The endpoint the agent is configured for, by vendor, and warnings.

    None stands for a vendor without address and key.
    """
    own, _ = _variables(settings.values.agent.env)
    is_trusted = settings.origins.get("agent.env") != str(settings.project_file)
    return _endpoints(own, is_trusted=is_trusted)


def _variables(listed: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Variables the settings set (`NAME=value`), and those passed through (`NAME`)."""
    pairs = [item.partition("=") for item in listed]
    own = {name: value for name, is_set, value in pairs if is_set}
    passed = {
        name: os.environ[name] for name, is_set, _ in pairs if not is_set and name in os.environ
    }
    return own, passed


def _endpoints(
    own: Mapping[str, str], *, is_trusted: bool
) -> tuple[dict[str, Endpoint | None], list[str]]:
    """The endpoint of each vendor; None when neither an address nor a key is configured."""
    found: dict[str, Endpoint | None] = {}
    warnings: list[str] = []
    for vendor, (url_names, key_name, default) in _VENDORS.items():
        written = next((own[name] for name in url_names if own.get(name)), None)
        around = next((os.environ[name] for name in url_names if os.environ.get(name)), None)
        if written and not is_trusted and written != around and not _is_local(written):
            warnings.append(
                f"{url_names[0]}={written} in the project's file is not asked for changed "
                f"requests: set it in the environment to allow that"
            )
            found[vendor] = None
            continue
        key = own.get(key_name) or os.environ.get(key_name)
        url = written or around
        found[vendor] = Endpoint(url or default, key or None) if url or key else None
    return found, warnings


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _python(named: str | None, settings: Settings, repository: Path) -> Path | None:
    """The interpreter of the agent; a relative path counts from the project's file."""
    if not named:
        return None
    base = settings.project_file.parent if settings.project_file else repository
    path = Path(os.path.abspath(base / Path(named).expanduser()))  # noqa: PTH100  # keeps links
    if not path.is_file():
        raise InputError(
            f"the interpreter {path} of [agent] python does not exist",
            hint="correct the setting, or remove it to use Refinery's own interpreter",
        )
    return path
