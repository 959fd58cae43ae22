"""Holds results against their checks, outside the sandbox that made them.

Checks written in Python run in a sandbox of their own, with the code as committed: a patch must
not be able to change its judge.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from refinery.errors import InputError
from refinery.model.failure import Likelihood
from refinery.model.trace import Trace
from refinery.model.verdict import Check, CheckResult, ReplayResult
from refinery.replay import checks
from refinery.replay.cases import Planned, TrialRequest
from refinery.replay.checks import Observe
from refinery.replay.program import Code, complaint, execute, prepared
from refinery.replay.runner import Replayed

NO_NEW_SIGNAL = "no_new_signal"
"""What a control without checks is held against, besides `no_error`."""
_SCORER_S = 60.0
_MAX_ANSWER_BYTES = 4 << 20
_DOUBTS = (Likelihood.CERTAIN, Likelihood.LIKELY)


def score(
    request: TrialRequest, done: Sequence[tuple[Planned, Replayed]]
) -> list[tuple[Planned, ReplayResult]]:
    """The results with their checks evaluated and without their runs, in the same order.

    Raises:
        InputError: a check is not valid.
        RefusedError: the sandbox of the Python checks did not start.
    """
    results = [replayed.result for _, replayed in done]
    results = _with_python(request, [planned for planned, _ in done], results)
    scored = []
    for (planned, _), result in zip(done, results, strict=True):
        found = _evaluate(planned, result, request)
        scored.append((planned, replace(result, checks=found, replayed=None)))
    return scored


def _evaluate(
    planned: Planned, result: ReplayResult, request: TrialRequest
) -> tuple[CheckResult, ...]:
    case, observe = planned.case, request.observe
    if planned.is_control and not case.checks:
        plain = checks.evaluate(Check("no_error"), result)
        return plain, _no_new_signal(case.trace, result, observe)
    return tuple(
        checks.evaluate(check, result, observe=observe, judge=request.judge)
        for check in case.wanted
    )


def _no_new_signal(recorded: Trace, result: ReplayResult, observe: Observe | None) -> CheckResult:
    """Whether the detectors find nothing they had not found in the recorded run."""
    if observe is None:
        return CheckResult(NO_NEW_SIGNAL, True, "no detectors were given")
    trace = checks.replayed_trace(result)
    if trace is None:
        return CheckResult(NO_NEW_SIGNAL, False, "the replayed run was not kept")
    before = {signal.detector for signal in observe(recorded)}
    new = [s for s in observe(trace) if s.likelihood in _DOUBTS and s.detector not in before]
    return CheckResult(NO_NEW_SIGNAL, not new, new[0].title if new else "")


def _with_python(
    request: TrialRequest, planned: Sequence[Planned], results: list[ReplayResult]
) -> list[ReplayResult]:
    """Add the answers of Python checks to the results of runs that ended well."""
    asked = [
        (index, check)
        for index, (one, result) in enumerate(zip(planned, results, strict=True))
        for check in one.case.checks
        if check.kind == "python" and result.status == "ok"
    ]
    if not asked:
        return results
    questions = [
        {
            "check": str(check),
            "function": check.value,
            "output": _at(check, results[index]),
        }
        for index, check in asked
    ]
    answers = ask(request, planned[0].tape.folder, questions)
    for (index, check), answer in zip(asked, answers, strict=True):
        found = CheckResult(str(check), bool(answer.get("held")), str(answer.get("detail") or ""))
        results[index] = replace(results[index], checks=(*results[index].checks, found))
    return results


def _at(check: Check, result: ReplayResult) -> Any:
    found, value = checks.field_of(result.output, check.field)
    return value if found else None


def ask(
    request: TrialRequest, folder: str, questions: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Let functions of the committed code judge results, in a sandbox without network.

    Returns one `{"held", "detail"}` a question, in order; when the scorer itself failed, each
    answer is a no that says so.
    """
    with prepared(request.agent, Code(request.base_commit)) as place:
        nonce, target = secrets.token_hex(16), place.work / "results" / "answers.json"
        job = {
            "code": str(place.code),
            "folder": folder,
            "answers": str(target),
            "nonce": nonce,
            "questions": questions,
        }
        (place.work / "job.json").write_text(json.dumps(job, default=str), encoding="utf-8")
        module = "refinery.replay.inside.scorer"
        finished = execute(request.agent, place, module, port=None, timeout_s=_SCORER_S)
        answers = _read(target, nonce)
    if len(answers) != len(questions):
        lost = {"held": False, "detail": f"the check was not run: {complaint(finished)}"}
        return [lost for _ in questions]
    return answers


def _read(path: Path, nonce: str) -> list[dict[str, Any]]:
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_ANSWER_BYTES:
            return []
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(told, dict) or told.get("nonce") != nonce:
        return []
    answers = told.get("answers")
    return [a for a in answers if isinstance(a, dict)] if isinstance(answers, list) else []


def validate(wanted: Sequence[Check]) -> None:
    """Check that checks can be evaluated before anything is run.

    Raises:
        InputError: one has an unknown kind, pattern or schema.
    """
    for check in wanted:
        if check.kind not in checks.KINDS:
            raise InputError(f"unknown kind of check {check.kind!r}")
        checks.parse(str(check))
