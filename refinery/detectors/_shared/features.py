"""What is known of a step of a failed run: the features its probability as the cause rests on.

Each feature is a number that is 0 where it says nothing. Position counts only under an
orchestrator: its workers do one thing each, and what goes wrong early is rarely put right. In a
group of agents what counts is what a step brings in: text, code, assumptions.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refinery.detectors._shared.actions import is_change
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.steps import Shape, Speaker, Step, Steps
from refinery.model.failure import Likelihood, Signal

_CODE = r"```(?:python|py|sh|bash|shell|sql|javascript|js|typescript|ts)\b"
_ASSUMES = (
    r"(?i)\b(?:assum(?:e|es|ed|ing|ption|ptions)|hypothetical\w*|simulat\w+|placeholders?|mock|"
    r"dummy|(?:example|sample) data|for (?:demonstration|illustration)|let['\x{2019}]?s say|"
    r"pretend|approximat\w+|estimate[ds]?|manually|"
    r"based on (?:my|general|typical|standard|common|prior|existing))\b"
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What features look at beside their step."""

    steps: Steps
    rank: Mapping[int, int]
    """Place of a step among the steps that do work, from 0, by index."""
    causes: Mapping[str, Likelihood]
    """The likeliest signal that names a run as its cause, by run id."""


def scene_of(steps: Steps, signals: tuple[Signal, ...]) -> Scene:
    """The scene of a trace's steps, with what the detectors saw."""
    order = tuple(Likelihood)
    causes: dict[str, Likelihood] = {}
    for signal in signals:
        known = causes.get(signal.cause_run_id, signal.likelihood)
        causes[signal.cause_run_id] = min(known, signal.likelihood, key=order.index)
    rank = {step.index: place for place, step in enumerate(steps.work)}
    return Scene(steps, rank, causes)


def _grouped(value: Callable[[Scene, Step], float]) -> Callable[[Scene, Step], float]:
    """A feature of steps of agents that no orchestrator leads."""

    def feature(scene: Scene, step: Step) -> float:
        is_led = scene.steps.shape is Shape.ORCHESTRATED
        return 0.0 if is_led or step.speaker is not Speaker.AGENT else value(scene, step)

    return feature


def _led(value: Callable[[Scene, Step], float]) -> Callable[[Scene, Step], float]:
    """A feature of workers under an orchestrator."""

    def feature(scene: Scene, step: Step) -> float:
        is_led = scene.steps.shape is Shape.ORCHESTRATED
        return value(scene, step) if is_led and step.index in scene.rank else 0.0

    return feature


def _orchestrator(scene: Scene, step: Step) -> float:
    return float(step.agent == scene.steps.hub)


def _user(_: Scene, step: Step) -> float:
    return float(step.speaker is Speaker.USER)


def _lateness(scene: Scene, step: Step) -> float:
    return math.log1p(scene.rank[step.index]) ** 2


def _last(scene: Scene, step: Step) -> float:
    return float(scene.rank[step.index] == len(scene.rank) - 1)


def _length(_: Scene, step: Step) -> float:
    return math.log1p(len(step.text)) / 10


def _code(_: Scene, step: Step) -> float:
    return float(find(_CODE, step.text) is not None)


def _assumes(scene: Scene, step: Step) -> float:
    return float(not scene.steps.is_opening(step) and find(_ASSUMES, step.text) is not None)


def _inherited_code(scene: Scene, step: Step) -> float:
    return _code(scene, step) if scene.steps.is_opening(step) else 0.0


def _changes(_: Scene, step: Step) -> float:
    return float(any(is_change(call.name) for call in step.calls))


def _strong_signal(scene: Scene, step: Step) -> float:
    seen = scene.causes.get(step.run.run_id) if step.speaker is Speaker.AGENT else None
    return float(seen is not None and seen is not Likelihood.POSSIBLE)


FEATURES: Mapping[str, Callable[[Scene, Step], float]] = {
    "orchestrator": _orchestrator,
    "user": _user,
    "worker_lateness": _led(_lateness),
    "worker_last": _led(_last),
    "length": _grouped(_length),
    "code": _grouped(_code),
    "assumes": _grouped(_assumes),
    "inherited_code": _grouped(_inherited_code),
    "changes_something": _changes,
    "strong_signal": _strong_signal,
}
"""Every feature by its name in `attribution.json`."""

REASONS: Mapping[str, str] = {
    "worker_last": "it is the last work before the end",
    "length": "it brings in more than the other steps",
    "code": "it writes code",
    "assumes": "it assumes something or makes up data",
    "inherited_code": "it hands on code that came with the request",
    "changes_something": "it changes something",
    "strong_signal": "a detector found a likely fault in it",
    "user": "the user turns to something here",
}
"""Features that can be told to people as a reason."""


def vector(scene: Scene, step: Step) -> dict[str, float]:
    """All features of one step by name."""
    return {name: feature(scene, step) for name, feature in FEATURES.items()}
