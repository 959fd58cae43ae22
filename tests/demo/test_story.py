import os
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.demo import story
from refinery.errors import InputError
from tests.kits.repositories import git


def test_the_agent_becomes_a_clean_repository_with_one_commit(isolated: Path) -> None:
    root = story.make_repository(isolated / "demo")

    assert git(root, "rev-list", "--count", "HEAD").strip() == "1"
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "branch", "--show-current").strip() == "main"
    tracked = git(root, "ls-files").split()
    assert {"support_agent.py", "refinery.toml", "prompts/system.md", ".gitignore"} <= set(tracked)
    assert not [name for name in tracked if "__pycache__" in name]


def test_hooks_and_signing_of_the_user_take_no_part(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = isolated / "hooks"
    hooks.mkdir()
    hook = hooks / "pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    config = isolated / "gitconfig"
    config.write_text(f"[core]\nhooksPath = {hooks}\n[commit]\ngpgSign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    root = story.make_repository(isolated / "demo")

    assert git(root, "log", "--format=%an").strip() == "Refinery demo"


def test_an_empty_folder_may_be_used(isolated: Path) -> None:
    (isolated / "demo").mkdir()

    assert (story.make_repository(isolated / "demo") / ".git").is_dir()


def test_a_folder_with_something_in_it_is_left_alone(isolated: Path) -> None:
    (isolated / "mine.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(InputError, match="is not empty"):
        story.make_repository(isolated)
    with pytest.raises(InputError, match="is not empty"):
        story.make_repository(isolated / "mine.txt")

    assert sorted(path.name for path in isolated.iterdir()) == ["mine.txt"]


def test_the_environment_is_as_before_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the user's")
    monkeypatch.setenv("LANGSMITH_API_KEY", "the user's")
    before = dict(os.environ)

    with story.environment("http://127.0.0.1:1/v1"):
        assert os.environ["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
        assert os.environ["OPENAI_API_KEY"] != "the user's"
        assert "LANGSMITH_API_KEY" not in os.environ

    assert dict(os.environ) == before


def test_the_demo_uses_no_model_for_its_analysis(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_MODEL", "openai:somebody's")

    workspace = story.open_demo(story.make_repository(isolated / "demo"))
    workspace.store.close()

    assert workspace.settings.values.model is None


@pytest.mark.slow
def test_the_agents_own_tests_pass(isolated: Path) -> None:
    root = story.make_repository(isolated / "demo")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=root,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
