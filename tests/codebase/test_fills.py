"""What a program fills into a template is told from its source, or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from refinery import plugins
from refinery.codebase import editor
from refinery.codebase.fills import fills
from refinery.codebase.repository import Repository
from refinery.model.patch import Edit, Patch
from refinery.model.verdict import Outcome
from refinery.ports import GuardInput
from refinery.safety import policy
from tests.kits.repositories import make_repository

CARD = "The card wishes {{ recipent }} a happy {{ occasion }}.\n"
PATH = "templates/card.j2"
READ = (
    "from pathlib import Path\n"
    "TEXT = (Path(__file__).parent / 'templates' / 'card.j2').read_text()\n"
)
JINJA = "import jinja2\nenv = jinja2.Environment(loader=jinja2.FileSystemLoader('templates'))\n"
GET = "env.get_template('card.j2')"
HELPER = "def fill(text, **values):\n    return text.format_map(values)\n"
BOTH = ("occasion", "recipient")


def repository(folder: Path, files: dict[str, str]) -> Repository:
    return Repository.open(make_repository(folder / "repo", {PATH: CARD, **files}))


def renamed(place: Repository, new: str = "{{ recipient }}") -> Patch:
    edit = Edit("replace_text", PATH, {"old": "{{ recipent }}", "new": new})
    return editor.plan(place, (edit,))


def judged(place: Repository, patch: Patch) -> Outcome:
    """The worst any rule says, asked in this process: a child for each would take long."""
    given = GuardInput(patch.changes, place.root, fills=fills(place, patch))
    rules = [plugins.load("safety.rules", name) for name in plugins.names("safety.rules")]
    found = {remark.outcome for rule in rules for remark in rule.check(given)}
    return next((one for one in (Outcome.BLOCK, Outcome.HOLD) if one in found), Outcome.ALLOW)


def test_the_guard_in_its_child_is_told_what_is_filled_in(tmp_path: Path) -> None:
    source = f"{READ}{HELPER}def f(a, b):\n    return fill(TEXT, recipient=a, occasion=b)\n"
    place = repository(tmp_path, {"app.py": source})
    patch = renamed(place)
    known = GuardInput(patch.changes, place.root, fills=fills(place, patch))

    assert policy.review(patch, known).outcome is Outcome.ALLOW
    assert policy.review(patch, replace(known, fills=())).outcome is Outcome.HOLD


@pytest.mark.parametrize(
    "source",
    [
        f"{READ}{HELPER}def f(a, b):\n    return fill(TEXT, recipient=a, occasion=b)\n",
        f"{JINJA}def f(a, b):\n    return {GET}.render(recipient=a, occasion=b)\n",
        f"{JINJA}card = {GET}\ndef f(a, b):\n"
        "    return card.render({'recipient': a, 'occasion': b})\n",
        f"{JINJA}card = {GET}\ndef f(a, b):\n"
        "    return card.render(**{'recipient': a}, occasion=b)\n",
        f"{JINJA}class A:\n    def __init__(self):\n        self.card = {GET}\n"
        "    def f(self, a, b):\n        return self.card.render(dict(recipient=a, occasion=b))\n",
        f"{READ}import jinja2\ncard = jinja2.Template(TEXT)\ndef f(a, b):\n"
        "    return card.render(recipient=a, occasion=b)\n",
        "from flask import render_template\ndef f(a, b):\n"
        "    return render_template('card.j2', recipient=a, occasion=b)\n",
        f"{READ}def f(a, b):\n    return TEXT.replace('{{{{ recipient }}}}', a)"
        ".replace('{{ occasion }}', b)\n",
    ],
)  # fmt: skip
def test_names_that_are_plainly_passed_are_told(tmp_path: Path, source: str) -> None:
    place = repository(tmp_path, {"app.py": source})

    assert fills(place, renamed(place)) == ((PATH, BOTH),)
    assert judged(place, renamed(place)) is Outcome.ALLOW


def test_a_template_another_file_reads_is_followed(tmp_path: Path) -> None:
    app = (
        f"from prompts import TEXT\n{HELPER}def f(a, b):\n"
        "    return fill(TEXT, recipient=a, occasion=b)\n"
    )
    place = repository(tmp_path, {"prompts.py": READ, "app.py": app})

    assert fills(place, renamed(place)) == ((PATH, BOTH),)


@pytest.mark.parametrize(
    "source",
    [
        f"{JINJA}def f(values):\n    return {GET}.render(**values)\n",
        f"{JINJA}def f(values):\n    return {GET}.render(values)\n",
        f"{JINJA}def f(name, a):\n    return env.get_template(name).render(recipient=a)\n",
        f"{JINJA}def f(a, n):\n    card = env.get_template('card.j2' if n else 'x.j2')\n"
        "    return card.render(recipient=a)\n",
        f"{JINJA}card = {GET}\ncard = env.get_template('x.j2')\n"
        "def f(a):\n    return card.render(recipient=a)\n",
        f"{JINJA}card = {GET}\ndef f(card, a):\n"
        "    return card.render(recipient=a)\n",
        f"{JINJA}def f(a):\n    {GET}\n    return other.render(recipient=a)\n",
        f"{READ}def f(a):\n    return ask(TEXT, recipient=a)\n",
        f"{READ}def ask(text, **more):\n    return text\n"
        "def f(a):\n    return ask(TEXT, recipient=a)\n",
        "TEXTS = {'a': open('templates/card.j2').read()}\ndef f(a):\n"
        "    return TEXTS['a'].format(recipient=a)\n",
        "x = (\n",
        "x = a" + ".a" * 900 + "\n",
        "",
    ],
)  # fmt: skip
def test_what_is_not_plain_shows_nothing_and_is_held(tmp_path: Path, source: str) -> None:
    place = repository(tmp_path, {"app.py": source, "other.j2": "x\n"})

    assert fills(place, renamed(place)) == ()
    assert judged(place, renamed(place)) is Outcome.HOLD


def test_two_templates_of_one_name_show_nothing(tmp_path: Path) -> None:
    source = f"{JINJA}def f(a):\n    return env.get_template('card.j2').render(recipient=a)\n"
    place = repository(tmp_path, {"app.py": source, "old/card.j2": "x\n"})

    assert fills(place, renamed(place)) == ()


def test_tests_and_uncommitted_files_show_nothing(tmp_path: Path) -> None:
    source = f"{JINJA}def f(a):\n    return env.get_template('card.j2').render(recipient=a)\n"
    place = repository(tmp_path, {"tests/test_app.py": source})
    (place.root / "app.py").write_text(source, encoding="utf-8")

    assert fills(place, renamed(place)) == ()


@pytest.mark.parametrize(
    "new",
    [
        "{{ config }}",
        "{{ recipient|safe }}",
        "{{ recipient.name }}",
        "{{ recipient() }}",
        "{{ recipients }}",
        "{{ recipient }}{{ recipient.x }}",
        "{% autoescape false %}{{ recipient }}{% endautoescape %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ recipient }}{# {{ config }} #}",
        "{% set recipent = config %}{{ recipient }}",
        "{% include '/etc/passwd' %}",
        "{{ recipient }}{{\nconfig\n}}",
    ],
)
def test_more_than_the_right_name_is_held(tmp_path: Path, new: str) -> None:
    source = f"{READ}{HELPER}def f(a, b):\n    return fill(TEXT, recipient=a, occasion=b)\n"
    place = repository(tmp_path, {"app.py": source})

    assert judged(place, renamed(place, new)) is not Outcome.ALLOW


def test_a_name_one_of_two_calls_leaves_out_is_held(tmp_path: Path) -> None:
    source = (
        f"{READ}{HELPER}def f(a, b):\n    return fill(TEXT, recipient=a, occasion=b)\n"
        "def g(b):\n    return fill(TEXT, occasion=b)\n"
    )
    place = repository(tmp_path, {"app.py": source})

    assert judged(place, renamed(place)) is Outcome.HOLD


def test_a_patch_that_changes_the_program_too_is_held(tmp_path: Path) -> None:
    source = (
        f"{JINJA}def f(a, b):\n"
        "    return env.get_template('card.j2').render(recipient=a, occasion=b)\n"
    )
    place = repository(tmp_path, {"app.py": source})
    rename = Edit("replace_text", PATH, {"old": "{{ recipent }}", "new": "{{ recipient }}"})
    old = "jinja2.FileSystemLoader('templates')"
    unescape = Edit("replace_text", "app.py", {"old": old, "new": f"{old}, autoescape=False"})

    together = editor.plan(place, (rename, unescape))

    assert fills(place, together) == ()
    assert judged(place, together) is Outcome.HOLD
    assert judged(place, editor.plan(place, (unescape,))) is Outcome.HOLD
