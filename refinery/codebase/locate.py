"""Finds the source behind a run."""

from collections.abc import Sequence
from pathlib import Path

from refinery.model.failure import Finding, SourceLocation
from refinery.model.trace import Run, Trace


def locate(trace: Trace, run: Run, root: Path) -> list[SourceLocation]:
    """Places in the repository behind a run, best first."""
    raise NotImplementedError


def locate_template(run: Run, root: Path) -> list[SourceLocation]:
    """Prompt templates behind a model call, best first."""
    raise NotImplementedError


def attach(diagnosis_findings: Sequence[Finding], trace: Trace, root: Path) -> tuple[Finding, ...]:
    """The findings with `source` and `related` filled in."""
    raise NotImplementedError
