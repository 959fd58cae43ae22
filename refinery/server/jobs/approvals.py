"""What a person is shown before a patch is committed."""

from refinery.model.trace import Json


def approval_of(result: dict[str, Json]) -> dict[str, Json]:
    """What a person must see to approve, out of the document of a fix that waits."""
    chosen = next(one for one in result["hypotheses"] if one["hypothesis_id"] == result["chosen"])
    patch, guard, trial = result["patch"], result["guard"] or {}, result["trial"] or {}
    remarks = guard.get("remarks") or []
    return {
        "change": {
            "hypothesis_id": chosen["hypothesis_id"],
            "title": chosen["title"],
            "rationale": chosen["rationale"],
            "strategy": chosen["strategy"],
            "engine": chosen.get("engine"),
            "paths": patch["paths"],
            "base_commit": patch["base_commit"],
        },
        "diff": patch["diff"],
        "guard": guard,
        "verdict": trial.get("verdict"),
        "reason": trial.get("reason"),
        "held_items": [one for one in remarks if one.get("outcome") == "hold"],
        "needs_held": guard.get("outcome") != "allow" or trial.get("verdict") != "fixed",
        "digest": patch["digest"],
    }
