"""A request was longer than the model's context window."""

from collections.abc import Iterator, Mapping

from refinery.detectors._shared import samples
from refinery.detectors._shared.failures import failures
from refinery.detectors._shared.patterns import find, find_all
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.view import View, result_text, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.messages import messages_in
from refinery.model.trace import Run, RunKind, Trace

SPECIFICITY = 2

_TOO_LONG = (
    r"(?i)context_length_exceeded|maximum context length|prompt is too long|"
    r"exceeds? (?:the )?(?:model'?s? )?(?:maximum )?context|context window (?:exceeded|overflow)|"
    r"input is too long|input length and .?max_tokens.? exceed|reduce the length of the messages|"
    r"contextwindowexceeded|exceeds the maximum number of tokens allowed|"
    r"exceeds? the available context|string too long. expected"
)
"""Words of OpenAI, Anthropic, Bedrock, Gemini, LiteLLM, llama.cpp and vLLM."""
LIMITS: Mapping[str, float] = {"large_share": 0.5}
"""Share of the request's text from which on one result is named as the cause; chosen by us."""


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each refused request; the cause is the result that filled it, if one did."""
    seen = view(trace)
    large = limits["large_share"]
    for failure in failures(trace):
        error = failure.origin.error
        if error is None or find(_TOO_LONG, f"{error.type} {error.message[:4_000]}") is None:
            continue
        largest, share = _largest(seen, failure.origin)
        cause = largest if largest is not None and share >= large else failure.origin
        filled = (
            f" {round(share * 100)} % of its text came from {largest.name or 'one step'}."
            if largest is not None and share >= large
            else ""
        )
        numbers = [int(hit.text) for hit in find_all(r"\b\d{3,9}\b", error.message[:2_000])]
        yield Signal(
            detector="context_overflow",
            title="The request was longer than the model's context window",
            explanation=f"The model refused the request because it is too long.{filled}",
            cause_run_id=cause.run_id,
            symptom_run_id=failure.origin.run_id,
            evidence=evidence(failure.origin, first_line(error.message), error.type),
            likelihood=Likelihood.POSSIBLE if failure.is_recovered else Likelihood.CERTAIN,
            root_cause=RootCause.CONTEXT,
            facts={
                "numbers": numbers[:4],
                "largest": largest.name if largest else None,
                "share": round(share, 2),
            },
        )


def _largest(seen: View, refused: Run) -> tuple[Run | None, float]:
    """The tool or retriever run whose result takes the largest share of a request's text."""
    kinds = (RunKind.TOOL, RunKind.RETRIEVER, RunKind.RERANKER)
    size = sum(len(message.text) for message in messages_in(refused))
    before = [r for r in seen.trace.runs[: seen.position(refused)] if r.kind in kinds]
    largest = max(before, key=lambda run: len(result_text(run)), default=None)
    if largest is None or size == 0:
        return None, 0.0
    return largest, min(len(result_text(largest)) / size, 1.0)


def _read(text: str, message: str) -> Trace:
    page = samples.tool("page", "read_page", {"url": "x"}, text)
    asked = samples.model("sum", [samples.user("Sum it up"), samples.tool_result(text, "c")], "")
    broken = samples.failed(asked, "BadRequestError", message)
    return samples.trace(page, broken, error=broken.error)


_OPENAI = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001"
)

CLEAN = [_read("short", "Rate limit reached for requests")]
FAILING = [
    (_read("word " * 400, _OPENAI), [samples.uid("page")]),
    (_read("", "prompt is too long: 210000 tokens > 200000 maximum"), [samples.uid("sum")]),
]
