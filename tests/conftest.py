"""Every test runs in a folder of its own, with no settings, keys or network of the machine."""

import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is not what these tests are about, and the same commit gives the same
# result; `HYPOTHESIS=search pytest -m hypothesis` looks for what these examples do not show.
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("calm", _CALM, derandomize=True)
settings.register_profile("search", _CALM)
settings.load_profile(os.environ.get("HYPOTHESIS", "calm"))

FOREIGN = (
    *("REFINERY_", "OPENAI_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_", "GIT_"),
    *("LANGFUSE_", "PHOENIX_", "MLFLOW_", "DD_"),
)
_connect = socket.socket.connect

# Every client of httpx reads the machine's authorities, 150 of them, in 25 ms of processor time.
# No test speaks TLS to anybody, so one that nobody has signed for does.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "fakes" / "authority.pem")


# A shell that puts a command into the background has it ignore Ctrl-C, and so do its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker keeps to one part of the suite, so that shared servers start once.

    Who has done their part takes over half of what another has left.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder and a working directory of the test's own, and no foreign variables."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        folder = tmp_path / "home" / name.lower()
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that would leave the machine is an error."""

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = "127.0.0.1" if address[0] == "localhost" else address[0]
            if not ipaddress.ip_address(host).is_loopback:
                raise AssertionError(f"a test tried to reach {address[0]}")
        _connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def recording_ends_with_the_test() -> Iterator[None]:
    """Switch off what a test switched on for the whole process."""
    yield
    switch = sys.modules.get("refinery.recorders.switch")
    state = getattr(switch, "_state", None)
    if state is None:
        return
    if state.handler is not None:
        state.handler.active = False
    state.is_on, state.target, state.book, state.handler = False, None, None, None
