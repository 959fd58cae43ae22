"""`refinery.record()` in processes of its own: the switch belongs to a whole process."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import refinery
from tests.recorders._collect import views

pytestmark = pytest.mark.slow

ROOT = Path(refinery.__file__).parents[1]
APP = """
from langchain_core.runnables import RunnableLambda
step = RunnableLambda(lambda x: x + 1).with_config(run_name="step")
"""


def run_program(
    program: str, folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REFINERY_HOME": str(folder / "state"),
        **variables,
    }
    return subprocess.run(
        [sys.executable, *arguments, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Last view of each run in a folder's spool, by run id."""
    spool = folder / "state" / "spool"
    folders = [spool, *(path for path in spool.rglob("*") if path.is_dir())]
    return {view["run"]["run_id"]: view for place in folders for view in views(place)}


def names(folder: Path) -> list[str]:
    return sorted(view["run"]["name"] for view in runs(folder).values())


@pytest.mark.parametrize(
    "program",
    [
        "import refinery; refinery.record(); refinery.record()\n" + APP + "step.invoke(1)",
        APP + "step.invoke(0)\nimport refinery; refinery.record()\nstep.invoke(1)",
    ],
    ids=["twice before the import", "after a first run"],
)
def test_one_line_records_each_run_once(program: str, tmp_path: Path) -> None:
    done = run_program(program, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path) == ["step"]


def test_threads_started_later_are_seen(tmp_path: Path) -> None:
    program = f"""
import refinery; refinery.record(project="mine")
{APP}
import threading
threads = [threading.Thread(target=step.invoke, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    done = run_program(program, tmp_path)

    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["step"] * 4
    assert {view["project"] for view in runs(tmp_path).values()} == {"mine"}


def test_stop_ends_recording_and_record_begins_again(tmp_path: Path) -> None:
    program = f"""
import refinery; refinery.record()
from refinery.recorders.switch import stop
{APP}
step.invoke(1)
stop()
step.with_config(run_name="unseen").invoke(2)
refinery.record()
step.with_config(run_name="again").invoke(3)
"""
    run_program(program, tmp_path)

    assert names(tmp_path) == ["again", "step"]


def test_the_off_switch_leaves_no_trace(tmp_path: Path) -> None:
    program = "import refinery; refinery.record()\n" + APP + "print(step.invoke(1))"

    done = run_program(program, tmp_path, REFINERY_RECORD="0")

    assert (done.stdout, done.stderr) == ("2\n", "")
    assert not (tmp_path / "state").exists()


def test_recording_imports_nothing_before_langchain_is_imported(tmp_path: Path) -> None:
    program = """
import sys, refinery
refinery.record()
heavy = ("langchain", "langgraph", "langsmith", "pydantic", "chromadb", "openai", "numpy", "rich")
print([name for name in heavy if name in sys.modules or name + "_core" in sys.modules])
"""
    done = run_program(program, tmp_path)

    assert done.stdout == "[]\n", done.stderr
    assert not (tmp_path / "state").exists()


def test_forked_workers_record_into_files_of_their_own(tmp_path: Path) -> None:
    program = f"""
import os, refinery; refinery.record()
{APP}
step.invoke(0)
for n in range(3):
    if (pid := os.fork()) == 0:
        step.with_config(run_name=f"child-{{n}}").invoke(n)
        from refinery.recorders.sink import flush_all
        flush_all(5); os._exit(0)
    os.waitpid(pid, 0)
"""
    done = run_program(program, tmp_path)

    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["child-0", "child-1", "child-2", "step"]


def test_a_spool_that_cannot_be_written_changes_nothing_for_the_host(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    program = "import refinery; refinery.record()\n" + APP + "print(step.invoke(1))"

    done = run_program(program, tmp_path)

    assert (done.returncode, done.stdout) == (0, "2\n")
    assert done.stderr.count("\n") == 1
    assert "2 run views were not recorded" in done.stderr or "1 run views" in done.stderr


def test_a_slow_git_costs_neither_the_runs_nor_the_exit(tmp_path: Path) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    (tmp_path / "work" / "refinery.toml").write_text("")
    program = (
        "import refinery; refinery.record()\n"
        + APP
        + "step.invoke(1)\nimport time; print(time.time())"
    )

    done = run_program(program, tmp_path, PATH=f"{slow.parent}:{os.environ['PATH']}")

    assert time.time() - float(done.stdout) < 40
    assert (names(tmp_path), done.stderr) == (["step"], "")


def test_a_program_killed_in_the_middle_leaves_its_open_run(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, signal, time, refinery; refinery.record()
{APP}
def die(x):
    spool = pathlib.Path(os.environ["REFINERY_HOME"], "spool")
    while not any(file.stat().st_size for file in spool.rglob("*.jsonl*")): time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
RunnableLambda(die).invoke(1)
"""
    done = run_program(program, tmp_path)

    assert done.returncode == -9
    (view,) = runs(tmp_path).values()
    assert (view["run"]["name"], view["run"]["status"]) == ("die", "running")


def test_sitecustomize_records_and_runs_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins; builtins.MINE = 'ran'\n")
    boot = ROOT / "refinery" / "recorders" / "boot"
    path = os.pathsep.join([str(boot), str(ROOT), str(own)])

    done = run_program(APP + "step.invoke(1); print(MINE)", tmp_path, PYTHONPATH=path)

    assert (done.stdout, done.stderr) == ("ran\n", "")
    assert names(tmp_path) == ["step"]


def test_sitecustomize_without_the_package_tells_it_and_goes_on(tmp_path: Path) -> None:
    boot = ROOT / "refinery" / "recorders" / "boot"

    done = run_program("print('ran')", tmp_path, "-S", PYTHONPATH=str(boot))
    told = run_program(
        "import sys; sys.path.append(sys.argv[0]); import runpy;"
        f"sys.modules['refinery'] = None; runpy.run_path({str(boot / 'sitecustomize.py')!r});"
        "print('ran')",
        tmp_path,
    )

    assert done.stdout == told.stdout == "ran\n"
    assert told.stderr.startswith("refinery: recording is off")
