from difflib import unified_diff

from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.codebase.patches import build
from refinery.model.patch import FileChange
from refinery.safety._diff import tells

_content = st.one_of(
    st.none(),
    st.lists(
        st.sampled_from([b"a", b"b", b"--- a", b"+++ b", b"@@ -1 +1 @@", b"\\ No", b"", b"\xff"])
    )
    .map(b"\n".join)
    .flatmap(lambda body: st.sampled_from([body, body + b"\n"])),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(_content, _content), max_size=3), st.integers(0, 400))
def test_a_built_diff_tells_its_changes_and_a_changed_one_does_not(
    pairs: list[tuple[bytes | None, bytes | None]], place: int
) -> None:
    changes = [
        FileChange(f"f{n}.txt", before, after)
        for n, (before, after) in enumerate(pairs)
        if before != after
    ]
    patch = build((), changes, "c0ffee")

    assert tells(patch.diff, patch.changes)
    if place < len(patch.diff):
        other = chr(ord(patch.diff[place]) % 90 + 33)
        changed = patch.diff[:place] + other + patch.diff[place + 1 :]
        if other != patch.diff[place] and patch.diff[place] not in "0123456789@ ,+-":
            assert not tells(changed, patch.changes)


def test_a_diff_that_leaves_out_a_line_is_found() -> None:
    change = FileChange("a.py", b"a\n", b"a\nimport os\n")
    shown = "".join(unified_diff(["a\n"], ["a\n", "import re\n"], "a/a.py", "b/a.py"))

    assert not tells(shown, [change])
    assert not tells("", [change])


def test_a_diff_of_another_file_is_found() -> None:
    diff = "".join(unified_diff(["a\n"], ["b\n"], "a/a.py", "b/a.py"))

    assert tells(diff, [FileChange("a.py", b"a\n", b"b\n")])
    assert not tells(diff, [FileChange("b.py", b"a\n", b"b\n")])
    assert not tells(diff + diff, [FileChange("a.py", b"a\n", b"b\n")])
