"""`refinery fix` as a process: exit codes and documents."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kits import documents
from tests.kits.repositories import git
from tests.workflows.shop import Shop, server, shop

__all__ = ["server", "shop"]
pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]


def refinery(folder: Path, *words: str) -> tuple[int, Any, str]:
    """Exit code, JSON document and stderr of one call."""
    done = subprocess.run(
        [sys.executable, "-m", "refinery", *words, "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, documents.check(words, json.loads(done.stdout)), done.stderr.decode()


def test_without_a_terminal_a_proven_fix_waits_for_its_approval(shop: Shop) -> None:
    code, document, errors = refinery(shop.root, "fix", shop.failing, "--dry-run")

    assert code == 0, errors
    assert document["schema_version"] == 1
    assert document["change"] is None
    assert document["trial"]["verdict"] == "fixed"
    assert document["guard"]["outcome"] == "allow"
    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"

    session = document["session_id"]
    assert refinery(shop.root, "fix", "--resume", session)[0] == 7
    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"

    code, resumed, errors = refinery(shop.root, "fix", "--resume", session, "--yes")

    assert code == 0, errors
    assert resumed["change"]["id"].startswith("fix-")
    assert resumed["patch"]["digest"] == document["patch"]["digest"]
    assert git(shop.root, "rev-parse", "HEAD").strip() == resumed["change"]["commit"]


def test_a_run_without_findings_ends_with_nothing_to_fix(shop: Shop) -> None:
    code, document, errors = refinery(shop.root, "fix", shop.passing)

    assert code == 5, errors
    assert document["diagnosis"]["findings"] == []
    assert document["hypotheses"] == []


def test_a_wrong_check_is_named_before_anything_runs(shop: Shop) -> None:
    code, document, _ = refinery(shop.root, "fix", shop.failing, "--check", "contians:8")

    assert code == 2
    assert "contians" in document["error"]["message"]


def test_an_unknown_session_is_said(shop: Shop) -> None:
    code, document, _ = refinery(shop.root, "fix", "--resume", "session-00000000")

    assert code == 5
    assert document["error"]["code"] == "not_found"
