"""Fits the weights of `refinery/detectors/_shared/attribution.json` and says how well they hold.

    python -m benchmarks.fit_attribution DATA_DIR [--write]

DATA_DIR holds `whowhen_dev/` and `agentrx_tau/`. A conditional logit with a ridge penalty; each
feature is scaled by its spread for the penalty, and the three sets weigh `SET_WEIGHTS`. Figures
out of fold come from refitting on nine tenths and judging the last tenth, five times over.
"""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attribution_data import Labelled, agentrx, whowhen
from refinery.detectors import observe
from refinery.detectors._shared import attribution
from refinery.detectors._shared.features import FEATURES, scene_of, vector
from refinery.detectors._shared.steps import Step, steps_of

PENALTY = 1.0
"""Ridge penalty on weights of scaled features; 0.3 to 3 came to the same figures."""
SET_WEIGHTS = {"algorithm_generated": 1.0, "hand_crafted": 1.5, "agentrx_tau": 1.5}
"""Weight of one run of each set: the two small sets count a little more."""
FOLDS = 10
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled run as the fit sees it."""

    run: Labelled
    steps: tuple[Step, ...]
    rows: Any
    """Features, (steps, features) float64."""
    truth: int | None
    """Row of the labelled step; None when no step stands at that place."""


def examples(runs: Sequence[Labelled], names: Sequence[str]) -> list[Example]:
    """The features of every step of every run."""
    import numpy as np

    found = []
    for run in runs:
        steps = steps_of(run.trace)
        scene = scene_of(steps, tuple(observe(run.trace)))
        vectors = [vector(scene, step) for step in steps.blamable]
        rows = np.array([[v[name] for name in names] for v in vectors], dtype=float)
        places = [run.place(step) for step in steps.blamable]
        truth = places.index(run.step) if run.step in places else None
        found.append(Example(run, steps.blamable, rows, truth))
    return found


def fit(given: Sequence[Example]) -> Any:
    """Weights that maximise the penalised likelihood of the labelled steps, (features,)."""
    import numpy as np
    from scipy.optimize import minimize

    spread = np.concatenate([e.rows for e in given]).std(0) + 1e-9

    def loss(weights: Any) -> tuple[float, Any]:
        value = 0.5 * PENALTY * float(np.sum((weights * spread) ** 2))
        slope = PENALTY * weights * spread**2
        for example in given:
            if example.truth is None:
                continue
            share = _softmax(example.rows @ weights)
            times = SET_WEIGHTS.get(example.run.group, 1.0)
            value -= times * float(np.log(share[example.truth] + 1e-12))
            slope = slope - times * (example.rows[example.truth] - share @ example.rows)
        return value, slope

    start = np.zeros(given[0].rows.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B").x


def _softmax(scores: Any) -> Any:
    import numpy as np

    raised = np.exp(scores - scores.max())
    return raised / raised.sum()


def is_right(example: Example, weights: Any) -> tuple[bool, bool]:
    """Whether the best step's agent and its place are the labelled ones."""
    scores = (example.rows @ weights).round(9)
    best = example.steps[int(scores.argmax())]
    return best.agent == example.run.agent, example.run.place(best) == example.run.step


def out_of_fold(given: Sequence[Example]) -> dict[str, tuple[int, int, int]]:
    """Right agents, right steps and judgements of runs that the fit had not seen, by set."""
    counts: dict[str, tuple[int, int, int]] = {}
    for repeat in range(REPEATS):
        order = list(range(len(given)))
        random.Random(repeat).shuffle(order)  # folds, not secrets
        for fold in range(FOLDS):
            held = set(order[fold::FOLDS])
            weights = fit([e for i, e in enumerate(given) if i not in held])
            for index in held:
                agent, step = is_right(given[index], weights)
                a, s, n = counts.get(given[index].run.group, (0, 0, 0))
                counts[given[index].run.group] = (a + agent, s + step, n + 1)
    return counts


def main(arguments: Sequence[str]) -> int:
    """Print weights and figures; with `--write`, replace the data file."""
    folder = Path(arguments[0]) if arguments else Path()
    runs = [*whowhen(folder / "whowhen_dev"), *agentrx(folder / "agentrx_tau")]
    if not runs:
        print("skipped: name the folder that holds whowhen_dev/ and agentrx_tau/")
        return 0
    names = list(FEATURES)
    given = examples(runs, names)
    weights = fit(given)
    for name, weight in zip(names, weights, strict=True):
        print(f"  {name:28}{weight:8.3f}")
    seen = out_of_fold(given)
    for group in dict.fromkeys(e.run.group for e in given):
        of = [is_right(e, weights) for e in given if e.run.group == group]
        agents, steps = (100 * sum(r[k] for r in of) / len(of) for k in (0, 1))
        a, s, n = seen[group]
        print(
            f"{group}: {len(of)} runs, in sample agent {agents:.1f} % step {steps:.1f} %, "
            f"out of fold agent {100 * a / n:.1f} % step {100 * s / n:.1f} %"
        )
    if "--write" in arguments:
        _write(dict(zip(names, (round(float(w), 4) for w in weights), strict=True)), len(given))
    return 0


def _write(weights: Mapping[str, float], runs: int) -> None:
    path = Path(attribution.__file__).with_name("attribution.json")
    document = {
        "source": (
            f"benchmarks/fit_attribution.py on {runs} failed runs: the development halves "
            "of Who&When (Zhang et al., ICML 2025) and AgentRx's tau-bench retail labels"
        ),
        "penalty": PENALTY,
        "set_weights": SET_WEIGHTS,
        "weights": weights,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
