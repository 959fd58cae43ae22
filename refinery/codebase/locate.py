"""Finds the source behind a run: what was recorded, stack frames, names, prompt templates.

Nothing of the repository is run; files are read with the caps of `scan`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from refinery.codebase.alignment import best_matches
from refinery.codebase.causes import settings_behind
from refinery.codebase.frames import locate_code, locate_stack
from refinery.codebase.model_calls import locate_model_calls
from refinery.codebase.names import locate_name
from refinery.codebase.scan import PYTHON, SourceTree, is_secondary
from refinery.codebase.templates import collapse, find_templates
from refinery.codebase.tools import is_blamed, locate_tool
from refinery.model.failure import Finding, RootCause, SourceLocation
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Json, Run, RunKind, Trace
from refinery.model.walk import ancestors, of_kind, strings

MAX_MESSAGES = 40
MAX_MESSAGE = 200_000
"""Messages of a call, and characters of each, that templates are looked up in."""
ANSWER, LEAST_ANSWER = 200, 24
"""Characters of an answer by which a recording is known, and fewest that can tell."""
MAX_TEMPLATES = 5
MAX_RELATED = 6
MAX_SETTINGS = 2
_FRAME_FIRST = (RunKind.CHAIN, RunKind.AGENT, RunKind.STEP)
"""Kinds whose own definition says little about an error that came from inside."""


def locate(trace: Trace, run: Run, root: Path) -> list[SourceLocation]:
    """Places in the repository behind a run, best first; empty when nothing fits.

    For a model call the prompt templates come first, then the code that made the call; for other
    runs the recorded definition, then frames of the error (before it for chains), then
    definitions found by name, at last those of the runs around it with less confidence.
    """
    return _locate(SourceTree(root), trace, run)


def locate_template(run: Run, root: Path) -> list[SourceLocation]:
    """Prompt templates behind a model call, best first; several with less confidence when
    several fit equally well.
    """  # noqa: D205  # one sentence that needs two lines
    return _templates(SourceTree(root), run)


def attach(diagnosis_findings: Sequence[Finding], trace: Trace, root: Path) -> tuple[Finding, ...]:
    """The findings with `source` and `related` filled in, where anything was found.

    `source` is the best place for the cause run. `related` holds its other places, the template
    behind the model call that used the cause's result, and for a cause in the context also the
    retrievers and tools that supplied it.
    """
    tree = SourceTree(root)
    known: dict[str, list[SourceLocation]] = {}

    def places(run: Run) -> list[SourceLocation]:
        if run.run_id not in known:
            known[run.run_id] = _locate(tree, trace, run)
        return known[run.run_id]

    attached = []
    for finding in diagnosis_findings:
        cause = trace.run(finding.cause_run_id)
        found = list(places(cause)) if cause is not None else []
        for run in _involved(trace, finding, cause):
            found += places(run)[:2]
        unique = _unique([*([finding.source] if finding.source else []), *found, *finding.related])
        unique = _with_tool(tree, finding, unique)
        unique = _with_settings(tree, finding, unique)
        source = unique[0] if unique else None
        attached.append(
            replace(finding, source=source, related=tuple(unique[1 : MAX_RELATED + 1]))
        )
    return tuple(attached)


def _with_tool(
    tree: SourceTree, finding: Finding, places: list[SourceLocation]
) -> list[SourceLocation]:
    """The places with those of the tool the finding is about: first when its code is to blame."""
    name = finding.facts.get("tool")
    if not isinstance(name, str) or not name:
        return places
    found = locate_tool(tree, name, finding.facts.get("result"))
    return _unique([*found, *places] if is_blamed(found) else [*places, *found])


def _with_settings(
    tree: SourceTree, finding: Finding, places: list[SourceLocation]
) -> list[SourceLocation]:
    """The places with the settings the finding is about before them."""
    settings = settings_behind(tree, finding.category, finding.facts, places)
    main = [one.location(tree) for one in settings if not is_secondary(one.path)]
    if finding.category == "repeated_calls":  # a limit is where it ended, not why it went on
        return _unique([*places[:1], *main[:MAX_SETTINGS], *places])
    return _unique([*main[:MAX_SETTINGS], *places])


def _involved(trace: Trace, finding: Finding, cause: Run | None) -> Iterable[Run]:
    """Other runs whose source matters to a fix."""
    symptom = trace.run(finding.symptom_run_id)
    if symptom is not None and symptom.run_id != finding.cause_run_id:
        yield symptom
    is_model = cause is not None and cause.kind is RunKind.LLM
    calls = of_kind(trace, RunKind.LLM)
    if not is_model and calls:
        start = (cause.start_ns if cause else None) or 0
        yield next((run for run in calls if (run.start_ns or 0) >= start), calls[-1])
    if is_model and finding.root_cause in (RootCause.CONTEXT, RootCause.TOOL):
        yield from of_kind(trace, RunKind.RETRIEVER, RunKind.TOOL)[:3]


def _locate(tree: SourceTree, trace: Trace, run: Run) -> list[SourceLocation]:
    found = _own(tree, trace, run)
    if run.kind is RunKind.LLM:
        found = [*_templates(tree, run), *found, *locate_model_calls(tree, run)]
    for above in ancestors(trace, run.run_id) if not found or run.kind is RunKind.LLM else ():
        around = _own(tree, trace, above)
        found += [
            replace(one, confidence=round(one.confidence * 0.6, 3))
            for one in around
            if one.kind != "frame"
        ]
        if around:
            break
    return _unique(found)


def _own(tree: SourceTree, trace: Trace, run: Run) -> list[SourceLocation]:
    """Places by what the run itself says: its code, its error, its name."""
    recorded_root = _recorded_root(trace)
    code = locate_code(tree, run.code, recorded_root) if run.code else None
    recorded = [code] if code else []
    frames = locate_stack(tree, run.error.stack, recorded_root) if run.error else []
    found = [*frames, *recorded] if run.kind in _FRAME_FIRST else [*recorded, *frames]
    if found or run.kind is RunKind.LLM:
        return found
    names = [run.name or "", str((run.metadata or {}).get("langgraph_node") or "")]
    for name in dict.fromkeys(names):
        found += locate_name(tree, name)
    return found


def _recorded_root(trace: Trace) -> str | None:
    """Folder of the repository at recording time, as the root run tells."""
    root = trace.root
    told: Json = ((root.metadata if root else None) or {}).get("refinery")
    entry = told.get("entry_point") if isinstance(told, dict) else None
    folder = entry.get("repository") if isinstance(entry, dict) else None
    return folder if isinstance(folder, str) else None


def _templates(tree: SourceTree, run: Run) -> list[SourceLocation]:
    messages = _rendered(run)
    if not messages:
        return []
    candidates = find_templates(tree, "\n".join(messages))
    matches = best_matches(candidates, messages, MAX_TEMPLATES + 3)
    found = [
        tree.location(
            one.template.span,
            one.template.node,
            "template",
            (one.confidence * (0.5 if is_secondary(one.template.span.path) else 1.0), "template"),
        )
        for one in matches
    ]
    recorded = {one.file for one in found if _is_recording(tree, one.file, run)}
    found = [one for one in found if one.file not in recorded]
    main = [one for one in found if not is_secondary(one.file)]
    rest = [one for one in found if is_secondary(one.file)]
    return [*main, *rest][:MAX_TEMPLATES]


def _is_recording(tree: SourceTree, path: str, run: Run) -> bool:
    """Whether a file holds what the model answered: a trace that lies in the work tree."""
    if path.endswith(PYTHON):
        return False
    text = tree.text(path) or ""
    answers = [one.text.strip()[:ANSWER] for one in messages_out(run) if one.role == "assistant"]
    long = [answer for answer in answers if len(answer) >= LEAST_ANSWER]
    return any(answer in text or json.dumps(answer)[1:-1] in text for answer in long)


def _rendered(run: Run) -> list[str]:
    """Texts a program may have rendered from templates, white space collapsed."""
    messages = messages_in(run)
    texts = [one.text for one in messages if one.role not in ("assistant", "tool")]
    if not messages:
        texts = [text for _, text in strings(run.inputs)]
    half = MAX_MESSAGES // 2
    kept = texts if len(texts) <= MAX_MESSAGES else [*texts[:half], *texts[-half:]]
    return [text for one in kept if (text := collapse(one[:MAX_MESSAGE]))]


def _unique(found: Iterable[SourceLocation]) -> list[SourceLocation]:
    """Each place once, the first of its kind wins."""
    seen: set[tuple[str, int, int, int]] = set()
    kept = []
    for one in found:
        key = (one.file, one.line_start, one.line_end, one.column_start)
        if key not in seen:
            seen.add(key)
            kept.append(one)
    return kept
