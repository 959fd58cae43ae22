"""Findings and fixes in the words of the people the agent works for."""

import re

from refinery.model.failure import Finding, RootCause
from refinery.model.patch import Hypothesis
from refinery.model.trace import RunKind, Trace
from refinery.workflows.guide.conversation import passage_around, shortened

_CAUSES = {
    "claimed_action": "The agent says that it did something, but it never did it.",
    "context_overflow": "The agent was given more text at once than it can take in.",
    "contradictory_documents": "Two texts the agent found say different things, and it went by "
    "the wrong one.",
    "count_mismatch": "The agent counted wrong: the number in its answer is not the number of "
    "things it found.",
    "empty_result_ignored": "The agent looked something up and found nothing, but answered as if "
    "it had found it.",
    "exception": "One of the agent's own steps broke while it was working.",
    "high_temperature": "The agent is set up to vary its answers, and this question has only one "
    "right answer.",
    "injected_instruction": "A text the agent read gave it orders, and it followed them.",
    "instruction_ignored": "The agent did not keep to one of its instructions.",
    "invented_argument": "The agent used a number or name that nobody had given it.",
    "made_up_data": "The agent went on with made-up facts, and the answer rests on them.",
    "malformed_tool_arguments": "The agent asked one of its sources in a way it does not accept.",
    "outlier": "This conversation took far longer, or far more work, than others.",
    "rate_limit": "A service behind the agent was busy and turned it away.",
    "rejected_input": "One of the agent's sources does not know what the customer named.",
    "repeated_calls": "The agent did the same thing again and again without getting further.",
    "retry_storm": "One of the agent's steps failed over and over with the same fault.",
    "self_blocked_action": "An earlier step of the agent made a later one impossible.",
    "service_down": "A service behind the agent could not be reached.",
    "stale_document": "The agent went by an outdated text although a newer one was there.",
    "timeout": "A service behind the agent took too long to answer.",
    "trial_and_error": "The agent guessed how to ask one of its sources and was refused.",
    "truncated_output": "The answer was cut off: the agent may only write so much.",
    "unconfirmed_action": "The agent acted before it had asked the customer.",
    "unfilled_template": "A blank in the agent's instructions was not filled in.",
    "ungrounded_answer": "The answer states something that stands in nothing the agent had read.",
    "unknown_tool": "The agent tried to use something it does not have.",
    "unparsable_output": "The agent's answer did not have the form the rest of the program needs.",
}
_LOST = {
    "not retrieved": "What the right answer needs was never found for the agent.",
    "before the model": "What the right answer needs was found, but did not reach the agent when "
    "it wrote its answer.",
    "in the conversation": "What the right answer needs was said earlier in the conversation, but "
    "the agent had forgotten it by then.",
    "in the answer": "The agent had what the right answer needs in front of it, and answered "
    "differently.",
    "after the model": "The agent answered rightly, and a later step lost it.",
    "in form": "The answer does not have the form that is wanted.",
    "made up": "The answer says something that it must not say.",
}
_ROOTS = {
    RootCause.PROMPT: "The agent's instructions lead it there, or do not keep it from it.",
    RootCause.CONTEXT: "The agent did not have the right texts in front of it.",
    RootCause.MODEL: "The agent had all it needed and still answered wrongly.",
    RootCause.ORCHESTRATION: "The agent's steps are put together wrongly.",
    RootCause.TOOL: "Something the agent uses gave a wrong answer or none.",
    RootCause.ENVIRONMENT: "Something around the agent did not work.",
    RootCause.INPUT: "What came in was not what the agent can deal with.",
}
_CHANGES: tuple[tuple[str, str], ...] = (
    (
        r"Hand on (\d+) documents instead of (\d+)",
        "Before it answers, the agent reads {0} of the texts it finds instead of {1}.",
    ),
    (
        r"Keep (\d+) messages of the conversation instead of (\d+)",
        "The agent remembers more of the conversation: the last {0} messages instead of {1}.",
    ),
    (
        r"Return the newest documents first",
        "When there is an older and a newer text on the same thing, the agent goes by the newest.",
    ),
    (r"Raise .+ from \d+ to \d+", "The agent may write longer answers, so they are not cut off."),
    (
        r"Set the temperature to 0",
        "The agent answers the same question in the same way every time.",
    ),
    (
        r"Retry calls that the provider turns away",
        "When the service behind the agent is busy, the agent tries again instead of giving up.",
    ),
    (r"Wait longer for the answer", "The agent waits longer before it gives up."),
    (r"Allow more steps", "The agent may take more steps before it has to stop."),
    (
        r"Check for a missing value",
        "When something is not filled in, the agent answers that there is none instead of "
        "breaking off.",
    ),
    (
        r"(?:Return the error of|Let the tool node hand errors)",
        "When one of its steps fails, the agent notices and can answer, instead of breaking off.",
    ),
    (
        r"(?:Ask the provider for its JSON mode|Tell the model to answer with the requested form)",
        "The agent's answer keeps to the form that is wanted, with nothing around it.",
    ),
    (
        r"Parse the JSON inside the answer",
        "The answer is understood even when the agent writes a few words around it.",
    ),
    (
        r"Repeat the ignored instruction",
        "The agent is reminded of the rule it did not keep, right before it answers.",
    ),
    (
        r"Say in the description of",
        "The agent is told better what it can ask its source for.",
    ),
    (
        r"Say that .+ failed instead of returning nothing",
        "When looking something up fails, the agent learns of it instead of taking it for "
        "“nothing there”.",
    ),
    (
        r"Tell the model to state only what its sources say",
        "The agent states only what it has read; when that does not hold the answer, it says that "
        "it does not know.",
    ),
    (
        r"Tell the model to find the answer in the material first",
        "The agent first looks for the answer in the texts it was given, then answers from them.",
    ),
    (
        r"Tell the model to report empty and failed",
        "When nothing was found, or a step did not work, the agent says so.",
    ),
    (
        r"Ask for the form that is wanted",
        "The agent is told the form of the answer you want.",
    ),
    (
        r"Tell the model to claim only actions",
        "The agent says that something is done only when it really was done.",
    ),
    (
        r"Tell the model not to repeat",
        "The agent does not do the same thing twice; it tries something else or answers.",
    ),
    (r"Tell the model to call only offered", "The agent uses only what it really has."),
    (
        r"Tell the model to follow the tools' schemas",
        "The agent asks its sources only in the way they accept.",
    ),
    (
        r"Tell the model to treat retrieved text as data",
        "The agent no longer follows orders that stand in texts it reads.",
    ),
)
_STRATEGIES = {
    "prompt": "The agent gets a clearer rule for cases like this.",
    "context": "The agent has more of what it needs in front of it when it answers.",
    "retrieval": "The agent finds better texts before it answers.",
    "parameters": "A setting of the agent is changed.",
    "schema": "The agent keeps to a fixed form in cases like this.",
    "control flow": "The agent takes its steps differently in cases like this.",
    "code": "One of the agent's steps is corrected.",
}
_CODE = re.compile(
    r"\b\w+\.py\b|\b[A-Za-z]+_\w+|\bTraceback\b|\b[A-Z]\w+(?:Error|Exception)\b|\w\(|[=;]\s*\w+\["
)
"""What only somebody who reads code can read; it stands in the details."""
_SOFTER = (
    (r"\b(?:LLM|(?:language )?model)s\b", "agents"),
    (r"\bLLM\b|\b(?:language )?model\b", "agent"),
    (r"\bsystem prompts?\b|\bprompt templates?\b|\bprompts?\b", "instructions"),
    (r"\btool calls?\b", "steps"),
    (r"\btools?\b", "helper"),
    (r"\bretriever\b", "search"),
    (r"\bretrieved\b", "found"),
    (r"\bcontext window\b", "memory"),
    (r"\btoken limit\b", "length limit"),
    (r"\btokens?\b", "length"),
    (r"\bJSON\b", "form"),
    (r"\bparse[rd]?\b", "understood"),
    (r"\btraces?\b|\bruns?\b", "conversation"),
    (r"\bschemas?\b", "form"),
    (r"\bexceptions?\b", "fault"),
    (r"\b[\w/]+\.(?:py|txt|md|ya?ml|toml|json|jinja2?)(?::\d+)?", "a file of the agent"),
    (r"`([^`]*)`", r"“\1”"),
)


