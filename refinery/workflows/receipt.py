"""The receipt of a change: all that is needed to execute its proof again, without key or network.

A receipt is one file, `.refinery/receipts/<change>.receipt`: JSON, packed with zstandard. The
commit names its SHA-256 in the trailer `Refinery-Receipt`, so no byte of it can change unseen.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import zstandard

import refinery
from refinery.agents.attempt import Attempt
from refinery.agents.state import FixState
from refinery.errors import InputError, NotFoundError
from refinery.model.codec import decode, encode
from refinery.model.patch import Patch
from refinery.model.trace import Json, Trace
from refinery.model.verdict import Trial
from refinery.replay.live_answers import Exchange

FORMAT = 1
FOLDER = "receipts"
MAX_BYTES = 1 << 30
"""Most a receipt may unfold to."""


@dataclass(frozen=True, slots=True)
class ProvenCase:
    """A trace of the trial and what it was held against."""

    trace: Trace
    checks: tuple[str, ...]
    """As written on the command line; empty: none."""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Considered:
    """A hypothesis that was tried or thrown away."""

    hypothesis_id: str
    title: str
    strategy: str
    problem: str | None
    """Why it went no further; None when it was tried."""
    verdict: str | None
    reason: str | None
    diff: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt holds."""

    format: int
    change_id: str
    title: str
    approver: str
    created_ns: int
    versions: dict[str, str]
    """Of Refinery and of Python."""
    trace_hashes: dict[str, str]
    """SHA-256 of each trace as it was replayed, by its id."""
    patch: Patch
    touched: tuple[str, ...]
    repeats: int
    failing: tuple[ProvenCase, ...]
    controls: tuple[ProvenCase, ...]
    considered: tuple[Considered, ...]
    """Every hypothesis, the rejected ones too."""
    trial: Trial
    exchanges: tuple[Exchange, ...]
    """What live models answered during the trial."""
    commit_text: str = ""
    """What the commit says beside its tree, its parent and the receipt; empty: not kept."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """The change a receipt is made for."""

    change_id: str
    title: str
    created_ns: int
    commit_text: str = ""
    """Who commits it, when, with which words: `objects.signed_text` without the receipt."""


def make(
    occasion: Occasion, patch: Patch, state: FixState, load_trace: Callable[[str], Trace]
) -> Receipt:
    """The receipt of an approved patch, from the session that proved it.

    Raises:
        InputError: the session holds no trial of the patch.
    """
    attempts = [decode(Attempt, value) for value in state.get("attempts") or []]
    chosen = next((a for a in attempts if a.hypothesis.hypothesis_id == state["chosen"]), None)
    if chosen is None or chosen.trial is None:
        raise InputError("the session holds no proof of the patch", hint="run `refinery fix`")
    decision = cast("dict[str, Any]", state.get("decision") or {})
    plan = cast("dict[str, list[str]]", chosen.trial.facts["plan"])
    failing = [load_trace(trace_id) for trace_id in plan["failing"]]
    controls = [load_trace(trace_id) for trace_id in plan["controls"]]
    own = {**state["failing_checks"], state["trace_id"]: state["checks"]}
    wanted = state["control_checks"]
    return Receipt(
        format=FORMAT,
        change_id=occasion.change_id,
        title=occasion.title,
        approver=str(decision.get("approver", "")),
        created_ns=occasion.created_ns,
        versions={"refinery": refinery.__version__, "python": platform.python_version()},
        trace_hashes={trace.trace_id: trace_hash(trace) for trace in (*failing, *controls)},
        patch=patch,
        touched=tuple(str(path) for path in chosen.trial.facts.get("touched") or ()),
        repeats=state["repeats"],
        failing=tuple(
            ProvenCase(t, tuple(own.get(t.trace_id, ())), _categories(state)) for t in failing
        ),
        controls=tuple(ProvenCase(t, tuple(wanted.get(t.trace_id, ()))) for t in controls),
        considered=tuple(_considered(attempt) for attempt in attempts),
        trial=chosen.trial,
        exchanges=tuple(decode(Exchange, item) for item in state.get("exchanges") or []),
        commit_text=occasion.commit_text,
    )


def trace_hash(trace: Trace) -> str:
    """SHA-256 hex of a trace: of its runs as JSON with sorted keys."""
    text = json.dumps(encode(trace.runs), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(receipt: Receipt) -> bytes:
    """The receipt as it is kept."""
    text = json.dumps(encode(receipt), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return zstandard.ZstdCompressor(level=9, write_checksum=True).compress(text.encode())


def unpack(content: bytes, where: str) -> Receipt:
    """A receipt as it was kept.

    Raises:
        InputError: it is none, or of a newer form.
    """
    try:
        size = zstandard.frame_content_size(content)
        if not 0 <= size <= MAX_BYTES:
            raise ValueError("impossible size")
        value: Json = json.loads(zstandard.ZstdDecompressor().decompress(content))
        if value.get("format") != FORMAT:
            raise ValueError(f"format {value.get('format')!r}, this version reads {FORMAT}")
        return decode(Receipt, value)
    except (ValueError, AttributeError, RecursionError, zstandard.ZstdError) as error:
        raise InputError(f"{where} is no receipt: {error}", hint="copy it again") from error


def digest(content: bytes) -> str:
    """What the commit's trailer says of a receipt."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def path_of(home: Path, change_id: str) -> Path:
    """Where the receipt of a change is kept."""
    return home / FOLDER / f"{change_id}.receipt"


def load(path: Path) -> bytes:
    """The bytes of a receipt.

    Raises:
        NotFoundError: there is none.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"no receipt at {path}: {error.strerror}",
            hint="name the file with --receipt; it was made in the .refinery/receipts folder of "
            "whoever committed the change",
        ) from error


def _categories(state: FixState) -> tuple[str, ...]:
    diagnosis = cast("dict[str, Any]", state["diagnosis"])
    return tuple(dict.fromkeys(str(found["category"]) for found in diagnosis["findings"]))


def _considered(attempt: Attempt) -> Considered:
    hypothesis, trial = attempt.hypothesis, attempt.trial
    return Considered(
        hypothesis_id=hypothesis.hypothesis_id,
        title=hypothesis.title,
        strategy=hypothesis.strategy,
        problem=attempt.problem,
        verdict=trial.verdict.value if trial else None,
        reason=trial.reason if trial else None,
        diff=attempt.patch.diff if attempt.patch else None,
    )
