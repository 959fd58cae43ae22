"""What is read of a work tree when source is located, and what hostile files can do."""

import time
from pathlib import Path

from refinery.codebase.locate import locate, locate_template
from refinery.model.trace import Run, RunError, RunKind, Trace
from tests.kits.repositories import write_files


def test_environments_and_hidden_folders_are_never_read(tmp_path: Path) -> None:
    text = "PROMPT = 'You are a careful assistant for travel bookings.'\n"
    names = [".venv/a.py", "env2/a.py", "node_modules/a.py", ".git/a.py", "x/__pycache__/a.py"]
    write_files(tmp_path, {**dict.fromkeys(names, text), "env2/pyvenv.cfg": ""})
    (tmp_path / "big.txt").write_text(text * 30_000)
    (tmp_path / "link.py").symlink_to(tmp_path / "env2/a.py")

    prompt = {"role": "system", "content": "You are a careful assistant for travel bookings."}
    run = Run("m", "t", kind=RunKind.LLM, inputs={"messages": [prompt]})

    assert locate_template(run, tmp_path) == []
    write_files(tmp_path, {"prompts.py": text})
    assert [one.file for one in locate_template(run, tmp_path)] == ["prompts.py"]


def test_hostile_source_and_traces_do_no_harm(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "deep.py": "x = " + "(" * 5000 + "1" + ")" * 5000 + "\nname = 'needle in the stack'\n",
            "chain.py": "x = " + " + ".join(["'needle in the stack'"] * 3000) + "\n",
            "bomb.yaml": "a: " + "[" * 3000 + "\nneedle in the stack: x\n",
            "deep.json": '{"needle in the stack": ' * 3000,
            "deep.toml": "a = " + "[" * 3000 + "\n# needle in the stack\n",
            "re.txt": "{{" * 20_000 + "needle in the stack" + "{" * 20_000,
        },
    )
    text = "needle in the stack " * 5_000
    error = RunError("E", "m", 'File "' * 20_000 + '  File "x.py", line 99999999999, in y\n')
    run = Run("m", "t", "n" * 100_000, RunKind.LLM, inputs={"a": [text, {"b": text}]}, error=error)
    tool = Run("k", "t", "needle in the stack", RunKind.TOOL, parent_id="m", error=error)
    started = time.thread_time()

    found = locate(Trace("t", (run, tool)), run, tmp_path)
    locate(Trace("t", (run, tool)), tool, tmp_path)

    assert all(0 <= one.confidence <= 1 for one in found)
    assert time.thread_time() - started < 10
