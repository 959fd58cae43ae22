"""Diagnoses one trace: by the detectors, or by a model when one is named."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from refinery import detectors
from refinery.agents.fingerprint import fingerprint
from refinery.agents.missed import with_missed
from refinery.errors import InputError
from refinery.model.codec import encode
from refinery.model.failure import Diagnosis, Finding, Forecast, Likelihood
from refinery.model.trace import Json, Label, RunStatus, Trace
from refinery.workflows import repositories, traces
from refinery.workflows.capabilities import capabilities_of
from refinery.workflows.wiring import Workspace, connect_model

_NEEDS_A_MODEL = "the expectation is in words: comparing the answer with it needs a model"


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Which model analyses, and how far."""

    spec: str | None = None
    """`provider:model`; None: the setting, and without one the detectors alone."""
    budget_usd: float | None = None
    """Most the analysis may cost; None: the setting."""
    is_fresh: bool = False
    """Whether earlier analyses, of this trace or of one that failed alike, are left alone."""
    foretell: Callable[[Forecast], None] = lambda _: None
    """Is told what the analysis will take before the model is asked."""


def diagnose(
    workspace: Workspace,
    trace: Trace,
    *,
    root: Path | None = None,
    expectation: str | None = None,
    model: str | ModelUse | None = None,
    failed: bool = False,
) -> Diagnosis:
    """Say what went wrong in a trace, and where in the repository; nothing is changed.

    Args:
        workspace: settings, and the store with the trace's label.
        trace: what to look at.
        root: the agent's repository; None: this folder's, else the one the trace was recorded in.
            Without any the findings carry no source.
        expectation: the right behaviour in words; None: what the trace's label says.
        model: `provider:model`, or how it is used; None: the setting, and without one the
            detectors alone.
        failed: that the trace failed; also known from its label, its status or an expectation.
            Only then is a most probable cause named where nothing is proven.

    Raises:
        InputError: `root` is no folder, or the settings name no detector there is.
        ModelError: the model did not answer, or answered nonsense.
        BudgetError: the budget does not allow the analysis.
        CredentialsError: the model's key is missing or was refused.
    """
    if root is not None and not root.is_dir():
        raise InputError(f"{root} is not a folder", hint="name the agent's repository")
    folder = repositories.find(root)
    label = traces.label_of(workspace, trace.trace_id)
    expected = expectation or (label.expectation if label else None)
    options = workspace.settings.values.detectors
    use = model if isinstance(model, ModelUse) else ModelUse(model)
    connected = connect_model(workspace, use.spec, budget_usd=use.budget_usd)
    if connected is None:
        found = _by_detectors(workspace, trace, label, failed or bool(expectation))
        if expected:
            found = replace(found, unanswerable=(*found.unanswerable, _NEEDS_A_MODEL))
    else:
        from refinery.agents.analyst import AnalystTask, analyse

        task = AnalystTask(
            trace=trace,
            signals=tuple(detectors.observe(trace, options)),
            model=connected,
            root=folder,
            expectation=expected,
            cache=None if use.is_fresh else workspace.home / "cache",
            alike=alike(_by_detectors(workspace, trace, label, failed=True), trace, folder),
            foretell=use.foretell,
        )
        found = analyse(task)
    return replace(
        found,
        findings=_located(found.findings, trace, folder),
        capabilities=capabilities_of(trace),
    )


def alike(found: Diagnosis, trace: Trace, folder: Path | None) -> tuple[str, ...]:
    """What the trace shares with those that failed alike; empty when nothing is likely."""
    best = _located(found.findings[:1], trace, folder)
    if not best or best[0].likelihood is Likelihood.POSSIBLE:
        return ()
    return fingerprint(trace, best[0])


def by_detectors(
    workspace: Workspace, trace: Trace, *, root: Path | None = None, failed: bool = False
) -> Diagnosis:
    """As `diagnose`, without a model even when one is configured."""
    label = traces.label_of(workspace, trace.trace_id)
    found = _by_detectors(workspace, trace, label, failed)
    located = _located(found.findings, trace, repositories.find(root))
    return replace(found, findings=located)


def _by_detectors(
    workspace: Workspace, trace: Trace, label: Label | None, failed: bool
) -> Diagnosis:
    options = workspace.settings.values.detectors
    found = detectors.diagnose(trace, failed=failed or _is_failed(trace, label), options=options)
    return with_missed(found, trace, label.checks if label else ())


def _is_failed(trace: Trace, label: Label | None) -> bool:
    """Whether a person or the trace itself says that it failed; a label outranks the status."""
    if label is not None:
        return label.outcome == "fail"
    return trace.status is RunStatus.ERROR


def _located(
    findings: tuple[Finding, ...], trace: Trace, folder: Path | None
) -> tuple[Finding, ...]:
    if folder is None or not findings:
        return findings
    from refinery.codebase.locate import attach

    return attach(findings, trace, folder)


def to_document(found: Diagnosis) -> dict[str, Json]:
    """A diagnosis as the JSON document of `refinery diagnose --json`."""
    document: dict[str, Json] = encode(found)
    return document
