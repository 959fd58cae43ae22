import base64
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from refinery.codebase.editor import describe_kinds, plan
from refinery.codebase.repository import Repository
from refinery.codebase.splicer import answer
from refinery.errors import EditError, InputError
from refinery.model.patch import Edit
from tests.kits.repositories import commit_all, git, make_repository, write_files

pytestmark = pytest.mark.slow

AGENT = """from langchain_openai import ChatOpenAI

PROMPT = "Answer from {documents}."


def build():
    return ChatOpenAI(model="small")
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    files = {"agent.py": AGENT, "config.yaml": "model: small\nk: 4  # few\n", "odd.py": "x = (\n"}
    return Repository.open(make_repository(tmp_path / "repo", files))


def edit(kind: str, file: str = "agent.py", /, **arguments: object) -> Edit:
    return Edit(kind, file, arguments)


def test_edits_of_several_files_become_one_patch(repository: Repository, tmp_path: Path) -> None:
    edits = [
        edit("set_key", "config.yaml", path=["k"], value=8),
        edit("replace_string", old="from {documents}", new="from the newest of {documents}"),
        edit("set_argument", call="ChatOpenAI", name="temperature", value="0"),
    ]

    patch = plan(repository, edits)

    assert [change.path for change in patch.changes] == ["agent.py", "config.yaml"]
    assert patch.changes[0].before == AGENT.encode()
    assert (
        patch.changes[0].after
        == AGENT.replace("from {", "from the newest of {")
        .replace('"small")', '"small", temperature=0)')
        .encode()
    )
    assert patch.changes[1].after == b"model: small\nk: 8  # few\n"
    assert patch.base_commit == repository.head_commit()
    assert patch.digest == sha256(f"{patch.base_commit}\n{patch.diff}".encode()).hexdigest()
    subprocess.run(
        ["git", "apply", "--check", "-"],
        cwd=repository.root,
        input=patch.diff.encode(),
        check=True,
    )


def test_planning_is_on_the_commit_not_on_uncommitted_work(repository: Repository) -> None:
    (repository.root / "agent.py").write_text("mine\n")

    patch = plan(repository, [edit("replace_text", old="small", new="large")])

    assert patch.changes[0].before == AGENT.encode()
    assert (repository.root / "agent.py").read_text() == "mine\n"


def test_an_edit_says_what_it_replaces_and_is_refused_when_that_changed(
    repository: Repository,
) -> None:
    first = plan(repository, [edit("set_argument", call="ChatOpenAI", name="model", value="'m'")])
    again = plan(repository, first.edits)
    assert again.digest == first.digest
    assert first.edits[0].replaces == sha256(b'"small"').hexdigest()

    write_files(repository.root, {"agent.py": AGENT.replace('"small"', '"tiny"')})
    commit_all(repository.root, "smaller")

    with pytest.raises(EditError, match="has changed where set_argument applies"):
        plan(repository, first.edits)


def test_an_insertion_is_bound_to_its_line(repository: Repository) -> None:
    first = plan(repository, [edit("set_argument", call="ChatOpenAI", name="k", value="1")])
    write_files(repository.root, {"agent.py": AGENT.replace('"small"', '"tiny"')})
    commit_all(repository.root, "smaller")

    with pytest.raises(EditError, match="has changed"):
        plan(repository, first.edits)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (edit("replace_string", old="absent", new="x"), "no string literal"),
        (edit("replace_text", old="small", new="small"), "changes nothing"),
        (edit("replace_text", "agnt.py", old="a", new="b"), "is no file of commit"),
        (edit("replace_text", "../secret", old="a", new="b"), "is no file of commit"),
        (edit("replace_text", old="small"), "needs 'new'"),
        (edit("replace_text", old="small", new="x", extra=1), "takes no 'extra'"),
        (edit("replace_text", old="small", new=5), "must be string"),
        (edit("replace_string", line=True, old="small", new="x"), "must be integer or null"),
        (edit("replace_everything"), "no codebase.edits plug-in"),
        (edit("replace_text", old="def build():", new="def build(:"), "not be valid Python"),
        (edit("replace_text", old="small", new="\ud800"), "character UTF-8 lacks"),
        (edit("replace_string", "odd.py", old="x", new="y"), "not valid Python"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(
    repository: Repository, bad: Edit, message: str
) -> None:
    with pytest.raises(EditError, match=message):
        plan(repository, [bad])


def test_a_misspelt_path_names_the_near_one(repository: Repository) -> None:
    with pytest.raises(EditError) as caught:
        plan(repository, [edit("replace_text", "agnt.py", old="a", new="b")])

    assert "'agent.py'" in caught.value.hint


def test_overlapping_edits_are_refused(repository: Repository) -> None:
    with pytest.raises(EditError, match="same place"):
        plan(
            repository,
            [
                edit("replace_text", old='model="small"', new='model="large"'),
                edit("set_argument", call="ChatOpenAI", name="model", value="'m'"),
            ],
        )


def test_an_unknown_commit_is_refused(repository: Repository) -> None:
    with pytest.raises(InputError, match="no commit"):
        plan(repository, [edit("replace_text", old="a", new="b")], "f" * 40)


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "(" * 3000 + "1" + ")" * 3000 + "\n",
        "x = a" + ".b" * 3000 + "\nf()\n",
        "x = " + "-" * 50_000 + "1\n",
        "x = " + "+".join(["1"] * 20_000) + "\nf()\n",
        "x = 'a\0b'\n",
        "if 1:\n" * 0 + "".join(" " * i + "if x:\n" for i in range(120)) + " " * 120 + "f()\n",
        "y = 1\n" * 30_000,
        "f(" + "[" * 150 + "]" * 150 + ")\n",
    ],
)
def test_a_parser_bomb_is_an_error_not_a_crash(tmp_path: Path, source: str) -> None:
    repository = Repository.open(make_repository(tmp_path / "bomb", {"bomb.py": source}))

    try:
        patch = plan(repository, [edit("set_argument", "bomb.py", call="f", name="k", value="1")])
    except EditError:
        return
    assert b"k=1" in (patch.changes[0].after or b"")


def test_an_alias_bomb_in_yaml_is_edited_without_unfolding_it(tmp_path: Path) -> None:
    names = "abcdefghijkl"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for here, there in zip(names[1:], names, strict=False):
        lines.append(f"{here}: &{here} [{', '.join(['*' + there] * 9)}]")
    files = {"bomb.yaml": "\n".join([*lines, "z: 1", ""]), "deep.json": "[" * 50_000}
    repository = Repository.open(make_repository(tmp_path / "bomb", files))

    patch = plan(repository, [edit("set_key", "bomb.yaml", path=["z"], value=2)])

    assert (patch.changes[0].after or b"").endswith(b"z: 2\n")
    with pytest.raises(EditError, match="without changing others"):
        plan(repository, [edit("set_key", "bomb.yaml", path=["a"], value=2)])
    with pytest.raises(EditError, match="not valid JSON"):
        plan(repository, [edit("set_key", "deep.json", path=["k"], value=2)])


def test_a_file_that_is_no_utf8_is_refused(repository: Repository) -> None:
    (repository.root / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = '\xe9'\n")
    git(repository.root, "add", "-A")
    git(repository.root, "commit", "-q", "-m", "latin")

    with pytest.raises(EditError, match="no UTF-8"):
        plan(repository, [edit("replace_text", "latin.py", old="x", new="y")])


def test_kinds_are_described_by_their_schemas() -> None:
    kinds = describe_kinds()

    assert set(kinds) == {
        "add_import",
        "remove_argument",
        "replace_function",
        "replace_string",
        "replace_text",
        "set_argument",
        "set_key",
    }
    assert kinds["set_key"]["required"] == ["path", "value"]
    assert kinds["set_key"]["description"] == "Set a key of a YAML, JSON or TOML file"


def test_the_child_answers_each_edit_for_itself() -> None:
    content = base64.b64encode(b"x = f(1)\n").decode()
    edits = [
        {
            "kind": "set_argument",
            "path": "a.py",
            "arguments": {"call": "f", "name": "k", "value": "2"},
        },
        {"kind": "replace_text", "path": "a.py", "arguments": {"old": "absent", "new": "x"}},
    ]

    found = answer({"files": {"a.py": content}, "edits": edits})

    assert found["edits"][0] == [[7, 7, base64.b64encode(b", k=2").decode()]]
    assert found["edits"][1]["error"] == "a.py has no text 'absent'"
    assert found["files"] == {}
