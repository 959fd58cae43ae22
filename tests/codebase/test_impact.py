from pathlib import Path

import pytest

from refinery.codebase.impact import Impact, impact
from tests.kits.repositories import write_files

LINE = "You are a careful support agent who never promises a refund."
FILES = {
    "app/__init__.py": "",
    "app/agent.py": "from app import tools\nfrom .prompts import load\n\n\ndef answer(q):\n"
    "    return tools.look_up(load() + q)\n",
    "app/tools.py": "import os\n\n\ndef look_up(q):\n    return q\n\n\ndef run():\n    pass\n",
    "app/prompts.py": f'TEXT = "{LINE}"\n\n\ndef load():\n    return open("prompts/system.md")\n',
    "app/other.py": "def run():\n    return 1\n\n\nrun()\n",
    "prompts/system.md": f"# Agent\n\n{LINE}\n",
    "prompts/copy.yaml": f"system: {LINE}\n",
    "src/lib.py": "import app.tools\n",
    "tests/test_agent.py": "from app.agent import answer\n\n\ndef test_it():\n    answer('q')\n",
    "tests/test_tools.py": "from app.tools import look_up\n",
    "tests/test_other.py": "from app import other\n",
    "broken.py": "def look_up(:\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_files(tmp_path, FILES)
    return tmp_path


def test_who_imports_calls_and_tests_a_file(root: Path) -> None:
    assert impact(root, ["app/tools.py"]) == Impact(
        importers=("app/agent.py", "src/lib.py", "tests/test_tools.py"),
        imports=(),
        callers=("app/agent.py",),
        tests=("tests/test_agent.py", "tests/test_tools.py"),
        prompts=(),
    )


def test_what_a_file_imports(root: Path) -> None:
    found = impact(root, ["app/agent.py"])

    assert found.imports == ("app/__init__.py", "app/prompts.py", "app/tools.py")
    assert found.importers == ("tests/test_agent.py",)
    assert found.tests == ("tests/test_agent.py",)


def test_who_reads_a_prompt_file_and_who_shares_its_text(root: Path) -> None:
    found = impact(root, ["prompts/system.md"])

    assert found.importers == ("app/prompts.py",)
    assert found.prompts == ("app/prompts.py", "prompts/copy.yaml")


def test_a_file_that_is_not_there_affects_nothing(root: Path) -> None:
    assert impact(root, ["nowhere.py"]) == Impact()
