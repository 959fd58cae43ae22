"""What a receipt says, short enough to be looked at: without the traces and answers it carries."""

from dataclasses import replace
from pathlib import Path

from refinery.errors import RefineryError
from refinery.model.codec import encode
from refinery.model.trace import Json
from refinery.workflows import receipt as receipts
from refinery.workflows.receipt import ProvenCase, Receipt


def summary_of(home: Path, change_id: str) -> dict[str, Json] | None:
    """The summary of a change's receipt as JSON; None when none is kept or it cannot be read.

    Args:
        home: the repository's `.refinery` folder.
        change_id: whole id of the change.
    """
    path = receipts.path_of(home, change_id)
    try:
        content = receipts.load(path)
        held = receipts.unpack(content, str(path))
    except RefineryError:
        return None
    return _document(held, receipts.digest(content))


def _document(held: Receipt, digest: str) -> dict[str, Json]:
    arms = tuple(replace(arm, results=()) for arm in held.trial.arms)
    return {
        "digest": digest,
        "approver": held.approver,
        "versions": encode(held.versions),
        "trace_hashes": encode(held.trace_hashes),
        "patch": {
            "base_commit": held.patch.base_commit,
            "digest": held.patch.digest,
            "paths": [change.path for change in held.patch.changes],
            "diff": held.patch.diff,
        },
        "repeats": held.repeats,
        "failing": [_case(case) for case in held.failing],
        "controls": [_case(case) for case in held.controls],
        "considered": encode(held.considered),
        "trial": encode(replace(held.trial, arms=arms)),
        "live_answers": len(held.exchanges),
    }


def _case(case: ProvenCase) -> dict[str, Json]:
    return {"trace_id": case.trace.trace_id, "checks": list(case.checks)}
