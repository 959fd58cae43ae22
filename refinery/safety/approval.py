"""Approvals: permission to commit exactly one patch, once, before it expires.

An approval is one file in a folder private to the user. Redeeming it renames the file, which the
file system lets one process do once.
"""

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

from refinery import clock
from refinery.errors import RefusedError
from refinery.model.verdict import Approval

_DIGEST = re.compile(r"[0-9a-f]{64}")


def grant(
    folder: Path, digest: str, approver: str, *, covers_held: bool, ttl_s: float = 3600
) -> Approval:
    """Write down that somebody approved the patch of a digest; a newer approval replaces it.

    Args:
        folder: where approvals are kept; made when missing, private to the user.
        digest: `Patch.digest`.
        approver: who said yes, for the ledger.
        covers_held: whether the items the guard holds were shown and accepted.
        ttl_s: seconds until it expires.

    Raises:
        RefusedError: the digest is not a SHA-256 in hexadecimal.
    """
    path = _path(folder, digest)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = clock.now_ns()
    approval = Approval(digest, approver, now, now + int(ttl_s * 1e9), covers_held)
    temporary = folder / f".{clock.new_uuid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(approval), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(folder)
    return approval


def redeem(folder: Path, digest: str, *, needs_held: bool) -> Approval:
    """Use up the approval of a patch and return it.

    Args:
        folder: where `grant` put it.
        digest: digest of the patch that is about to be committed.
        needs_held: whether the guard holds some item of it.

    Raises:
        RefusedError: there is no approval for exactly this patch, it was used, has expired, or
            does not cover held items. An approval that is refused is used up all the same, except
            when it only lacks the held items.
    """
    path = _path(folder, digest)
    approval = _read(path, digest)
    if needs_held and not approval.covers_held:
        raise RefusedError(
            "the approval does not cover what the guard holds",
            hint="look at the held items and approve the change by answering y, not by --yes",
        )
    used = folder / f"{digest}.{clock.new_uuid()}.used"
    try:
        path.rename(used)
    except FileNotFoundError as error:
        raise _missing(digest) from error
    approval = _read(used, digest)  # what was renamed counts, whatever was read before
    _sync_folder(folder)
    now = clock.now_ns()
    if not approval.created_ns <= now < approval.expires_ns:
        raise RefusedError("the approval has expired", hint="approve the change again")
    if needs_held and not approval.covers_held:
        raise RefusedError("the approval was replaced by one that does not cover held items")
    return approval


def _path(folder: Path, digest: str) -> Path:
    if not _DIGEST.fullmatch(digest):
        raise RefusedError(f"{digest[:80]!r} is not the digest of a patch")
    return folder / f"{digest}.json"


def _missing(digest: str) -> RefusedError:
    return RefusedError(
        f"no approval for patch {digest[:12]}",
        hint="an approval is for one exact patch and is used once: approve this one",
    )


def _read(path: Path, digest: str) -> Approval:
    try:
        approval = Approval(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise _missing(digest) from error
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"the approval in {path} cannot be read: {error}") from error
    kinds_fit = all(isinstance(t, int) for t in (approval.created_ns, approval.expires_ns))
    if approval.digest != digest or not kinds_fit or approval.covers_held not in (True, False):
        raise RefusedError(f"the approval in {path} is for another patch or was changed")
    return approval


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