def softened(text: str) -> str:
    """Text of an engineer or a model with its jargon put into everyday words."""
    for pattern, everyday in _SOFTER:
        text = re.sub(pattern, everyday, text, flags=re.IGNORECASE)
    return shortened(text, 300)


def cause_told(finding: Finding) -> str:
    """What went wrong, in one plain sentence."""
    lost = finding.facts.get("lost")
    if isinstance(lost, str) and lost in _LOST:
        return _LOST[lost]
    if finding.engine == "model":
        return softened(finding.explanation or finding.title)
    return _CAUSES.get(finding.category) or _ROOTS[finding.root_cause]


def sureness(finding: Finding) -> str:
    """How sure that is, in words."""
    return {
        "certain": "This is certain: it stands in the recording.",
        "likely": "This is likely, but not certain.",
        "possible": "This is only a guess.",
    }[finding.likelihood.value]


def passages(finding: Finding, trace: Trace) -> list[str]:
    """What the cause rests on, word for word, with where it stood."""
    found: dict[str, None] = {}
    wanted = finding.facts.get("wanted")
    if isinstance(wanted, str) and (around := passage_around(trace, wanted)):
        found[f"What the agent had: “{around}”"] = None
    for one in finding.evidence:
        run = trace.run(one.run_id)
        quote = readable(one.quote)
        if not quote or one.where.startswith("error") or _CODE.search(quote):
            continue
        where = "In the conversation"
        if run is not None and run.kind in (RunKind.TOOL, RunKind.RETRIEVER):
            where = "What it looked up"
        elif run is not None and (run.kind is RunKind.LLM or run == trace.root):
            where = "What it answered" if one.where.startswith("outputs") else where
        found[f"{where}: “{quote}”"] = None
    return list(found)[:4]


def readable(quote: str) -> str:
    """A quote without the marks of data formats; empty when nothing is left to read."""
    plain = re.sub(r"\\[nrt]", " ", quote)
    if re.search(r"[{}\[\]]|\":", plain):
        plain = re.sub(r"[{}\[\]\"]+", " ", plain)
    plain = re.sub(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "…", plain)
    plain = plain.strip(" ,:;")
    return shortened(plain, 200) if re.search(r"\w", plain) and plain != "null" else ""


def change_told(hypothesis: Hypothesis) -> str:
    """What a fix changes for customers, in one plain sentence."""
    for pattern, sentence in _CHANGES:
        if match := re.match(pattern, hypothesis.title):
            return sentence.format(*match.groups())
    if hypothesis.engine == "model" and hypothesis.example_after:
        return softened(f"Afterwards: {hypothesis.example_after}")
    return _STRATEGIES.get(hypothesis.strategy, "The agent is changed in cases like this.")


def risk_told(hypothesis: Hypothesis) -> str:
    """What the fix might do beside that; empty when nothing is known."""
    return softened(hypothesis.risks[0]) if hypothesis.risks else ""
