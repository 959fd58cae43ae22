"""Checks: executable predicates over the result of a run, written `KIND[@FIELD]:VALUE`.

    contains:TEXT       the text occurs (letter case and runs of blanks do not matter)
    contains_any:A|B    one of the texts occurs
    not_contains:TEXT   the text does not occur
    regex:PATTERN       the pattern (RE2 syntax, letter case matters) matches somewhere
    not_regex:PATTERN   it matches nowhere
    equals:VALUE        the result equals the JSON value, or the text when it is not JSON
    json_schema:SCHEMA  the result is valid against the JSON schema
    max_words:N         the text has at most N words; min_words:N at least N
    max_chars:N         the text has at most N characters
    language:CODE       the text is in that language (ISO 639-1); not_language:CODE it is not
    tool_called:TOOL    the run called the tool; TOOL {"name": value} with these arguments
    tool_not_called:TOOL  it did not
    order:A > B         before the first call of tool B there is one of tool A
    asks_before:TOOL    the user answered a question before the tool was called
    judge:CRITERION     a model that reads the run as quoted data says yes, see `agents.judge`
    no_error            the run did not fail
    signal_gone:NAME    the detector of that name finds nothing in the replayed run
    python:MODULE:NAME  the function of the repository (as committed) returns true for the result

FIELD is a dotted path into the result, e.g. `messages.-1.content`. Without it text checks read
what a person would read (`model.messages.answer_text`). A run that failed, timed out or was not
answered holds no check on its content, not even `not_contains`.
"""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from refinery.errors import InputError
from refinery.model import codec
from refinery.model.failure import Signal
from refinery.model.messages import answer_text
from refinery.model.trace import Json, RunStatus, Trace
from refinery.model.verdict import Check, CheckResult, ReplayResult
from refinery.replay import conduct
from refinery.replay.languages import CODES, language_of

Observe = Callable[[Trace], Sequence[Signal]]
"""The detectors: signals of a trace, in tree order."""
Judge = Callable[[str, ReplayResult], tuple[bool, str]]
"""Says whether a criterion in words holds for a result, and why."""

JUDGED = "judge"
_COUNTS = ("max_words", "min_words", "max_chars")
_LANGUAGES = ("language", "not_language")

_WITH_VALUE = (
    "contains",
    "contains_any",
    "not_contains",
    "regex",
    "not_regex",
    "equals",
    "json_schema",
    *_COUNTS,
    *_LANGUAGES,
    *conduct.KINDS,
    "signal_gone",
    "python",
    JUDGED,
)
KINDS = (*_WITH_VALUE, "no_error")
_HINT = "write KIND[@FIELD]:VALUE, e.g. 'contains:30 days'; kinds: " + ", ".join(KINDS)
_SHAPE = re.compile(r"(?P<kind>[a-z_]+)(?:@(?P<field>[^:]+))?(?::(?P<value>.*))?", re.DOTALL)
_SHOWN = 120
"""Characters of a text shown in a detail."""


def parse(text: str) -> Check:
    """Read a check as written on the command line.

    Raises:
        InputError: no such kind, a value is missing, or it is no pattern, schema or function.
    """
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None or shape["kind"] not in KINDS:
        raise InputError(f"{text!r} is not a check", hint=_HINT)
    kind, value = shape["kind"], shape["value"] or ""
    if kind in _WITH_VALUE and not value.strip():
        raise InputError(f"the check {text!r} has no value", hint=_HINT)
    check = Check(kind, value, shape["field"])
    _validate(check)
    return check


def _validate(check: Check) -> None:
    if check.kind in ("regex", "not_regex"):
        _pattern(check.value)
    elif check.kind == "json_schema":
        _validator(check.value)
    elif check.kind == "contains_any" and not any(_options(check.value)):
        raise InputError("the check contains_any has no text", hint="separate texts with |")
    elif check.kind == "python":
        module, _, name = check.value.partition(":")
        if not (module and name and all(p.isidentifier() for p in f"{module}.{name}".split("."))):
            raise InputError(
                f"{check.value!r} is not module:function", hint="e.g. python:checks:is_polite"
            )
    elif check.kind in conduct.KINDS:
        conduct.validate(check.kind, check.value)
    else:
        _validate_plain(check)


