"""`refinery record` of programs that know nothing of it: node, curl, shells, raw SDKs."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import BudgetError, InputError
from refinery.model.messages import messages_out
from refinery.model.trace import RunKind, RunStatus, Trace, Usage
from refinery.ports import TraceFilter
from refinery.replay import passage
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import record, wiring
from refinery.workflows.wiring import Workspace
from tests.fakes.byte_server import Asked, Bytes, ByteServer
from tests.fakes.model_server import ModelServer, StatusError
from tests.kits.repositories import make_repository
from tests.workflows.test_record import ROOT, cli

pytestmark = pytest.mark.slow

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
NODE = """
const asked = (path, body) => fetch(path, {method: "POST", body: JSON.stringify(body), headers: {
  "content-type": "application/json", authorization: "Bearer KEY", "x-api-key": "KEY"}});
const messages = [{role: "user", content: "my key is KEY"}];
const base = process.env.OPENAI_BASE_URL;
const stream = await asked(base + "/chat/completions", {
  model: "m", messages, stream: true, stream_options: {include_usage: true}});
for await (const piece of stream.body) process.stdout.write(piece);
const claude = process.env.ANTHROPIC_BASE_URL;
const whole = await asked(claude + "/v1/messages", {model: "c", max_tokens: 5, messages});
process.stdout.write(await whole.text());
await (await fetch(base + "/models")).text();
process.exit(3);
""".replace("KEY", KEY)
RAW = """
import anthropic, openai
told = openai.OpenAI(api_key="k").chat.completions.create(
    model="m", messages=[{"role": "user", "content": "hi"}])
print(told.choices[0].message.content)
with anthropic.Anthropic(api_key="k").messages.stream(
    model="c", max_tokens=5, messages=[{"role": "user", "content": "hi"}]) as stream:
    print(stream.get_final_text())
"""
AGENT = """
import time
def answer(q):
    if q == "slow":
        time.sleep(60)
    return q
