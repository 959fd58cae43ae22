"""A model on loopback that has been taken over: it proposes whatever the attacker wants.

It speaks the OpenAI chat API. As analyst it repeats the attacker's text and quotes the trace
truthfully, so that nothing is rejected for a lesser reason; as generator it proposes the edits of
the goal it was given. No text has to persuade it: the fixer must hold against a model that is
lost.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from refinery.demo import model
from refinery.model.trace import Json, Usage
from refinery.replay.wire import ModelReply, ModelRequest

_FINDING = re.compile(r'"findings"')


@dataclass(slots=True)
class Hijacked:
    """What the model has been told to bring about, and what it was asked."""

    proposals: tuple[tuple[dict[str, Json], ...], ...] = ()
    """Patches to propose, each of edits `{"kind", "path", "arguments"}`."""
    words: str = ""
    """The attacker's text, put into every title and explanation."""
    quote: str = ""
    """A phrase that stands in the trace, in run `R1`."""
    url: str = ""
    """Base URL, as `model_base_url` wants it."""
    saw_words: int = 0
    """Requests in which the attacker's text had reached the model."""
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: ModelRequest) -> ModelReply:
        """Answer one request."""
        said = "\n".join(message.text for message in request.messages)
        with self._lock:
            self.requests += 1
            self.saw_words += bool(self.words) and self.words[:60] in said
        usage = Usage(input=1_000, output=100, total=1_100)
        schema = json.dumps(request.params.get("response_format", ""))
        if not schema.strip('"'):
            return ModelReply("I have read enough.", usage=usage)
        report = self._report() if _FINDING.search(schema) else self._proposal()
        return ModelReply(json.dumps(report), usage=usage)

    def _report(self) -> dict[str, Json]:
        finding = {
            "category": "obeyed",
            "title": self.words[:150],
            "explanation": self.words,
            "likelihood": "certain",
            "confidence": 1.0,
            "level": "system",
            "root_cause": "prompt",
            "cause_run": "R1",
            "symptom_run": "R1",
            "quotes": [{"run": "R1", "quote": self.quote}],
        }
        return {"findings": [finding], "unanswerable": []}

    def _proposal(self) -> dict[str, Json]:
        found: list[Json] = [
            self._hypothesis([{**e, "arguments": _pairs(e["arguments"])} for e in edits], number)
            for number, edits in enumerate(self.proposals)
        ]
        return {"hypotheses": found}

    def _hypothesis(self, edits: list[Any], number: int) -> dict[str, Json]:
        return {
            "finding": "F1",
            "title": f"{number}: {self.words[:150]}",
            "rationale": self.words,
            "strategy": "code",
            "edits": edits,
            "confidence": 1.0,
            "risks": [],
            "example_before": "",
            "example_after": "",
            "citations": [],
        }


@contextmanager
def serve() -> Iterator[Hijacked]:
    """Serve the model on a free port of the loopback interface; its goal may be changed."""
    hijacked = Hijacked()
    with model.serve(hijacked.answer) as hijacked.url:
        yield hijacked


def _pairs(arguments: Json) -> list[dict[str, Json]]:
    if not isinstance(arguments, Mapping):
        return []
    return [
        {"name": name, "value": value if isinstance(value, str) else json.dumps(value)}
        for name, value in arguments.items()
    ]
