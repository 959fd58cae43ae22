"""Failed runs: where an error arose, how far it went up, and whether the agent got over it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace

NOT_FAILURES = (
    "GraphInterrupt",
    "NodeInterrupt",
    "GeneratorExit",
    "CancelledError",
    "KeyboardInterrupt",
    "ParentCommand",
    "GraphBubbleUp",
)
"""Errors that steer a graph or end a stream; they are no failures."""
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python", "<frozen", "<string>")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error from where it arose to where it ended."""

    origin: Run
    """The deepest failing run."""
    top: Run
    """The highest run it ended."""
    is_fatal: bool
    """Whether it ended the root run."""
    is_recovered: bool
    """Whether a later run of the origin's name and parent succeeded."""

    @property
    def text(self) -> str:
        """Type and message of the error, lower case."""
        error = self.origin.error
        return f"{error.type}: {error.message}".lower() if error else ""


def failures(trace: Trace) -> Iterator[Failure]:
    """Each error of the trace once, in tree order of the runs it arose in."""
    failing = {run.run_id: run for run in trace.runs if _is_failure(run)}
    with_failing_child = {run.parent_id for run in failing.values()}
    root = trace.root
    last_success = {
        (run.name, run.kind): position
        for position, run in enumerate(trace.runs)
        if run.status is RunStatus.OK and run.error is None
    }
    for position, run in enumerate(trace.runs):
        if run.run_id not in failing or run.run_id in with_failing_child:
            continue
        top = _highest(run, failing)
        fatal = root is not None and top.run_id == root.run_id
        recovered = last_success.get((run.name, run.kind), -1) > position
        yield Failure(run, top, fatal, not fatal and recovered)


def _highest(run: Run, failing: Mapping[str, Run]) -> Run:
    """The highest run that an error ended: up as long as the run above failed too."""
    seen = {run.run_id}
    while (above := failing.get(run.parent_id or "")) is not None and above.run_id not in seen:
        seen.add(above.run_id)
        run = above
    return run


def _is_failure(run: Run) -> bool:
    if run.error is None:
        return False
    name = run.error.type.rpartition(".")[2] or run.error.message.partition("(")[0]
    return run.status in (RunStatus.ERROR, None) and name not in NOT_FAILURES


def model_before(trace: Trace, run: Run) -> Run | None:
    """The model run whose answer a failing run worked on: the nearest one before it."""
    found = None
    for other in trace.runs:
        if other.run_id == run.run_id:
            return found
        if other.kind is RunKind.LLM:
            found = other
    return None


def model_behind(trace: Trace, run: Run) -> Run | None:
    """The model run whose answer a failing run worked on, when it may have asked the model itself.

    Its own last one that was answered, else the nearest one before it.
    """
    below, own = {run.run_id}, None
    for other in trace.runs:
        if other.parent_id in below:
            below.add(other.run_id)
            if other.kind is RunKind.LLM and other.error is None:
                own = other
    return own or model_before(trace, run)


def frame(stack: str) -> dict[str, Json]:
    """The deepest frame of a traceback outside installed libraries."""
    found: dict[str, Json] = {}
    for line in stack[-50_000:].splitlines():
        text = line.strip()
        if not text.startswith('File "') or any(part in text for part in _LIBRARIES):
            continue
        file, _, rest = text[6:].partition('", line ')
        number, _, function = rest.partition(", in ")
        if number.isascii() and number.isdigit():
            found = {
                "file": file,
                "line": int(number[:9]),
                "function": function,
                "frame_line": text,
            }
    return found
