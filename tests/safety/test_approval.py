import threading
from pathlib import Path

import pytest

from refinery.errors import RefusedError
from refinery.safety import approval

DIGEST, OTHER = "a" * 64, "b" * 64


def test_an_approval_is_used_once(tmp_path: Path) -> None:
    folder = tmp_path / "approvals"
    granted = approval.grant(folder, DIGEST, "ann", covers_held=False)

    redeemed = approval.redeem(folder, DIGEST, needs_held=False)

    assert redeemed == granted
    assert (redeemed.digest, redeemed.approver, redeemed.covers_held) == (DIGEST, "ann", False)
    with pytest.raises(RefusedError, match="no approval"):
        approval.redeem(folder, DIGEST, needs_held=False)


def test_an_approval_is_for_one_patch(tmp_path: Path) -> None:
    approval.grant(tmp_path, DIGEST, "ann", covers_held=True)

    with pytest.raises(RefusedError, match="no approval"):
        approval.redeem(tmp_path, OTHER, needs_held=False)
    approval.redeem(tmp_path, DIGEST, needs_held=True)


def test_an_approval_expires(tmp_path: Path) -> None:
    approval.grant(tmp_path, DIGEST, "ann", covers_held=True, ttl_s=0)

    with pytest.raises(RefusedError, match="expired"):
        approval.redeem(tmp_path, DIGEST, needs_held=False)
    with pytest.raises(RefusedError, match="no approval"):
        approval.redeem(tmp_path, DIGEST, needs_held=False)


def test_held_items_need_an_approval_that_covers_them(tmp_path: Path) -> None:
    approval.grant(tmp_path, DIGEST, "--yes", covers_held=False)

    with pytest.raises(RefusedError, match="does not cover"):
        approval.redeem(tmp_path, DIGEST, needs_held=True)
    approval.grant(tmp_path, DIGEST, "ann", covers_held=True)
    assert approval.redeem(tmp_path, DIGEST, needs_held=True).approver == "ann"


def test_an_approval_moved_to_another_patch_or_edited_is_refused(tmp_path: Path) -> None:
    approval.grant(tmp_path, DIGEST, "ann", covers_held=True)
    (tmp_path / f"{DIGEST}.json").rename(tmp_path / f"{OTHER}.json")

    with pytest.raises(RefusedError, match="another patch"):
        approval.redeem(tmp_path, OTHER, needs_held=False)
    for text in ("", "[]", "{", '{"digest": 1}', "null"):
        (tmp_path / f"{DIGEST}.json").write_text(text)
        with pytest.raises(RefusedError):
            approval.redeem(tmp_path, DIGEST, needs_held=False)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_digests_name_approvals(tmp_path: Path, digest: str) -> None:
    with pytest.raises(RefusedError, match="digest"):
        approval.grant(tmp_path, digest, "ann", covers_held=True)
    with pytest.raises(RefusedError, match="digest"):
        approval.redeem(tmp_path, digest, needs_held=False)


def test_approvals_are_private_to_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    approval.grant(folder, DIGEST, "ann", covers_held=True)

    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / f"{DIGEST}.json").stat().st_mode & 0o077 == 0
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_of_many_redeemers_at_once_exactly_one_wins(tmp_path: Path) -> None:
    for _ in range(30):
        approval.grant(tmp_path, DIGEST, "ann", covers_held=True)
        won: list[str] = []
        gate = threading.Barrier(6)

        def redeem(gate: threading.Barrier = gate, won: list[str] = won) -> None:
            gate.wait()
            try:
                won.append(approval.redeem(tmp_path, DIGEST, needs_held=True).digest)
            except RefusedError:
                return

        threads = [threading.Thread(target=redeem) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [DIGEST]