"""


def answer(request: ModelRequest) -> ModelReply | StatusError:
    return ModelReply("I am well.", usage=Usage(input=9, output=4))


@pytest.fixture
def server(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(answer) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        yield running


@pytest.fixture
def workspace(isolated: Path) -> Iterator[Workspace]:
    files = {
        "app.mjs": NODE,
        "raw.py": RAW,
        "agent.py": AGENT,
        "refinery.toml": '[agent]\nentrypoint = "agent:answer"\n',
    }
    root = make_repository(isolated / "project", files)
    os.chdir(root)
    opened = wiring.open_workspace(root)
    yield opened
    opened.store.close()


def trace_of(workspace: Workspace, trace_id: str) -> Trace:
    trace = workspace.store.get_trace(trace_id)
    assert trace is not None
    return trace


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_node_program_is_recorded_byte_for_byte(
    workspace: Workspace, server: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    done = record.record_command(workspace, ["node", "app.mjs"])

    assert (done.exit_code, done.has_gateway, done.tapes, done.lost) == (3, True, 3, 0)
    trace = trace_of(workspace, *done.trace_ids)
    root, chat, message, models = trace.runs
    assert (trace.source, trace.project) == ("gateway", "project")
    assert (root.name, root.kind, root.status) == ("node", RunKind.CHAIN, RunStatus.ERROR)
    assert root.inputs == {"command": ["node", "app.mjs"], "cwd": str(Path.cwd())}
    assert root.outputs == {"exit_code": 3}
    point = (root.metadata or {})["refinery"]["entry_point"]
    assert (point["kind"], point["target"]) == ("command", "node app.mjs")
    assert len(point["commit"]) == 40
    assert [run.name for run in trace.runs[1:]] == [
        "openai.chat.completions",
        "anthropic.messages",
        "GET /v1/models",
    ]
    assert {run.parent_id for run in trace.runs[1:]} == {root.run_id}
    for run in (chat, message):
        assert [told.text for told in messages_out(run)] == ["I am well."]
        assert run.usage is not None and (run.usage.input, run.usage.output) == (9, 4)
        assert KEY not in json.dumps(run.inputs)
    assert chat.first_token_ns is not None
    assert models.kind is RunKind.STEP

    bodies = []
    for run in (chat, message):
        content = workspace.store.get_blob(str(run.raw_ref))
        assert content is not None and KEY.encode() not in content
        tape = passage.read_tape(content)
        assert tape["upstream"] == server.url
        bodies.append(b"".join(piece for _, piece in tape["response"]["pieces"]))
    assert capfd.readouterr().out.encode() == b"".join(bodies)
    assert [headers["x-api-key"] for headers in server.headers] == [KEY, KEY]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_shell_with_curl_is_recorded_and_an_error_of_the_model_is_one(
    workspace: Workspace, server: ModelServer
) -> None:
    server.answer = lambda request: StatusError(500)
    line = "curl -s $OPENAI_API_BASE/responses -H 'content-type: application/json' -d"
    body = json.dumps({"model": "m", "input": "hi"})

    done = record.record_command(workspace, ["sh", "-c", f"{line} '{body}'"])

    root, call = trace_of(workspace, *done.trace_ids).runs
    assert (root.status, call.status) == (RunStatus.OK, RunStatus.ERROR)
    assert call.error is not None and call.error.message == "HTTP 500: refused by the test"
    assert call.inputs == {"model": "m", "input": "hi"}


def test_a_python_program_with_raw_clients_is_recorded_from_inside(
    workspace: Workspace, server: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    done = record.record_command(workspace, [sys.executable, "raw.py"])

    assert (done.exit_code, done.has_gateway, done.runs) == (0, False, 2)
    assert capfd.readouterr().out == "I am well.\nI am well.\n"
    runs = [trace_of(workspace, trace_id).runs[0] for trace_id in done.trace_ids]
    assert [run.name for run in runs] == ["openai.chat.completions", "anthropic.messages"]
    assert [run.status for run in runs] == [RunStatus.OK] * 2
    assert runs[0].code is not None and runs[0].code.file == "raw.py"


def test_an_isolated_python_goes_through_the_gateway(
    workspace: Workspace, server: ModelServer
) -> None:
    done = record.record_command(workspace, [sys.executable, "-I", "raw.py"])

    assert (done.exit_code, done.has_gateway, done.runs) == (0, True, 3)
    root, *calls = trace_of(workspace, *done.trace_ids).runs
    assert root.name == Path(sys.executable).name
    assert [run.name for run in calls] == ["openai.chat.completions", "anthropic.messages"]


def test_with_the_gateway_a_call_recorded_inside_gets_the_tape_and_no_second_run(
    workspace: Workspace, server: ModelServer
) -> None:
    done = record.record_command(workspace, [sys.executable, "raw.py"], with_gateway=True)

    assert (done.runs, done.tapes, len(done.trace_ids)) == (2, 2, 2)
    for trace_id in done.trace_ids:
        (run,) = trace_of(workspace, trace_id).runs
        assert run.status is RunStatus.OK
        content = workspace.store.get_blob(str(run.raw_ref))
        assert content is not None
        assert passage.read_tape(content)["response"]["status"] == 200
    assert all("x-refinery-recorded" not in headers for headers in server.headers)


def test_a_command_that_asks_no_model_leaves_no_trace(
    workspace: Workspace, server: ModelServer
) -> None:
    done = record.record_command(workspace, ["true"])

    assert (done.exit_code, done.runs, done.trace_ids) == (0, 0, ())
    assert workspace.store.list_traces(TraceFilter()) == []


def test_the_gateway_can_be_left_out(workspace: Workspace, server: ModelServer) -> None:
    done = record.record_command(
        workspace, ["sh", "-c", "test $OPENAI_BASE_URL = $WANTED"], with_gateway=False
    )

    assert done.has_gateway is False


def test_a_base_url_that_is_none_is_an_input_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "not a url")

    with pytest.raises(InputError, match="OPENAI_BASE_URL"):
        record.record_command(workspace, ["true"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_store_that_cannot_be_written_does_not_break_the_program(
    workspace: Workspace, server: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.store.close()

    done = record.record_command(workspace, ["sh", "-c", 'curl -s "$OPENAI_BASE_URL/models"'])

    assert (done.exit_code, done.tapes) == (0, 0)
    assert done.lost > 0 and "closed" in done.lost_reason
    assert '"object": "list"' in capfd.readouterr().out


def waiting(release: threading.Event) -> ByteServer:
    """A model that begins to answer and then says nothing more until it is released."""

    def pieces() -> Iterator[bytes]:
        yield b'data: {"choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'
        release.wait(30)

    def serve(asked: Asked) -> Bytes:
        return Bytes(pieces(), headers={"content-type": "text/event-stream"}, breaks_off=True)

    return ByteServer(serve)


CURL = 'curl -sN $OPENAI_BASE_URL/chat/completions -d \'{"model": "m"}\''


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, 137), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_command_ended_by_a_signal_leaves_ended_runs(
    workspace: Workspace, number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    with waiting(release) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        child = subprocess.Popen(
            [sys.executable, "-m", "refinery", "record", "--", "sh", "-c", f"exec {CURL}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert child.stdout is not None
        assert "half" in child.stdout.readline()
        command = _child_of(child.pid)
        if number is signal.SIGKILL:
            os.kill(command, number)
        else:
            os.killpg(child.pid, number)
        _wait_until_ended(command)  # released before, curl may end by itself
        release.set()
        _, told = child.communicate(timeout=30)

    assert child.returncode == code
    assert "recorded 1 trace with 2 runs" in told
    (summary,) = workspace.store.list_traces(TraceFilter())
    root, call = trace_of(workspace, summary.trace_id).runs
    assert (root.status, root.outputs) == (RunStatus.CANCELLED, {"exit_code": code})
    assert (root.metadata or {})["refinery"]["cancelled"] == f"signal {int(number)}"
    assert call.status in (RunStatus.CANCELLED, RunStatus.ERROR)
    assert call.outputs["choices"][0]["message"]["content"] == "half"
    assert call.end_ns is not None


def _child_of(pid: int) -> int:
    """The command a `refinery record` has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(children.read_text().split()[0])


