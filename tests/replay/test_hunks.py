"""Patches taken apart into hunks, and made as small as their evidence allows."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import hunks as bench
from refinery.codebase.patches import build
from refinery.model.patch import FileChange, Patch
from refinery.model.verdict import Verdict
from refinery.replay.hunks import keep, split
from refinery.replay.minimise import minimise
from refinery.replay.trial import baseline, run_trial

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), max_size=12)


def patch(before: bytes | None, after: bytes | None, path: str = "notes.txt") -> Patch:
    return build((), (FileChange(path, before, after),), "base")


@given(LINES, LINES, st.data())
def test_hunks_together_are_the_patch_and_alone_a_part_of_it(
    old: list[bytes], new: list[bytes], data: st.DataObject
) -> None:
    before, after = b"".join(old), b"".join(new)
    whole = patch(before, after)
    hunks = split(whole)

    again = keep(whole, hunks)

    assert again == (whole if before != after else None)
    some = [hunk for hunk in hunks if data.draw(st.booleans())]
    part = keep(whole, some)
    if part is not None:
        assert len(split(part)) <= len(some)


def test_three_changes_far_apart_are_three_hunks() -> None:
    before = b"".join(b"line %d\n" % n for n in range(30))
    after = before.replace(b"line 3\n", b"x\n").replace(b"line 15\n", b"").replace(b"29", b"y")

    assert list(map(str, split(patch(before, after)))) == [
        "notes.txt:4",
        "notes.txt:16",
        "notes.txt:30",
    ]


def test_a_part_that_does_not_parse_is_none() -> None:
    first, *rest = split(patch(b"x = 1\ny = 2\nz = 3\n", b"if x:\ny = 2\n    z = 3\n", "a.py"))
    whole = patch(b"x = 1\ny = 2\nz = 3\n", b"if x:\ny = 2\n    z = 3\n", "a.py")

    assert rest
    assert keep(whole, [first]) is None


@pytest.mark.parametrize(("before", "after"), [(None, b"a\n"), (b"a\n", None), (b"a\0", b"b\0")])
def test_a_new_a_deleted_and_a_binary_file_are_one_hunk(
    before: bytes | None, after: bytes | None
) -> None:
    whole = patch(before, after)
    hunks = split(whole)

    assert len(hunks) == 1
    assert keep(whole, hunks) == whole
    assert keep(whole, []) is None


@pytest.mark.slow
def test_a_three_hunk_patch_with_one_that_matters_comes_out_with_one(tmp_path: Path) -> None:
    shared = bench.request_of(tmp_path)
    after = bench.AGENT
    for old, new in (bench.IDLE[1], bench.ONE[0], bench.IDLE[5]):
        after = after.replace(old, new)
    change = FileChange("app.py", bench.AGENT.encode(), after.encode())
    whole = build((), (change,), shared.base_commit)
    request = replace(shared, hypothesis_id="H1", patch=whole)
    base = baseline(request)

    left = minimise(request, run_trial(request, base), base, lambda _: True)

    assert len(split(whole)) == 3
    assert left.trial.verdict is Verdict.FIXED
    assert left.patch.changes[0].after == bench.AGENT.replace(*bench.ONE[0]).encode()
    assert left.trial.facts["minimal"]["hunks"] == [str(left.kept[0])]
    assert len(left.trial.facts["minimal"]["dropped"]) == 2


def test_the_benchmark_knows_the_smallest_patch() -> None:
    whole, smallest, needed = bench.patched("base", random.Random(1))

    assert len(split(whole)) >= 3
    assert needed in (1, 2)
    assert smallest != bench.AGENT
