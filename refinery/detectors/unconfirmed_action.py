"""The prompt demands the user's consent before a change, and the change was made without it."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.actions import is_change
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import around, evidence, first_line
from refinery.detectors._shared.view import ModelCall, view
from refinery.detectors._shared.wording import asks
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace

SPECIFICITY = 1

_DEMANDS = (
    r"(?i)(?:obtain|get|ask for|require|wait for|need)s? (?:the |an? )?"
    r"(?:user['\x{2019}]?s? |customer['\x{2019}]?s? )?"
    r"(?:explicit |clear |final )*(?:user |customer )?(?:confirmation|consent|approval|permission)"
    r"|(?:must|should|always) confirm [^.\n]{0,60}(?:with the (?:user|customer)|before)|"
    r"ask the (?:user|customer) to confirm"
)

_SPEAKS_OF_CONSENT = r"(?i)\bconfirm|\byes\b|proceed"


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each change made when the user was not asked after the last one."""
    for model in view(trace).models:
        changes = [call for call in model.calls if is_change(call.name)]
        demand = find(_DEMANDS, model.system[:30_000]) if changes else None
        if demand is None or _was_asked(model):
            continue
        name = changes[0].name
        yield Signal(
            detector="unconfirmed_action",
            title=f"{name} was called before the user was asked",
            explanation=(
                "The prompt demands the user's consent before a change. The model called "
                f"{name} although it had not asked the user anything before."
            ),
            cause_run_id=model.run.run_id,
            symptom_run_id=model.run.run_id,
            evidence=(
                *evidence(model.run, around(model.system, demand.start, demand.end), demand.text),
                *evidence(model.run, f'"{name}"', name),
                *evidence(model.run, first_line(model.last_user)),
            ),
            likelihood=Likelihood.POSSIBLE,
            root_cause=RootCause.MODEL,
            facts={"tool": name, "instruction": demand.text},
        )


def _was_asked(model: ModelCall) -> bool:
    """Whether the user's last turn answers a question, or somebody spoke of consent."""
    turns = [m for m in model.given if m.role in ("user", "assistant") and m.text.strip()]
    last = next((i for i in range(len(turns) - 1, -1, -1) if turns[i].role == "user"), None)
    if last is None:
        return False
    said = [m.text for m in turns[:last] if m.role == "assistant"]
    if said and asks(said[-1]):
        return True
    return any(find(_SPEAKS_OF_CONSENT, text) is not None for text in said[-2:])


def _cancelled(*turns: str) -> Trace:
    roles = ("user", "assistant")
    talk = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    given = [samples.system("Obtain explicit user confirmation (yes) before a change."), *talk]
    return samples.trace(samples.model("act", given, [samples.asks("cancel_order", "{}")]))


CLEAN = [_cancelled("Cancel it", "Shall I cancel order 7?", "yes")]
FAILING = [(_cancelled("Cancel order 7"), [samples.uid("act")])]
