from pathlib import Path

import pytest

from refinery import plugins
from refinery.errors import InputError, PluginError
from refinery.workflows import knowledge
from refinery.workflows.diagnose import by_detectors
from refinery.workflows.wiring import open_workspace
from tests.kits.traces import run, trace

DETECTOR = '''"""The answer says banana."""
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
def detect(trace):
    for run in trace.runs:
        if "banana" in str(run.outputs):
            yield Signal("banana", "Banana", "It says so.", run.run_id, run.run_id,
                         (Evidence(run.run_id, "banana"),), Likelihood.LIKELY, RootCause.PROMPT)
'''


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_OWN", {})
    return tmp_path / "home"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_detector_of_ones_own_takes_part(home: Path) -> None:
    put(home / "detectors" / "banana.py", DETECTOR)
    put(home / "detectors" / "_draft.py", "raise RuntimeError")
    workspace = open_workspace()

    found = by_detectors(workspace, trace(run("t", "chain", outputs={"answer": "a banana"})))

    assert [finding.category for finding in found.findings] == ["banana"]
    assert "_draft" not in plugins.names("detectors")


def test_a_changed_file_is_read_anew(home: Path) -> None:
    path = put(home / "embedders" / "mine.py", '"""One."""\nNUMBER = 1\n')
    open_workspace()
    assert plugins.load("embedders", "mine").NUMBER == 1

    put(path, '"""Two."""\nNUMBER = 2 + 0\n')

    assert plugins.load("embedders", "mine").NUMBER == 2


def test_a_name_that_is_taken_stays_with_its_owner(home: Path) -> None:
    put(home / "embedders" / "hash.py", "raise RuntimeError")
    open_workspace()

    assert plugins.load("embedders", "hash").__name__ == "refinery.embedders.hash"


def test_a_broken_file_is_named_with_its_error(home: Path) -> None:
    put(home / "detectors" / "broken.py", "1 / 0")
    workspace = open_workspace()

    with pytest.raises(PluginError, match=r"broken.py cannot be imported: ZeroDivisionError"):
        by_detectors(workspace, trace(run("t", "chain")))


def test_a_guide_of_the_project_is_found_and_forgotten_with_its_file(home: Path) -> None:
    guide = put(home / "guides" / "style.md", "# Style\n\n## Quagga rule\n\nAlways quagga.\n")
    workspace = open_workspace()

    found = knowledge.search(workspace, "quagga", 1).passages[0]
    assert (found.citation, found.origin) == ("style#Quagga rule", "project")

    guide.unlink()
    assert all(one.name != "style" for one in knowledge.guides(workspace))


def test_a_guide_that_is_no_text_is_an_error(home: Path) -> None:
    put(home / "guides" / "style.md", "").write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match="cannot be read"):
        knowledge.guides(open_workspace())
