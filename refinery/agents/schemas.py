"""What the models are asked to answer: the schema on the wire, and lenient reading of it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field


def _share(value: Any) -> Any:
    """A confidence between 0 and 1, whatever scale the model used."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    return min(max(value / 100 if value > 1 else value, 0.0), 1.0)


def _pairs(value: Any) -> Any:
    """Arguments as a list of names and texts, also when the model wrote one object."""
    if not isinstance(value, Mapping):
        return value
    return [
        {"name": str(name), "value": item if isinstance(item, str) else json.dumps(item)}
        for name, item in value.items()
    ]


Confidence = Annotated[float, BeforeValidator(_share)]


class QuoteDraft(BaseModel):
    """A phrase copied from a run."""

    run: str = Field(description="handle of the run the phrase stands in, e.g. R4")
    quote: str = Field(description="copied character by character from one value of that run")


class FindingDraft(BaseModel):
    """One explanation of the failure."""

    category: str = Field(
        description="name of a category from the list, else a new snake_case one"
    )
    title: str = Field(description="one line for people, without run handles")
    explanation: str = Field(description="what happened, why it is a failure, what caused it")
    likelihood: Literal["certain", "likely", "possible"] = "possible"
    confidence: Confidence = 0.5
    level: Literal["system", "prompt", "context", "output"] = "system"
    root_cause: Literal[
        "prompt", "context", "model", "orchestration", "tool", "environment", "input"
    ]
    cause_run: str = Field(description="handle of the run that produced the fault")
    symptom_run: str = Field(description="handle of the run that showed it")
    quotes: list[QuoteDraft]


class Report(BaseModel):
    """The failure analyst's findings, best first, and what the trace cannot answer."""

    findings: list[FindingDraft]
    unanswerable: list[str] = Field(
        default_factory=list, description="questions this trace cannot answer"
    )


class ArgumentDraft(BaseModel):
    """One argument of an edit."""

    name: str
    value: str = Field(description="text as it is; numbers, lists, objects and null as JSON")


class EditDraft(BaseModel):
    """One typed edit of one file."""

    kind: str
    path: str = Field(description="file, relative to the repository root")
    arguments: Annotated[list[ArgumentDraft], BeforeValidator(_pairs)]


class HypothesisDraft(BaseModel):
    """A change that should remove the cause of a finding."""

    finding: str = Field(description="id of the finding it mends, e.g. F1")
    title: str
    rationale: str = Field(description="why this removes the cause, not the symptom")
    strategy: Literal[
        "prompt", "context", "retrieval", "parameters", "schema", "control flow", "code"
    ]
    edits: list[EditDraft]
    confidence: Confidence = 0.5
    risks: list[str] = Field(default_factory=list)
    example_before: str = Field("", description="what the agent does now, in one sentence")
    example_after: str = Field("", description="what it will do, in one sentence")
    citations: list[str] = Field(
        default_factory=list, description="passages it rests on, as guide-name#heading"
    )


class Proposal(BaseModel):
    """Three to five hypotheses of different strategies, best first."""

    hypotheses: list[HypothesisDraft]
