"""Virtual environments of other people's servers and clients, and servers that run in them."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path(__file__).parent
_KEPT = os.environ.get("REFINERY_PEERS")
"""Read at once: tests take such variables away."""

PACKAGES: dict[str, Sequence[str]] = {
    "phoenix": ("arize-phoenix>=20", "arize-phoenix-client", "pandas", "pyarrow"),
    "mlflow": ("mlflow>=3.10", "pandas"),
    "langfuse": ("langfuse>=5",),
    "datadog": ("datadog-api-client>=2.60",),
}
"""What each environment holds."""


def python_of(name: str, scratch: Path) -> Path:
    """The interpreter of an environment: in the folder `REFINERY_PEERS` names, else made anew."""
    folder = (Path(_KEPT) if _KEPT else scratch) / f"service-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        make = [uv, "venv", "-q"] if uv else [sys.executable, "-m", "venv"]
        pip = [uv, "pip", "install", "-q", "-p"] if uv else []
        subprocess.run([*make, str(folder)], check=True)
        install = [*pip, str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*install, *PACKAGES[name]], check=True, timeout=900)
    return python


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run(python: Path, program: str, folder: Path, **variables: str) -> str:
    """What a program of this package prints; it works in a folder of the test's own."""
    done = subprocess.run(
        [str(python), str(PROGRAMS / program)],
        cwd=folder,
        env=_environment(folder, variables),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@contextmanager
def serving(command: Sequence[str], ready: str, folder: Path, **variables: str) -> Iterator[None]:
    """Run a server until the block ends, which begins when an address answers."""
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=_environment(folder, variables), stdout=log, stderr=log
        )
        try:
            _wait(server, ready, folder)
            yield
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: "subprocess.Popen[bytes]", ready: str, folder: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(ready, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError((folder / "server.log").read_text()[-4000:])


def _environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**keep, "HOME": str(folder), **variables}
