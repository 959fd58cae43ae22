import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refinery.errors import RefusedError
from refinery.safety import sandbox
from refinery.safety.sandbox import FULL, KERNEL, UNSANDBOXED, Confinement, Finished
from refinery.safety.sandbox.confinement import OUTPUT_BYTES, PROCESSES

pytestmark = pytest.mark.slow
TIERS = pytest.mark.parametrize("tier", [FULL, KERNEL])
ROOT = Path(__file__).parents[2]


def python(code: str, work: Path, tier: str, **more: object) -> Finished:
    """Run Python code confined to a folder."""
    settings: dict[str, object] = {
        "readable": (), "env": {"PATH": "/usr/bin:/bin"}, "gateway_port": None,
        "gateway_socket": None, "timeout_s": 20.0, **more,
    }  # fmt: skip
    confinement = Confinement(workdir=work, **settings)  # type: ignore[arg-type]
    return sandbox.run([sys.executable, "-I", "-c", code], confinement, tier)


@contextmanager
def gateway(folder: Path) -> Iterator[tuple[int, Path]]:
    """A gateway on a TCP port and a Unix socket that answers in upper case until the end."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        path = folder / "gateway.sock"
        unix.bind(str(path))
        unix.listen()
        for listener in (tcp, unix):
            threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield tcp.getsockname()[1], path
        for listener in (tcp, unix):
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data.upper())


def is_running(marker: str) -> bool:
    """Whether some process has the marker on its command line."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if marker.encode() in folder.joinpath("cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False


def gone(marker: str) -> bool:
    """Whether no process with the marker is left, after a moment at most."""
    deadline = time.monotonic() + 30
    while is_running(marker) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return not is_running(marker)


@TIERS
def test_the_environment_is_what_was_given_and_the_work_folder_can_be_written(
    tier: str, tmp_path: Path
) -> None:
    code = "import os, json; open('out', 'w').write('x'); print(json.dumps(dict(os.environ)))"

    finished = python(code, tmp_path, tier, env={"A": "1", "HOME": "/root"})

    assert finished.exit_code == 0, finished.stderr
    told = json.loads(finished.stdout)
    told.pop("LC_CTYPE", None)  # Python sets it in its own process
    if tier == KERNEL:
        assert told.pop("TMPDIR") == told["HOME"] != "/root"
        told["HOME"] = "/root"
    assert told == {"A": "1", "HOME": "/root"}
    assert (tmp_path / "out").read_text() == "x"


@TIERS
def test_home_and_temporary_folders_are_fresh(tier: str, tmp_path: Path) -> None:
    home = tmp_path / "home" / "ann"
    home.mkdir(parents=True)
    (home / "secret").write_text("x")
    work = tmp_path / "work"
    code = (
        "import os, tempfile; home = os.path.expanduser('~'); print(os.listdir(home));"
        "open(home + '/new', 'w').close(); tempfile.NamedTemporaryFile().close()"
    )

    finished = python(code, work, tier, env={"HOME": str(home)})

    assert finished.exit_code == 0, finished.stderr
    assert "secret" not in finished.stdout.decode()
    assert [path.name for path in home.iterdir()] == ["secret"]


@TIERS
def test_only_named_paths_can_be_read(tier: str, tmp_path: Path) -> None:
    work, shown, hidden = (tmp_path / name for name in ("work", "shown", "hidden"))
    for folder in (shown, hidden):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    code = (
        "import sys\nfor path in sys.argv[1:]:\n"
        "    try: print(open(path).read())\n    except OSError: print('no')"
    )
    confinement = Confinement(work, (shown, tmp_path / "absent"), {}, None, None, 20)
    paths = [str(shown / "file"), str(hidden / "file"), "/etc/shadow"]

    finished = sandbox.run([sys.executable, "-I", "-c", code, *paths], confinement, tier)

    assert finished.stdout.decode().split() == ["shown", "no", "no"]


@TIERS
def test_third_party_modules_of_the_interpreter_can_be_imported(tier: str, tmp_path: Path) -> None:
    finished = python("import pydantic, sys; print(sys.prefix)", tmp_path, tier)

    assert finished.stdout.decode().strip() == sys.prefix, finished.stderr


@TIERS
def test_the_gateway_is_reached_on_its_port_and_nothing_else_is(tier: str, tmp_path: Path) -> None:
    code = """
import socket, threading
def ask(text):
    with socket.create_connection(("127.0.0.1", PORT)) as c:
        c.sendall(text)
        c.shutdown(socket.SHUT_WR)
        got = b""
        while part := c.recv(65536):
            got += part
        assert got == text.upper(), len(got)
threads = [threading.Thread(target=ask, args=(b"a" * n,)) for n in (1, 10, 300_000, 2_000_000)]
[t.start() for t in threads]
[t.join() for t in threads]
try:
    socket.create_connection(("127.0.0.1", OTHER), 2)
except OSError:
    print("held")
"""
    with gateway(tmp_path) as (port, path), socket.create_server(("127.0.0.1", 0)) as other:
        code = code.replace("PORT", str(port)).replace("OTHER", str(other.getsockname()[1]))
        finished = python(code, tmp_path / "work", tier, gateway_port=port, gateway_socket=path)

    assert finished.stdout == b"held\n", finished.stderr
    assert finished.stderr == b""