def _validate_plain(check: Check) -> None:
    value = check.value.strip()
    if check.kind in _COUNTS and not re.fullmatch(r"[0-9]{1,9}", value):
        raise InputError(f"{value!r} is no number", hint=f"e.g. {check.kind}:100")
    if check.kind in _LANGUAGES and value not in CODES:
        raise InputError(
            f"{value!r} is no language that can be told", hint="one of " + ", ".join(sorted(CODES))
        )


def evaluate(
    check: Check,
    result: ReplayResult,
    *,
    observe: Observe | None = None,
    judge: Judge | None = None,
) -> CheckResult:
    """Say whether a check holds for the result of a replay.

    Args:
        check: what to test.
        result: the replay; for `python` its `checks` must hold the function's own answer.
        observe: the detectors, needed for `signal_gone`.
        judge: needed for `judge`; without one such a check does not hold.

    Raises:
        InputError: the check's pattern or schema is not valid.
    """
    if check.kind == "no_error":
        held = result.status == "ok"
        return CheckResult(str(check), held, "" if held else _failure(result))
    if check.kind == "signal_gone":
        return _signal_gone(check, result, observe)
    if result.status != "ok":
        return CheckResult(str(check), False, _failure(result))
    if check.kind == "python":
        answered = next((c for c in result.checks if c.check == str(check)), None)
        return answered or CheckResult(str(check), False, "the function was not run")
    if check.kind in conduct.KINDS:
        return _conduct(check, result)
    found, value = field_of(result.output, check.field)
    if not found:
        return CheckResult(str(check), False, f"the result has no field {check.field!r}")
    if check.kind == JUDGED:
        return _judged(check, replace(result, output=value), judge)
    held, detail = _TESTS[check.kind](check.value, value)
    return CheckResult(str(check), held, detail)


def _conduct(check: Check, result: ReplayResult) -> CheckResult:
    trace = replayed_trace(result)
    if trace is None:
        return CheckResult(str(check), False, "the replayed run was not kept, so nobody can tell")
    return CheckResult(str(check), *conduct.holds(check.kind, check.value, trace))


def _judged(check: Check, result: ReplayResult, judge: Judge | None) -> CheckResult:
    if judge is None:
        return CheckResult(str(check), False, "no model was named to judge it")
    return CheckResult(str(check), *judge(check.value, result))


def _failure(result: ReplayResult) -> str:
    said = f": {result.error}" if result.error else ""
    return f"the run ended as {result.status!r}{said[:400]}"


def field_of(value: Json, path: str | None) -> tuple[bool, Json]:
    """The value at a dotted path, and whether there is one."""
    for part in path.split(".") if path else ():
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.lstrip("-").isdecimal():
            index = int(part)
            if not -len(value) <= index < len(value):
                return False, None
            value = value[index]
        else:
            return False, None
    return True, value


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold()


def _shown(value: Json) -> str:
    text = answer_text(value)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _options(value: str) -> list[str]:
    return [option.strip() for option in value.split("|") if option.strip()]


def _contains(wanted: str, value: Json) -> tuple[bool, str]:
    held = _normal(wanted) in _normal(answer_text(value))
    return held, "" if held else f"not in {_shown(value)}"


def _contains_any(wanted: str, value: Json) -> tuple[bool, str]:
    text = _normal(answer_text(value))
    found = next((option for option in _options(wanted) if _normal(option) in text), None)
    return found is not None, f"found {found!r}" if found else f"none in {_shown(value)}"


def _not_contains(wanted: str, value: Json) -> tuple[bool, str]:
    held = not _contains(wanted, value)[0]
    return held, "" if held else f"found in {_shown(value)}"


def _regex(pattern: str, value: Json) -> tuple[bool, str]:
    held = _pattern(pattern)(answer_text(value))
    return held, "" if held else f"no match in {_shown(value)}"


def _not_regex(pattern: str, value: Json) -> tuple[bool, str]:
    held = not _regex(pattern, value)[0]
    return held, "" if held else f"matches {_shown(value)}"


