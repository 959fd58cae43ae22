"""The demo's steps up to the fix: a repository, a recorded failure, recorded good answers."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.codebase.git import program
from refinery.errors import InputError
from refinery.model.messages import answer_text
from refinery.model.trace import Json, Label
from refinery.workflows import record, traces
from refinery.workflows.wiring import Workspace, open_workspace

AGENT = Path(__file__).parent / "agent"
IDENTITY = ("-c", "user.name=Refinery demo", "-c", "user.email=demo@localhost")
NO_PROGRAMS = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false")
"""Neither hooks nor signing of the user's own settings take part."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a customer asks, and what the demo's expert says of the answer."""

    text: str
    label: Label
    customer: str = "C-104"


FAILING = Question(
    "How much is the Pro plan per month?",
    Label("fail", "The Pro plan costs $15 per month since March 2026.", ("contains@answer:$15",)),
)
PASSING = (
    Question(
        "How long do I have to ask for a refund?",
        Label("pass", "Within 30 days.", ("contains@answer:30 days",)),
    ),
    Question(
        "When is the support office open?",
        Label("pass", "9:00 to 17:00.", ("contains@answer:9:00 to 17:00",)),
    ),
    Question(
        "How many seats does my account have?",
        Label("pass", "Account C-104 has 12 seats.", ("contains@answer:12 seats",)),
    ),
    Question(
        "Can I export my notes as PDF?",
        Label("pass", "Yes, as Markdown or PDF.", ("contains@answer:PDF",)),
    ),
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One recorded and labelled run."""

    question: Question
    trace_id: str
    answer: str


def make_repository(target: Path) -> Path:
    """Copy the agent into a new folder and commit it; returns the repository's root.

    Raises:
        InputError: the folder is not empty or cannot be written, or git is not installed.
    """
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is not empty", hint="name a folder that does not exist yet")
    try:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*cache", ".refinery")
        shutil.copytree(AGENT, target, ignore=ignored, dirs_exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error}", hint="name another folder") from error
    _git(target, "init", "--quiet", "--initial-branch=main", "--template=")
    # A commit needs a name and an address; these hold in this one repository only.
    for setting in (part for part in IDENTITY if "=" in part):
        _git(target, "config", *setting.split("=", 1))
    commit_all(target, "Support agent of Lumen Notes")
    return target


def commit_all(repository: Path, message: str) -> None:
    """Commit everything in the demo's repository."""
    _git(repository, "add", "--all")
    _git(repository, *NO_PROGRAMS, "commit", "--quiet", "--message", message)


def put_back(repository: Path, commit: str) -> None:
    """Make the demo's repository as it was at a commit, whatever was done to it since."""
    _git(repository, *NO_PROGRAMS, "reset", "--quiet", "--hard", commit)
    _git(repository, *NO_PROGRAMS, "clean", "--quiet", "-d", "--force")


@contextmanager
def environment(base_url: str) -> Iterator[None]:
    """Point the agent to the scripted model, for this process and as long as the block runs."""
    ours = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "not-needed"}
    foreign = [name for name in os.environ if name.startswith(("LANGSMITH_", "LANGCHAIN_"))]
    saved = {name: os.environ.get(name) for name in (*ours, *foreign, "no_proxy")}
    try:
        for name in foreign:  # the demo's runs go nowhere but into its own store
            del os.environ[name]
        os.environ.update(ours, no_proxy="127.0.0.1,localhost")
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def open_demo(repository: Path, flags: dict[str, Json] | None = None) -> Workspace:
    """The workspace of the demo's repository, without any model for the analysis.

    Raises:
        InputError: the user's own settings are wrong.
        StoreError: the store cannot be used.
    """
    workspace = open_workspace(repository, flags)
    settings = workspace.settings
    offline = settings.values.model_copy(update={"model": None})
    return replace(workspace, settings=replace(settings, values=offline))


def record_and_label(workspace: Workspace, repository: Path) -> list[Answered]:
    """Ask every question under recording and label the runs; the failing one comes first.

    Raises:
        InputError: the agent cannot be imported.
    """
    questions = (FAILING, *PASSING)
    inputs = [{"question": q.text, "customer": q.customer} for q in questions]
    recorded = record.record_inputs(workspace, inputs, repository)
    answered = []
    for question, run in zip(questions, recorded, strict=True):
        if run.trace_id is None:
            raise InputError(
                "nothing was recorded", hint="recording is off: unset REFINERY_RECORD"
            )
        traces.label(workspace, run.trace_id, question.label)
        said = run.error["message"] if run.error else answer_text(run.output)
        answered.append(Answered(question, run.trace_id, said))
    return answered


def _git(folder: Path, *arguments: str) -> None:
    blocked = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")
    clean = {name: value for name, value in os.environ.items() if name not in blocked}
    done = subprocess.run(
        [program(), *arguments], cwd=folder, env=clean, capture_output=True, text=True
    )
    if done.returncode:
        raise InputError(f"git {arguments[0]} failed: {done.stderr.strip()}", hint="check git")
