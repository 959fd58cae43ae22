"""The state of one fix session: plain JSON, so that a checkpoint can be read by any process."""

from typing import TypedDict

from refinery.model.trace import Json


class FixState(TypedDict, total=False):
    """What the nodes of the pipeline read and write; see `pipeline` for who writes what."""

    session_id: str
    started_ns: int
    trace_id: str
    expectation: str | None
    checks: list[str]
    """Checks the failing trace must pass, `KIND[@FIELD]:VALUE`; empty: derived from findings."""
    expected: Json
    """What became of the expectation, see `workflows.checks.to_document`; None: there is none."""
    failing_ids: list[str]
    """Failing traces to fix, `trace_id` first."""
    failing_checks: dict[str, list[str]]
    """Checks of the other failing traces, by trace id."""
    control_ids: list[str]
    """Passing traces that must keep passing; those a patch can change are replayed."""
    control_checks: dict[str, list[str]]
    """Checks of labelled controls, by trace id."""
    repository: str
    base_commit: str
    branch: str | None
    repeats: int
    max_runs: int
    """Most replays of one patch's trial."""
    budget_usd: float | None
    """Most the session may cost: analysis, judge and live models of the trials; None: no
    ceiling."""
    spending: Json
    """What it has cost so far, see `llm.purse.Purse.document`."""
    seed: int
    """What the luck of replays and the choice of controls are made from."""
    unsandboxed: bool
    model: str | None
    """`provider:model` of the analysis; None: the playbook."""
    request_seal: str
    """Seal of `request_of`: this user asked for exactly this."""
    proof_seal: str
    """Seal of `proof_of`: this user's Refinery proved exactly this patch."""
    diagnosis: Json
    """An encoded `Diagnosis`."""
    hypotheses: list[Json]
    """Encoded `Hypothesis` records, best first."""
    attempts: list[Json]
    """One per hypothesis: an encoded `Attempt`."""
    chosen: str | None
    """Id of the hypothesis put up for approval; None when none was proven."""
    exchanges: list[Json]
    """What live models answered in the chosen attempt's trial: encoded `Exchange` records."""
    decision: Json
    """What the approver said: `{"answer": "yes" | "no", "approver", "covers_held"}`."""
    change: Json
    """An encoded `Change`; None when nothing was committed."""


_REQUEST = (
    *("session_id", "trace_id", "checks", "control_ids", "control_checks", "repository"),
    *("failing_ids", "failing_checks", "max_runs", "budget_usd", "seed"),
    *("base_commit", "branch", "repeats", "unsandboxed", "model"),
)


def request_of(state: FixState) -> Json:
    """What a session was asked to do."""
    return {name: state.get(name) for name in _REQUEST}


def proof_of(state: FixState) -> Json:
    """What a session put up for approval: the chosen attempt and what it was made for."""
    attempts = state.get("attempts") or []
    chosen = state.get("chosen")
    attempt = next((a for a in attempts if a["hypothesis"]["hypothesis_id"] == chosen), None)
    return {
        "request": request_of(state),
        "attempt": attempt,
        "exchanges": state.get("exchanges") or [],
    }
