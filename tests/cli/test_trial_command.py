"""`refinery trial`: any diff against recorded traces, with verdict and exit code."""

from pathlib import Path

import pytest

from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError
from refinery.workflows import trial
from tests.cli.calling import call
from tests.kits.repositories import git
from tests.samples import shop_agent
from tests.workflows.shop import Shop, server, shop

__all__ = ["server", "shop"]
pytestmark = pytest.mark.slow


def diff_of(shop: Shop, old: str, new: str) -> Path:
    source = shop.root / "app.py"
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))
    target = shop.root.parent / "my.diff"
    target.write_text(git(shop.root, "diff"))
    source.write_text(text)
    return target


def test_a_diff_that_helps_ends_with_0_and_writes_nothing(shop: Shop) -> None:
    status = git(shop.root, "status", "--porcelain")
    diff = diff_of(
        shop,
        "return ranked[:2]",
        "return sorted(ranked[:2], key=lambda d: d.metadata['updated'])[::-1]",
    )

    done = call("trial", str(diff), "--on", shop.failing, "--json")

    told = done.json
    assert (done.code, told["verdict"], told["fixed"]) == (0, "fixed", True)
    assert told["patch"]["paths"] == ["app.py"]
    assert {arm["name"] for arm in told["trial"]["arms"]} >= {"unpatched", "no-op", "patch"}
    assert told["trial"]["p_value"] <= told["trial"]["facts"]["statistics"]["p_needed"]
    assert git(shop.root, "status", "--porcelain") == status
    assert (shop.root / "app.py").read_text() == shop_agent.APP


def test_a_diff_that_does_not_apply_is_refused(shop: Shop) -> None:
    diff = diff_of(shop, "ranked[:2]", "ranked[1:2]")
    diff.write_text(diff.read_text().replace("return ranked[:2]", "return other[:2]"))
    repository = Repository.open(shop.root)

    with pytest.raises(InputError, match="does not apply to HEAD"):
        trial.load(shop.workspace, repository, str(diff))
    with pytest.raises(NotFoundError, match="neither a file nor a change"):
        trial.load(shop.workspace, repository, "fix-unknown")
