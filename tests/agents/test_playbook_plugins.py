"""Recipes of the user's own and of other distributions take part like the built-in ones."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from refinery import plugins
from refinery.agents import playbook
from refinery.errors import PluginError
from refinery.model.failure import Finding, Likelihood, RootCause
from refinery.model.patch import Edit
from refinery.model.trace import Run, Trace
from refinery.workflows.wiring import open_workspace
from tests.kits.repositories import make_repository

OWN = '''"""Recipes for answers that came too late: stream them."""

from refinery.agents.playbook import Draft
from refinery.model.patch import Edit


def stream(case):
    edit = Edit("set_argument", "app.py", {"call": "ask", "name": "stream", "value": "True"})
    yield Draft("Stream the answer", "It takes long.", "parameters", (edit,), 0.5)


RECIPES = {"my_category": (stream,)}
'''
TRACE = Trace("r", (Run("r", "r"),))
FINDING = Finding(
    finding_id="F1",
    category="my_category",
    title="t",
    explanation="e",
    likelihood=Likelihood.CERTAIN,
    confidence=0.8,
    cause_run_id="r",
    symptom_run_id="r",
    evidence=(),
    root_cause=RootCause.MODEL,
)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    yield make_repository(tmp_path / "agent", {"app.py": "ask()\n"})
    plugins.add_folder(playbook.ROOM, tmp_path / "nothing")


def test_a_file_in_the_project_s_folder_proposes_changes(repository: Path) -> None:
    (repository / ".refinery/playbook").mkdir(parents=True)
    (repository / ".refinery/playbook/streaming.py").write_text(OWN, encoding="utf-8")
    open_workspace(repository).store.close()

    found = playbook.propose([FINDING], TRACE, repository)

    assert [hypothesis.title for hypothesis in found] == ["Stream the answer"]
    assert found[0].edits == (
        Edit("set_argument", "app.py", {"call": "ask", "name": "stream", "value": "True"}),
    )


def test_a_file_without_recipes_is_named(repository: Path) -> None:
    (repository / ".refinery/playbook").mkdir(parents=True)
    (repository / ".refinery/playbook/empty.py").write_text('"""Nothing."""\n', encoding="utf-8")
    open_workspace(repository).store.close()

    with pytest.raises(PluginError, match="the playbook's empty has no RECIPES"):
        playbook.propose([FINDING], TRACE, repository)


def test_another_distribution_adds_recipes_by_an_entry_point(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guest_recipes.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    guest = EntryPoint("guest", "guest_recipes", "refinery.agents.playbook")
    monkeypatch.setattr(
        plugins, "_guests", lambda room: {"guest": guest} if room == playbook.ROOM else {}
    )

    found = playbook.propose([FINDING], TRACE, repository)

    assert [hypothesis.title for hypothesis in found] == ["Stream the answer"]
