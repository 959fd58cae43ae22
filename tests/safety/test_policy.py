import hashlib
from pathlib import Path

import pytest

from refinery import plugins
from refinery.codebase.patches import build
from refinery.model.patch import FileChange, Patch
from refinery.model.verdict import GuardReport, Outcome
from refinery.ports import GuardInput
from refinery.safety import policy

AGENT = b'''"""A support agent."""

from langchain_core.documents import Document

PROMPT = "You are a support agent. Answer from the documents."


def newest(found: list[Document], limit: int = 3) -> list[Document]:
    return found[:limit]
'''
SORTED = AGENT.replace(
    b"return found[:limit]",
    b"return sorted(\n        found, "
    b'key=lambda d: d.metadata.get("updated", ""), reverse=True\n    )[:limit]',
)
PROMPT = b"You are a support agent.\nAnswer from the documents.\n"


def reviewed(*changes: FileChange, **more: object) -> GuardReport:
    patch = build((), changes, "c0ffee")
    given = GuardInput(patch.changes, Path("/nowhere"), **more)  # type: ignore[arg-type]
    return policy.review(patch, given)


@pytest.mark.slow
def test_sorting_by_a_field_at_the_located_line_is_allowed() -> None:
    report = reviewed(
        FileChange("agent.py", AGENT, SORTED),
        located=(("agent.py", 9, 9),),
        trace_texts=("How much is the plan?", "found[:limit]", "The plan costs 10 euros."),
    )

    assert report.outcome is Outcome.ALLOW, report.remarks
    assert report.remarks == ()


@pytest.mark.slow
def test_one_plain_sentence_more_in_a_prompt_is_allowed() -> None:
    sentence = b"When documents disagree, rely on the most recent one and say its date.\n"
    literal = AGENT.replace(b"documents.", b"documents. Prefer the most recent document.")

    report = reviewed(
        FileChange("agent.py", AGENT, literal),
        FileChange("prompts/system.md", PROMPT, PROMPT + sentence),
        located=(("prompts/system.md", 1, 2), ("agent.py", 5, 5)),
        trace_texts=(PROMPT.decode(), "How much is the plan?"),
    )

    assert report.outcome is Outcome.ALLOW, report.remarks


@pytest.mark.slow
def test_the_worst_remark_decides_and_comes_first() -> None:
    report = reviewed(
        FileChange("agent.py", AGENT, AGENT + b"import os\n"),
        FileChange(".env", b"A=1\n", b"A=2\n"),
    )

    assert report.outcome is Outcome.BLOCK
    assert [remark.outcome for remark in report.remarks][:2] == [Outcome.BLOCK, Outcome.HOLD]
    assert {"path_policy", "capability_growth"} <= {remark.rule for remark in report.remarks}


@pytest.mark.slow
def test_settings_tighten_and_never_loosen() -> None:
    change = FileChange("agent.py", AGENT, SORTED)

    held = reviewed(change, limits={"core_files": ["agent.py"], "max_changed_lines": 1000})
    blocked = reviewed(change, limits={"protected_files": ["*.py"], "max_changed_lines": 1})
    large = reviewed(FileChange("a.md", b"", b"line\n" * 61), limits={"max_changed_lines": 1000})

    assert {r.rule for r in held.remarks} == {"declared_files"}
    assert {r.rule for r in blocked.remarks} == {"declared_files", "size"}
    assert large.outcome is Outcome.HOLD


@pytest.mark.slow
def test_a_rule_that_cannot_run_blocks() -> None:
    report = reviewed(FileChange("agent.py", AGENT, SORTED), limits={"max_changed_lines": "a few"})

    assert report.outcome is Outcome.BLOCK
    assert [r.rule for r in report.remarks] == ["size", "syntax", "test_weakening"]
    assert "invalid literal" in report.remarks[0].message


@pytest.mark.slow
def test_rules_that_take_too_long_block() -> None:
    patch = build((), [FileChange("agent.py", AGENT, SORTED)], "c0ffee")

    report = policy.review(patch, GuardInput(patch.changes, Path("/")), timeout_s=0.05)

    assert report.outcome is Outcome.BLOCK
    assert {r.rule for r in report.remarks} == set(plugins.names("safety.rules"))
    assert "more than 0.05 s" in report.remarks[0].message


@pytest.mark.slow
def test_a_module_in_the_working_folder_is_not_imported(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("re2", "json", "refinery"):
        (isolated / f"{name}.py").write_text("raise SystemExit('imported from the work folder')")
    monkeypatch.syspath_prepend(str(isolated))

    report = reviewed(FileChange("agent.py", AGENT, SORTED))

    assert report.outcome is Outcome.ALLOW, report.remarks


def test_the_guard_must_be_shown_the_patch_itself() -> None:
    patch = build((), [FileChange("agent.py", AGENT, SORTED)], "c0ffee")

    report = policy.review(patch, GuardInput((), Path("/")))

    assert report.outcome is Outcome.BLOCK
    assert "other changes" in report.remarks[0].message


def test_the_diff_and_the_digest_must_belong_to_the_changes() -> None:
    shown = build((), [FileChange("agent.py", AGENT, SORTED)], "c0ffee")
    evil = (FileChange("agent.py", AGENT, SORTED + b"import os\n"),)
    other_bytes = Patch((), evil, shown.base_commit, shown.diff, shown.digest)
    other_digest = Patch((), shown.changes, "c0ffee", shown.diff, hashlib.sha256().hexdigest())

    for patch in (other_bytes, other_digest):
        report = policy.review(patch, GuardInput(patch.changes, Path("/")))
        assert report.outcome is Outcome.BLOCK
        assert report.remarks[0].rule == "policy"