def _equals(wanted: str, value: Json) -> tuple[bool, str]:
    try:
        held = json.loads(wanted) == value
    except (ValueError, RecursionError):
        held = False
    held = held or wanted.strip() == answer_text(value).strip()
    return held, "" if held else f"it is {_shown(value)}"


def _json_schema(schema: str, value: Json) -> tuple[bool, str]:
    import referencing.exceptions

    if isinstance(value, str) and value.strip()[:1] in "{[":
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)  # an agent often answers with JSON text
    try:
        problem = next(_validator(schema).iter_errors(value), None)
    except referencing.exceptions.Unresolvable as error:
        return False, f"the schema refers to something outside itself: {error}"
    return problem is None, "" if problem is None else str(problem.message)[:400]


def _max_words(most: str, value: Json) -> tuple[bool, str]:
    found = len(answer_text(value).split())
    return found <= int(most), f"{found} words"


def _min_words(fewest: str, value: Json) -> tuple[bool, str]:
    found = len(answer_text(value).split())
    return found >= int(fewest), f"{found} words"


def _max_chars(most: str, value: Json) -> tuple[bool, str]:
    found = len(answer_text(value))
    return found <= int(most), f"{found} characters"


def _language(code: str, value: Json) -> tuple[bool, str]:
    found = language_of(answer_text(value))
    return found == code.strip(), f"it is {found}" if found else "its language cannot be told"


def _not_language(code: str, value: Json) -> tuple[bool, str]:
    held, detail = _language(code, value)
    return not held, detail


_TESTS: dict[str, Callable[[str, Json], tuple[bool, str]]] = {
    "contains": _contains,
    "contains_any": _contains_any,
    "not_contains": _not_contains,
    "regex": _regex,
    "not_regex": _not_regex,
    "equals": _equals,
    "json_schema": _json_schema,
    "max_words": _max_words,
    "min_words": _min_words,
    "max_chars": _max_chars,
    "language": _language,
    "not_language": _not_language,
}


def _pattern(text: str) -> Callable[[str], bool]:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(text, options)
    except re2.error as error:
        raise InputError(
            f"{text!r} is not a pattern: {error}",
            hint="RE2 knows no look-around, no backreference",
        ) from error
    return lambda subject: compiled.search(subject) is not None


def _validator(text: str) -> Any:
    import jsonschema  # type: ignore[import-untyped]  # the library has no types
    import referencing

    try:
        schema = json.loads(text)
        if not isinstance(schema, dict | bool):
            raise ValueError("it must be an object")
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
    except (ValueError, RecursionError, jsonschema.SchemaError) as error:
        said = str(error).partition("\n")[0]
        raise InputError(f"the value of json_schema is no JSON schema: {said}") from error
    # An empty registry: without one the library would fetch remote references.
    return kind(schema, registry=referencing.Registry())


def _signal_gone(check: Check, result: ReplayResult, observe: Observe | None) -> CheckResult:
    trace = replayed_trace(result)
    if observe is None or trace is None:
        return CheckResult(str(check), False, "the replayed run was not kept, so nobody can tell")
    if result.status not in ("ok", "error"):
        return CheckResult(str(check), False, _failure(result))
    seen = [signal for signal in observe(trace) if signal.detector == check.value]
    return CheckResult(str(check), not seen, seen[0].title if seen else "")


def recorded_result(trace: Trace) -> ReplayResult:
    """A recorded run as if it were a replay of itself, to hold checks against it."""
    root = trace.root
    failed = next((run for run in trace.runs if run.is_failed), None) if root is None else root
    error = failed.error if failed and failed.error else None
    status = "error" if trace.status is RunStatus.ERROR or root is None else "ok"
    return ReplayResult(
        trace.trace_id,
        status,
        root.outputs if root else None,
        f"{error.type}: {error.message}" if error and status == "error" else None,
        replayed=[codec.encode_run(run) for run in trace.runs],
    )


def replayed_trace(result: ReplayResult) -> Trace | None:
    """The runs of a replay as a trace; None when they were not kept or cannot be read."""
    if not isinstance(result.replayed, list) or not result.replayed:
        return None
    try:
        runs = tuple(codec.decode_run(run) for run in result.replayed)
    except ValueError:
        return None
    return Trace(runs[0].trace_id, runs, "replay")
