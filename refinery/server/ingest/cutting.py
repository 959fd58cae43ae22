"""Cuts strings that are too long to be kept whole, and says so in their place."""

from dataclasses import replace

from refinery.model.trace import Json, Run, RunError
from refinery.ports import RunBatch


def cut(value: Json, limit_chars: int) -> Json:
    """The value with each longer string cut to the limit, which its end then says."""
    if isinstance(value, str):
        return cut_text(value, limit_chars)
    if isinstance(value, list):
        return [cut(item, limit_chars) for item in value]
    if isinstance(value, dict):
        return {key[:limit_chars]: cut(item, limit_chars) for key, item in value.items()}
    return value


def cut_text(text: str, limit_chars: int) -> str:
    """A text, cut to the limit when longer, which its end then says."""
    if len(text) <= limit_chars:
        return text
    return f"{text[:limit_chars]}… [cut by refinery: {len(text)} characters]"


def cut_runs(batch: RunBatch, limit_chars: int) -> RunBatch:
    """The batch with the long strings of each run cut."""
    return replace(batch, runs=[_cut_run(run, limit_chars) for run in batch.runs])


def _cut_run(run: Run, limit_chars: int) -> Run:
    error = run.error
    if error is not None:
        error = RunError(
            cut_text(error.type, limit_chars),
            cut_text(error.message, limit_chars),
            cut_text(error.stack, limit_chars),
        )
    return replace(
        run,
        inputs=cut(run.inputs, limit_chars),
        outputs=cut(run.outputs, limit_chars),
        metadata=cut(run.metadata, limit_chars),
        params=cut(run.params, limit_chars),
        tools=cut(run.tools, limit_chars),
        events=cut(run.events, limit_chars),
        links=cut(run.links, limit_chars),
        error=error,
    )
