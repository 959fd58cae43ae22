"""`refinery serve` as users call it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from refinery.model.codec import encode_run
from refinery.model.trace import Run
from refinery.stores.sqlite import open_store
from tests.kits.traces import sample

pytestmark = pytest.mark.slow

KEY = "a-long-random-key"
TOKEN = "a-long-random-token"


def start(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "refinery", "serve", *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
    )


def ready(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    document: dict[str, Any] = json.loads(line)
    return document


def end(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_ends_when_asked(number: int) -> None:
    process = start("--port", "0", "--json")
    told = ready(process)

    assert httpx.get(told["url"] + "/info").status_code == 200
    assert told["schema_version"] == 1
    assert told["environment"]["langsmith"]["LANGSMITH_ENDPOINT"] == told["url"]
    assert told["environment"]["otlp"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == told["url"]
    assert end(process, number) == ("", "")
    assert process.returncode == 0


def test_people_are_told_what_to_set() -> None:
    process = start("--port", "0")
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    _, errors = process.communicate(timeout=30)

    assert first.startswith("Pages: http://127.0.0.1:")
    assert "/ui/?token=" in first
    assert "Taking traces at http://127.0.0.1:" in rest
    for name in ("LANGSMITH_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "LANGFUSE_BASE_URL"):
        assert f"export {name}=http://127.0.0.1:" in rest
    assert "everything that arrived is stored" in errors


def test_a_taken_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "is in use" in errors
    assert "--port" in errors


def test_others_are_let_in_with_a_key_only(tmp_path: Path) -> None:
    process = start("--host", "0.0.0.0", "--port", "0")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "--api-key-file" in errors

    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    options = ("--host", "0.0.0.0", "--port", "0", "--json", "--api-key-file", str(file))
    process = start(*options)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 4
    assert KEY not in errors

    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    process = start(*options, "--token-file", str(token))
    told = ready(process)
    address = f"http://127.0.0.1:{told['port']}/info"
    assert httpx.get(address).status_code == 401
    assert httpx.get(address, headers={"x-api-key": KEY}).status_code == 200
    session = f"http://127.0.0.1:{told['port']}/refinery/v1/session"
    assert httpx.get(session, headers={"authorization": f"Bearer {KEY}"}).status_code == 401
    assert httpx.get(session, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    output = "".join(end(process))
    assert KEY not in json.dumps(told) + output


def test_the_token_lies_in_a_private_file_while_it_serves(tmp_path: Path) -> None:
    process = start("--port", "0", "--json", REFINERY_HOME=str(tmp_path / "state"))
    told = ready(process)
    file = tmp_path / "state" / f"serve-{told['port']}.token"

    assert file.stat().st_mode & 0o777 == 0o600
    assert told["ui"] == f"{told['url']}/ui/?token={file.read_text().strip()}"
    assert httpx.get(told["ui"]).status_code == 303

    end(process)
    assert not file.exists()


def test_a_file_without_a_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    process = start("--api-key-file", str(tmp_path / "key"))
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "holds no key" in errors


def test_it_ends_at_once_though_a_job_is_followed(tmp_path: Path) -> None:
    home = tmp_path / "state"
    store = open_store(str(home / "traces.db"))
    store.write_runs(sample("bad", failed="boom").runs)
    store.close()
    process = start("--port", "0", "--json", REFINERY_HOME=str(home))
    told = ready(process)
    token = (home / f"serve-{told['port']}.token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{told['url']}/refinery/v1", headers=headers) as client:
        order = {"kind": "diagnose", "trace_id": "bad", "options": {}}
        job_id = client.post("/jobs", json=order).json()["job_id"]
        with client.stream("GET", f"/jobs/{job_id}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: state"
            process.send_signal(signal.SIGTERM)
            list(lines)
    began = time.monotonic()
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert time.monotonic() - began < 30
    kept = json.loads((home / "jobs" / f"{job_id}.json").read_text())
    assert kept["state"] in ("done", "failed")
    for file in home.rglob("*"):
        assert file.is_dir() or file.name == ".gitignore" or file.stat().st_mode & 0o077 == 0, file


def test_what_recorders_leave_in_the_spool_shows_up(tmp_path: Path) -> None:
    home = tmp_path / "state"
    process = start("--port", "0", "--json", REFINERY_HOME=str(home))
    ready(process)
    (home / "spool").mkdir(parents=True, exist_ok=True)
    run = Run(run_id="r-1", trace_id="r-1", name="from a recorder")
    line = json.dumps({"run": encode_run(run), "source": "test", "project": None})
    (home / "spool" / "1-x.jsonl").write_text(line + "\n")
    store = open_store(str(home / "traces.db"))
    try:
        until = time.monotonic() + 60
        while store.get_run("r-1") is None and time.monotonic() < until:
            time.sleep(0.05)
        assert store.get_run("r-1") is not None
    finally:
        store.close()
        end(process)
