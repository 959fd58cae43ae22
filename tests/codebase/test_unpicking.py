import random

import pytest

from refinery.codebase.unpicking import Conflict, unpick

BEFORE = 'def ask(q):\n    model = Chat("m")\n    return model.run(q)\n'
WRITTEN = 'def ask(q):\n    model = Chat("m", max_tokens=500)\n    return model.run(q)\n'


def taken_back(now: str, written: str = WRITTEN, before: str = BEFORE) -> str | Conflict:
    found = unpick("a.py", written.encode(), before.encode(), now.encode())
    return found if isinstance(found, Conflict) else found.decode()


@pytest.mark.parametrize(
    ("edit", "to"),
    [
        ('Chat("m", max_tokens=500)', 'Chat("m", max_tokens=500, timeout=3)'),
        ('Chat("m", max_tokens=500)', 'Chat("m", temperature=0, max_tokens=500)'),
        ('Chat("m", max_tokens=500)', 'Chat("m", max_tokens=500)  # cheap'),
        ("    model = Chat", "    client = Chat"),
        ('Chat("m"', 'Chat("gpt"'),
        ("def ask(q):\n", 'def ask(q):\n    """Ask."""\n'),
        ("    return", "    log(q)\n    return"),
    ],
)
def test_edits_in_the_same_line_stay(edit: str, to: str) -> None:
    now = WRITTEN.replace(edit, to)

    found = taken_back(now)

    assert isinstance(found, str)
    assert "max_tokens" not in found
    assert found == BEFORE.replace(
        edit.replace(", max_tokens=500", ""), to.replace(", max_tokens=500", "")
    )


@pytest.mark.parametrize(
    "now",
    [
        WRITTEN.replace("500", "900"),
        WRITTEN.replace("max_tokens=500", "max_tokens=limit(500)"),
        WRITTEN.replace(", max_tokens=500)", ",\n        max_tokens=500)"),
    ],
)
def test_what_was_changed_again_is_a_conflict_with_three_versions(now: str) -> None:
    found = taken_back(now)

    assert isinstance(found, Conflict)
    assert "max_tokens" not in found.before
    assert "max_tokens=500" in found.written
    assert found.now in now


def test_what_was_removed_is_put_back_between_its_neighbours() -> None:
    written = BEFORE.replace("    return model.run(q)\n", "    return model.run(q)\n\n\nX = 1\n")
    assert taken_back(written.replace("q)", "q)  # ok", 1), written, BEFORE) == BEFORE.replace(
        "q)", "q)  # ok", 1
    )
    gone = "def ask(q):\n    return 1\n"
    assert taken_back(
        gone + "Y = 2\n", gone, "def ask(q):\n    q = q.strip()\n    return 1\n"
    ) == ("def ask(q):\n    q = q.strip()\n    return 1\nY = 2\n")


def test_python_that_would_no_longer_parse_is_a_conflict() -> None:
    written = "if x:\n    a()\n    b()\n"
    assert isinstance(taken_back("if x:\n    b()\n", written, "if x:\n    a()\n"), Conflict) or (
        taken_back("if x:\n    b()\n", written, "if x:\n    a()\n") != "if x:\n"
    )


def test_random_edits_around_the_change_are_never_lost() -> None:
    chance = random.Random(7)
    for number in range(200):
        lines = WRITTEN.splitlines()
        marks = []
        for _ in range(chance.randint(1, 6)):
            mark = f"user_{number}_{len(marks)}"
            marks.append(mark)
            at = chance.randrange(len(lines) + 1)
            if chance.random() < 0.5 and at < len(lines):
                lines[at] += f"  # {mark}"
            else:
                indent = "    " if at > 0 else ""
                lines.insert(at, f"{indent}{mark} = 1")
        now = "\n".join(lines) + "\n"
        found = taken_back(now)
        if isinstance(found, Conflict):
            continue
        assert all(mark in found for mark in marks)
        assert "max_tokens" not in found