@TIERS
def test_without_a_gateway_there_is_no_network(tier: str, tmp_path: Path) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', PORT), 2)"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        finished = python(code.replace("PORT", port), tmp_path, tier)

    assert finished.exit_code == 1
    assert b"Error" in finished.stderr


@TIERS
def test_a_command_that_takes_too_long_ends_with_all_it_started(tier: str, tmp_path: Path) -> None:
    marker = f"orphan-{tier}-{os.getpid()}"
    code = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(60)  # {marker}"],
                 start_new_session=True)
print("started", flush=True)
time.sleep(60)
"""

    for timeout_s in (2.0, 20.0):  # the longer one when a busy machine has not even started it
        finished = python(code, tmp_path, tier, timeout_s=timeout_s)
        if finished.stdout:
            break

    assert finished.timed_out
    assert finished.exit_code is None
    assert finished.stdout == b"started\n"
    assert finished.duration_s < 40
    assert gone(marker)


@pytest.mark.parametrize("tier", [FULL, KERNEL, UNSANDBOXED])
def test_what_a_command_leaves_behind_ends_with_it(tier: str, tmp_path: Path) -> None:
    marker = f"daemon-{tier}-{os.getpid()}"
    code = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-I", "-c", "import time; time.sleep(60)",
                                  "{marker}"])
    os._exit(0)
os.wait()
"""

    finished = python(code, tmp_path, tier)

    assert finished.exit_code == 0, finished.stderr
    assert finished.duration_s < 40
    assert gone(marker)


@TIERS
def test_a_command_ends_when_the_one_who_started_it_is_killed(tier: str, tmp_path: Path) -> None:
    marker = f"parent-{tier}-{os.getpid()}"
    work = tmp_path / "work"
    code = f"""
import sys; from pathlib import Path; from refinery.safety.sandbox import Confinement, run
c = Confinement(Path({str(work)!r}), (), {{}}, None, None, 60)
run([sys.executable, "-I", "-c", "import time; print(1); time.sleep(60)  # {marker}"], c, {tier!r})
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    )
    deadline = time.monotonic() + 60
    inner = f"time.sleep(60)  # {marker}"
    while not _runs_inside(inner) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert _runs_inside(inner)

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()

    assert gone(inner)


def _runs_inside(marker: str) -> bool:
    """Whether the confined command itself runs, not only the process that asked for it."""
    count = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = folder.joinpath("cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            count += any(word.endswith(marker.encode()) for word in words)
    return count > 0


@TIERS
def test_a_fork_bomb_is_limited(tier: str, tmp_path: Path) -> None:
    code = f"""
import os, time
count = 0
try:
    while count < {PROCESSES} + 600:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        count += 1
except OSError as error:
    print(count, flush=True)
"""

    finished = python(code, tmp_path, tier)

    assert finished.exit_code == 0, finished.stderr
    assert 50 < int(finished.stdout) <= PROCESSES + 500


@TIERS
def test_memory_of_one_process_is_limited(tier: str, tmp_path: Path) -> None:
    code = "x = bytearray(100 << 20); print('small', flush=True); y = bytearray(500 << 20)"

    finished = python(code, tmp_path, tier, memory_bytes=300 << 20)

    assert finished.exit_code == 1
    assert finished.stdout == b"small\n"
    assert b"MemoryError" in finished.stderr


@TIERS
def test_memory_of_all_processes_together_is_limited(tier: str, tmp_path: Path) -> None:
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = b"x" * (80 << 20)
        time.sleep(30)
time.sleep(30)
"""

    finished = python(code, tmp_path, tier, memory_bytes=120 << 20)

    assert finished.out_of_memory
    assert finished.exit_code is None
    assert finished.duration_s < 25


@TIERS
def test_a_flood_of_output_is_cut_and_does_not_block(tier: str, tmp_path: Path) -> None:
    code = "import sys\nfor _ in range(20): sys.stdout.write('x' * (1 << 20))"

    finished = python(code, tmp_path, tier)

    assert finished.exit_code == 0
    assert len(finished.stdout) == OUTPUT_BYTES


@pytest.mark.parametrize("tier", [FULL, KERNEL, UNSANDBOXED])
def test_exit_codes_are_those_of_a_shell(tier: str, tmp_path: Path) -> None:
    assert python("raise SystemExit(3)", tmp_path, tier).exit_code == 3
    assert python("import os; os.kill(os.getpid(), 9)", tmp_path, tier).exit_code == 137
    assert python("import sys; print(sys.stdin.read())", tmp_path, tier).stdout == b"\n"


@TIERS
def test_a_repository_is_no_work_folder(tier: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()

    with pytest.raises(RefusedError, match="git work tree"):
        python("print(1)", tmp_path, tier)


@pytest.mark.parametrize("tier", [FULL, KERNEL, UNSANDBOXED])
def test_what_cannot_start_is_refused_with_a_reason(tier: str, tmp_path: Path) -> None:
    confinement = Confinement(tmp_path, (), {"PATH": "/bin"}, None, None, 20)
    no_program = tmp_path / "no-program"
    no_program.write_text("text")

    with pytest.raises(RefusedError, match="no program"):
        sandbox.run(["absent-program"], confinement, tier)
    with pytest.raises(RefusedError, match="did not start"):
        sandbox.run([str(no_program)], confinement, tier)
    with pytest.raises(RefusedError, match="unknown sandbox tier"):
        sandbox.run(["true"], confinement, "strong")
    assert sandbox.run(["true"], confinement, tier).exit_code == 0
