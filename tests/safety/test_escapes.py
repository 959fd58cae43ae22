import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.errors import RefusedError
from refinery.safety import sandbox
from refinery.safety.sandbox import FULL, KERNEL, UNSANDBOXED, Confinement, probe, strongest
from refinery.safety.sandbox.places import are_open_to_all, of_program

pytestmark = pytest.mark.slow
TIERS = pytest.mark.parametrize("tier", [FULL, KERNEL])
ROOT = Path(__file__).parents[2]


@TIERS
def test_no_escape_succeeds_and_everything_needed_works(tier: str) -> None:
    report = probe.probe(tier)

    assert report.escaped == ()
    assert report.missing == ()
    assert report.holds


def test_the_probe_sees_the_escapes_of_an_unsandboxed_program() -> None:
    report = probe.probe(UNSANDBOXED)

    assert {
        "write outside", "write through a link", "read a secret", "change a file outside",
        "connect to the host", "send a datagram", "connect to an abstract socket",
        "connect to a socket file", "signal a process", "read another environment",
    } <= set(report.escaped)  # fmt: skip
    assert not report.holds
    if os.geteuid() == 0:
        assert {"stay root", "mount", "make a setuid file"} <= set(report.escaped)


def test_the_strongest_tier_is_found_quickly_and_only_once() -> None:
    probe._remembered.cache_clear()

    assert strongest() == FULL
    assert probe._remembered(FULL).duration_s < 3
    assert probe._remembered.cache_info().misses == 1
    assert strongest() == FULL
    assert probe._remembered.cache_info().misses == 1


def test_the_environment_may_ask_for_the_weaker_sandbox_but_not_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(probe.FORCE, KERNEL)
    assert strongest() == KERNEL
    for word in (UNSANDBOXED, "none", "0"):
        monkeypatch.setenv(probe.FORCE, word)
        with pytest.raises(RefusedError, match="names no sandbox"):
            strongest(allow_unsandboxed=True)


def test_a_tier_without_its_parts_is_refused_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(probe.FORCE, FULL)
    probe._remembered.cache_clear()

    try:
        with pytest.raises(RefusedError, match="bubblewrap is not installed") as caught:
            strongest()
        assert "apt install bubblewrap" in caught.value.hint
        assert strongest(allow_unsandboxed=True) == UNSANDBOXED
    finally:
        probe._remembered.cache_clear()


def test_a_sandbox_that_does_not_hold_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A `bwrap` that starts its command without any confinement is found out."""
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert not probe.probe(FULL).holds


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs the system's Python")
def test_an_ordinary_user_is_held_in_both_tiers() -> None:
    code = (
        "from refinery.safety.sandbox.probe import probe\n"
        "for tier in ('full', 'kernel'):\n"
        "    report = probe(tier)\n"
        "    print(tier, report.escaped, report.missing)"
    )
    command = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"]

    said = subprocess.run(
        [*command, "/usr/bin/python3", "-c", code],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.splitlines() == ["full () ()", "kernel () ()"], said.stderr


@TIERS
@pytest.mark.parametrize(
    "attack",
    [
        "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",  # MPTCP
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        "socket.socket(38, socket.SOCK_SEQPACKET)",  # AF_ALG
        "socket.socket(40, socket.SOCK_STREAM)",  # AF_VSOCK
        "socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', 9))",  # MSG_FASTOPEN
        "os.open('s', os.O_CREAT | os.O_WRONLY, 0o4755)",
        "call(425, 1, 0)",  # io_uring_setup
        "call(56, 0x10000000 | 17, 0, 0, 0, 0)",  # clone(CLONE_NEWUSER)
        "call(308, 0, 0)",  # setns
        "call(250, 0, 0)",  # keyctl
        "call(321, 0, 0, 0)",  # bpf
        "call(304, 0, 0, 0)",  # open_by_handle_at
        "call(0x40000000 + 39)",  # a call of the x32 table
        "os.setuid(0)",
        "os.chroot('.')",
    ],
)
def test_a_system_call_that_reaches_out_is_refused(tier: str, attack: str, tmp_path: Path) -> None:
    if "call(" in attack and os.uname().machine != "x86_64":
        pytest.skip("numbers are those of x86_64")
    code = f"""
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    if libc.syscall(*(ctypes.c_long(n) for n in numbers)) < 0:
        raise OSError(ctypes.get_errno(), "refused")
try:
    {attack}
except (OSError, ZeroDivisionError) as error:
    print("refused", error)
"""
    confinement = Confinement(tmp_path, (), {}, 9, None, 20)

    finished = sandbox.run([sys.executable, "-I", "-c", code], confinement, tier)

    assert finished.stdout.startswith(b"refused"), finished
    assert not any(p.stat().st_mode & 0o6000 for p in tmp_path.iterdir() if p.is_file())


def test_a_program_of_the_system_makes_nothing_else_readable() -> None:
    assert of_program(Path("/bin/sh")) == []
    assert of_program(Path("/usr/bin/env")) == []


def test_an_environment_needs_its_own_parts_and_those_it_was_made_from(tmp_path: Path) -> None:
    base, venv = tmp_path / "base", tmp_path / "project" / ".venv"
    for folder in (base / "bin", base / "lib" / "python3.11", venv / "bin", venv / "lib"):
        folder.mkdir(parents=True)
    (base / "lib" / "python3.11" / "os.py").touch()
    (base / "bin" / "python3.11").touch()
    (base / "secret").touch()
    (venv / "bin" / "python").symlink_to("python3")
    (venv / "bin" / "python3").symlink_to(base / "bin" / "python3.11")
    (venv / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\n")

    found = of_program(venv / "bin" / "python")

    assert {venv / "bin", venv / "lib", venv / "pyvenv.cfg", base / "bin", base / "lib"} <= {
        *found
    }
    assert venv / "bin" / "python3" in found
    assert not any(path in (base, venv, tmp_path, base / "secret") for path in found)


def test_a_private_folder_on_the_way_is_noticed(tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "inner").mkdir(parents=True)
    private.chmod(0o700)

    assert not are_open_to_all([private / "inner" / "file"])
    assert are_open_to_all([Path("/usr/bin/env")])
