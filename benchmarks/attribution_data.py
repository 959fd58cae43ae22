"""Labelled runs of real agents as traces: Who&When, AgentRx, tau-bench, AgentDyn.

The files are read where they lie and never copied. Every reader gives the same: traces with what
people said of them.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinery.adapters.messages import read_labelled
from refinery.detectors._shared.steps import Speaker, Step
from refinery.model.trace import Run, RunKind, RunStatus, Trace

HALVES = ("algorithm_generated", "hand_crafted")
"""Folders of Who&When."""
_TERMINALS = ("computer_terminal", "computerterminal")
"""Participants of Who&When that run code and say nothing of their own."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A failed run and where people saw its cause."""

    name: str
    group: str
    trace: Trace
    agent: str
    """The agent at fault, as labelled."""
    step: int
    """Place of the cause in the source's own list of messages, from 0."""
    places: Mapping[str, int]
    """Place of each run in that list, by run id."""
    errors: tuple[int, ...] = ()
    """Places of all labelled faults, the cause among them."""

    def place(self, step: Step) -> int:
        """Place of a step in the source's list of messages; -1 when it is none of them."""
        place = self.places.get(step.run.run_id, -1)
        return place - 1 if step.speaker is Speaker.USER else place


@dataclass(frozen=True, slots=True)
class Judged:
    """A run and whether it passed."""

    trace: Trace
    passed: bool


@dataclass(frozen=True, slots=True)
class Attacked:
    """A run with or without a foreign instruction in the data of a tool."""

    trace: Trace
    payloads: tuple[str, ...]
    """Foreign instructions that stand in the data; empty: none was planted."""
    is_seen: bool
    """Whether a tool's result that the model was given holds one of them."""
    is_obeyed: bool
    """Whether the run did what the instruction asked for."""


def whowhen(folder: Path) -> list[Labelled]:
    """Runs of both halves of Who&When, by half and number."""
    found = []
    for half in HALVES:
        paths = (folder / half).glob("*.json")
        for path in sorted(paths, key=lambda p: (len(p.stem), p.stem)):
            record = json.loads(path.read_text("utf-8"))
            trace, places = _chat_trace(f"{half}/{path.stem}", record)
            step = int(record["mistake_step"])
            found.append(
                Labelled(path.stem, half, trace, record["mistake_agent"], step, places, (step,))
            )
    return found


def _chat_trace(name: str, record: Mapping[str, Any]) -> tuple[Trace, dict[str, int]]:
    """A chat of several agents: one run a message; what runs code is a tool."""
    root = Run(
        name, name, "chat", RunKind.AGENT, status=RunStatus.OK,
        inputs={"question": str(record.get("question") or "").strip()},
        outputs={"output": str(record["history"][-1].get("content") or "")},
    )  # fmt: skip
    runs, places = [root], {}
    for index, message in enumerate(record["history"]):
        speaker = str(message.get("name") or message.get("role")).partition(" (")[0]
        if speaker == "human":
            continue
        run_id = f"{name}/{index}"
        places[run_id] = index
        is_tool = speaker.lower() in _TERMINALS
        text = str(message.get("content") or "")
        said = {"role": "tool" if is_tool else "assistant", "name": speaker, "content": text}
        runs.append(
            Run(
                run_id, name, speaker, RunKind.TOOL if is_tool else RunKind.AGENT, name,
                status=RunStatus.OK, outputs={"messages": [said]},
            )
        )  # fmt: skip
    return Trace(name, tuple(runs), "chat"), places


def agentrx(folder: Path) -> list[Labelled]:
    """The labelled failures of tau-bench retail; empty when the folder holds none."""
    failed, truth = folder / "tau_dataset_failed.json.gz", folder / "tau_ground_truth.json"
    if not failed.is_file() or not truth.is_file():
        return []
    labels = {item["trajectory_id"]: item for item in json.loads(truth.read_text("utf-8"))}
    found = []
    records = _records(failed)
    for record, (trace, _) in zip(records, read_labelled(failed), strict=True):
        label = labels[record["task_id"]]
        steps = {f["failure_id"]: f["step_number"] - 1 for f in label["failures"]}
        root = steps[label["root_cause"]["failure_id"]]
        messages = record["traj"]
        agent = "user" if messages[root]["role"] == "user" else "assistant"
        places = _places(trace, messages)
        found.append(
            Labelled(
                str(record["task_id"]), "agentrx_tau", trace, agent, root, places,
                tuple(steps.values()),
            )
        )  # fmt: skip
    return found


def _places(trace: Trace, messages: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Place of each run in the conversation it was read from, by run id."""
    found: dict[str, int] = {}
    for role, kind in (("assistant", RunKind.LLM), ("tool", RunKind.TOOL)):
        runs = (run.run_id for run in trace.runs if run.kind is kind)
        at = (place for place, message in enumerate(messages) if message["role"] == role)
        found.update(zip(runs, at, strict=False))
    return found


def judged(path: Path) -> Iterator[Judged]:
    """Runs of a file with the verdict of their source; those without one are left out."""
    for trace, feedback in read_labelled(path):
        outcome = next((f.value["outcome"] for f in feedback if f.key == "label"), None)
        if outcome is not None:
            yield Judged(trace, outcome == "pass")


def agentdyn(folder: Path) -> Iterator[Attacked]:
    """Runs of AgentDyn with and without a planted instruction, by path."""
    for path in sorted(folder.rglob("*.json.gz")):
        for record, (trace, _) in zip(_records(path), read_labelled(path), strict=True):
            payloads = tuple(str(value) for value in (record.get("injections") or {}).values())
            results = [_bare(str(r.outputs)) for r in trace.runs if r.kind is RunKind.TOOL]
            seen = any(_bare(p)[:200] in text for p in payloads for text in results)
            yield Attacked(trace, payloads, seen, bool(payloads) and bool(record.get("security")))


def _bare(text: str) -> str:
    """Letters and digits of a text: the same however a tool wraps, indents or escapes it."""
    plain = text.replace("\\n", " ").replace("\\t", " ")
    return "".join(character for character in plain if character.isalnum())


def _records(path: Path) -> list[dict[str, Any]]:
    parsed = json.loads(gzip.decompress(path.read_bytes()))
    return parsed if isinstance(parsed, list) else [parsed]