def _wait_until_ended(pid: int) -> None:
    """Wait until a process has ended, be it that nobody has asked how."""
    stat = Path(f"/proc/{pid}/stat")
    until = time.monotonic() + 30
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < until, "the signal did not end the command"
            time.sleep(0.01)


def test_a_killed_python_agent_leaves_no_run_running(workspace: Workspace) -> None:
    program = (
        "import os, time\n"
        "from langchain_core.runnables import RunnableLambda\n"
        "def die(x):\n    time.sleep(1)\n    os.kill(os.getpid(), 9)\n"
        "(RunnableLambda(len) | RunnableLambda(die)).invoke('x')\n"
    )

    done = record.record_command(workspace, [sys.executable, "-c", program])

    assert done.exit_code == 137
    trace = trace_of(workspace, *done.trace_ids)
    status = {str(run.name): run.status for run in trace.runs}
    assert status["len"] is RunStatus.OK
    assert {status["RunnableSequence"], status["die"]} == {RunStatus.CANCELLED}
    assert all(run.end_ns is not None for run in trace.runs)
    notes = (trace.runs[0].metadata or {})["refinery"]
    assert notes["cancelled"] == "the program was ended by SIGKILL"
    assert notes["entry_point"]["kind"] == "command"


def test_runs_of_a_process_that_lives_on_stay_open(workspace: Workspace) -> None:
    program = (
        "import os, sys, time\n"
        "from langchain_core.runnables import RunnableLambda\n"
        "if os.fork():\n    time.sleep(2)\n    os._exit(0)\n"
        "null = os.open(os.devnull, os.O_RDWR)\n"
        "[os.dup2(null, n) for n in range(3)]\n"
        "RunnableLambda(lambda x: time.sleep(30)).with_config(run_name='late').invoke('x')\n"
    )

    done = record.record_command(workspace, [sys.executable, "-c", program])

    (trace_id,) = done.trace_ids
    assert trace_of(workspace, trace_id).status is RunStatus.RUNNING


def test_an_input_may_take_so_long_and_no_longer(workspace: Workspace) -> None:
    started = time.monotonic()
    with pytest.raises(BudgetError, match="longer than 8 s for input 2 of 3") as caught:
        record.record_inputs(workspace, ["a", "slow", "b"], Path.cwd(), time_limit_s=8)

    assert time.monotonic() - started < 50
    assert caught.value.hint
    found = {trace.status for trace in workspace.store.list_traces(TraceFilter())}
    assert found == {RunStatus.OK, RunStatus.CANCELLED}


def test_options_that_do_not_fit_are_refused(workspace: Workspace) -> None:
    limited = cli(Path.cwd(), "record", "--time-limit", "5", "--", "true")
    gated = cli(Path.cwd(), "record", "--gateway", "--input", "1")

    assert (limited.returncode, gated.returncode) == (2, 2)
    assert "--time-limit" in limited.stderr and "--gateway" in gated.stderr


def test_the_command_line_says_what_was_recorded(
    workspace: Workspace, server: ModelServer
) -> None:
    script = 'curl -s "$OPENAI_BASE_URL/models" > models.json'
    told = cli(Path.cwd(), "record", "--json", "--", "sh", "-c", script)
    silent = cli(Path.cwd(), "record", "--", "true")

    document = json.loads(told.stdout)
    assert (document["runs"], document["gateway"], document["tapes"]) == (2, True, 1)
    assert json.loads(Path("models.json").read_text())["object"] == "list"
    assert "does the program use OPENAI_BASE_URL" in silent.stderr
