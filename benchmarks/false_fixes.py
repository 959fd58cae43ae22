"""How often is a patch that changes nothing called a fix, and how often a right one?

    python -m benchmarks.false_fixes [NO-OPS] [BUGS] [SEED]

The agents fail at random about half the time: three draw their luck themselves (`random`, the
digits of a fresh UUID, the clock), one asks a loopback model that is right half the time. The
no-op patches change names, comments, layout, unrelated code, or reword a prompt to no effect.
The right fixes each take the seeded fault out. Each patch is tried as `refinery fix` tries it: the
arms unpatched, no-op and patch, in the sandbox, until the comparison is clear or 120 replays are
used. Of each, both arms' k of n with 95 % Wilson intervals and p are printed.
"""

import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from refinery.codebase.patches import build
from refinery.detectors import observe
from refinery.intervals import wilson
from refinery.model.patch import FileChange
from refinery.model.trace import Trace
from refinery.model.verdict import Arm, Trial, Verdict
from refinery.replay.cases import Case, TrialRequest
from refinery.replay.checks import parse
from refinery.replay.judging import ASKED_AGAIN, FAILING, HELPFUL, PATCHED, UNPATCHED
from refinery.replay.program import Agent
from refinery.replay.trial import run_trial
from refinery.replay.upstream import Budget, Endpoint, Upstream
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.safety import sandbox
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git, make_repository
from tests.replay import kit

LUCK = {
    "random": ("import random", "random.random() < {rate}"),
    "uuid": ("import uuid", "uuid.uuid4().int % 1000 < {rate} * 1000"),
    "clock": ("import time", "time.time_ns() // 1000 % 997 < {rate} * 997"),
}
DICE = '''"""Tells prices."""

{module}

PRICES = {{"lamp": "30 EUR", "chair": "45 EUR"}}


def price_of(item):
    """The price of an item."""
    if {luck}:
        return "unknown"
    return PRICES[item]


def answer(question):
    """Answer one question."""
    item = question.split()[-1].strip("?")
    found = price_of(item)
    return {{"answer": "It costs " + found}}
'''
ASKING = '''"""Asks a model for prices."""

from pathlib import Path

import openai

SYSTEM = Path(__file__).with_name("system.md").read_text()


def answer(question):
    """Answer one question."""
    reply = openai.OpenAI().chat.completions.create(
        model="small",
        temperature=1,
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}],
    )
    return {"answer": reply.choices[0].message.content}
'''
PROMPT = "You are the clerk of a shop. The lamp costs 30 EUR, the chair 45 EUR.\n"
CURE = "Always name the price."
WORDS = ("kind", "brief", "polite", "clear", "friendly", "calm", "formal", "helpful")
RIGHT = "contains@answer:30 EUR"
ASKED = ("lamp", "chair")


@dataclass(frozen=True)
class Trying:
    """One patch of one agent."""

    name: str
    agent: str
    path: str
    before: str
    after: str


def code_no_op(number: int, chance: random.Random, source: str) -> str:
    """A version of the source that does the same."""
    word = f"{chance.choice(WORDS)}_{number}"
    kinds = (
        lambda: source + f"\n\nUNUSED_{number} = {number}\n",
        lambda: source.replace("    found = ", f"    # {word}\n    found = "),
        lambda: source.replace("found", word),
        lambda: source.replace('"""Tells prices."""', f'"""Tells prices, {word}."""'),
        lambda: source.replace("def answer", f"def {word}():\n    return None\n\n\ndef answer"),
        lambda: source.replace("PRICES[item]", "PRICES.get(item, PRICES[item])"),
    )
    return chance.choice(kinds)()


def dice_source(luck: str, rate: float) -> str:
    """The agent that fails at a rate."""
    module, test = LUCK[luck]
    return DICE.format(module=module, luck=test.format(rate=rate))


def tryings(no_ops: int, bugs: int, chance: random.Random) -> Iterator[tuple[Trying, float]]:
    """No-op patches first, then right fixes, each with the rate at which the agent fails."""
    for number in range(no_ops):
        if number % 4 == 3:
            words = f"{PROMPT}Be {chance.choice(WORDS)} and {chance.choice(WORDS)}, {number}.\n"
            yield Trying(f"no-op {number}", "model", "system.md", PROMPT, words), 0.5
            continue
        source = dice_source(list(LUCK)[number % 3], 0.5)
        after = code_no_op(number, chance, source)
        yield Trying(f"no-op {number}", list(LUCK)[number % 3], "app.py", source, after), 0.5
    for number in range(bugs):
        if number % 4 == 3:
            after = f"{PROMPT}{CURE} Be {chance.choice(WORDS)}.\n"
            yield Trying(f"fix {number}", "model", "system.md", PROMPT, after), 0.5
            continue
        luck, rate = list(LUCK)[number % 3], chance.choice([0.4, 0.5, 0.6])
        source = dice_source(luck, rate)
        _, test = LUCK[luck]
        after = source.replace(f'    if {test.format(rate=rate)}:\n        return "unknown"\n', "")
        yield Trying(f"fix {number}", luck, "app.py", source, after), rate


class Moody:
    """A model that is right half the time, and always with the cure in its prompt."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def __call__(self, request: ModelRequest) -> ModelReply:
        """The answer to one request."""
        system = next(m.text for m in request.messages if m.role == "system")
        item = next(item for item in ASKED if item in request.messages[-1].text)
        price = {"lamp": "30 EUR", "chair": "45 EUR"}[item]
        is_right = CURE in system or self.chance.random() < 0.5
        return ModelReply(f"It costs {price}" if is_right else "I do not know", model="small")


def recorded(root: Path, env: dict[str, str], folder: Path) -> tuple[Trace, Trace]:
    """A run that failed and one that passed, recorded for real."""
    asked = [f"How much is the {item}?" for item in ASKED for _ in range(16)]
    folder.mkdir(parents=True, exist_ok=True)
    traces = kit.record(root, "app:answer", asked, env, folder / "spool")
    bad = next(t for t in traces[:16] if "30 EUR" not in str(t.root and t.root.outputs))
    good = next(t for t in traces[16:] if "45 EUR" in str(t.root and t.root.outputs))
    return bad, good


@dataclass
class Bench:
    """Where the agents are recorded and tried."""

    folder: Path
    server: ModelServer
    seed: int

    def request(self, one: Trying, recordings: tuple[Trace, Trace], root: Path) -> TrialRequest:
        """What to try."""
        commit = git(root, "rev-parse", "HEAD").strip()
        change = FileChange(one.path, one.before.encode(), one.after.encode())
        bad, good = recordings
        endpoint = Endpoint(self.server.url + "/v1", "key")
        upstream = Upstream(endpoint, None, Budget(10_000)) if one.agent == "model" else None
        return TrialRequest(
            hypothesis_id=one.name,
            patch=build((), (change,), commit),
            failing=(Case(bad, (parse(RIGHT),)),),
            controls=(Case(good, (parse("contains@answer:45 EUR"),)),),
            agent=Agent(root, upstream=upstream, tier=sandbox.strongest(allow_unsandboxed=True)),
            base_commit=commit,
            observe=observe,
            seed=zlib.crc32(f"{self.seed} {one.name}".encode()),
        )

    def repository(self, one: Trying) -> tuple[Path, tuple[Trace, Trace]]:
        """An agent and two recorded runs of it."""
        name = f"{one.agent}-{abs(hash(one.before))}"
        files = {one.path: one.before}
        if one.agent == "model":
            files = {"app.py": ASKING, "system.md": PROMPT}
        root = make_repository(self.folder / name / "agent", files)
        env = kit.openai_env(self.server.url)
        return root, recorded(root, env, self.folder / name)


def shown(one: Trying, trial: Trial) -> str:
    """One line: the verdict, both arms and p."""
    patched = arm_of(trial, PATCHED)
    base = arm_of(trial, ASKED_AGAIN) or arm_of(trial, UNPATCHED)
    p_value = f"p {trial.p_value:.4f}" if trial.p_value is not None else "p -"
    return (
        f"{one.name:<10} {one.agent:<7} {trial.verdict.value:<13} "
        f"patch {told(patched)}, unpatched {told(base)}, {p_value}"
    )


def arm_of(trial: Trial, name: str) -> Arm | None:
    """The arm of that name over the failing trace."""
    return next((a for a in trial.arms if (a.name, a.group) == (name, FAILING)), None)


def told(arm: Arm | None) -> str:
    """How many of how many, and the interval."""
    if arm is None or arm.interval is None:
        return "-"
    return f"{arm.passed}/{arm.total} [{arm.interval[0]:.2f}, {arm.interval[1]:.2f}]"


def rate(hits: int, total: int) -> str:
    """A share with its interval."""
    low, high = wilson(hits, total) or (0.0, 1.0)
    share = f"{hits / total:.1%}" if total else "-"
    return f"{hits} of {total} = {share}, 95 % interval {low:.1%} to {high:.1%}"


def main(no_ops: int, bugs: int, seed: int) -> int:
    """Run the benchmark; returns 1 when a promise does not hold."""
    started_s = time.monotonic()
    cases = [one for one, _ in tryings(no_ops, bugs, random.Random(seed))]
    verdicts: dict[str, Counter[Verdict]] = {"no-op": Counter(), "fix": Counter()}
    replays = 0
    with tempfile.TemporaryDirectory() as folder, ModelServer(Moody(seed)) as server:
        bench = Bench(Path(folder), server, seed)
        known = {one.before: one for one in cases}
        made = {before: bench.repository(one) for before, one in known.items()}

        def attempt(one: Trying) -> tuple[Trying, Trial]:
            root, recordings = made[one.before]
            return one, run_trial(bench.request(one, recordings, root))

        with ThreadPoolExecutor(2) as pool:
            for one, trial in pool.map(attempt, cases):
                verdicts[one.name.partition(" ")[0]][trial.verdict] += 1
                replays += sum(arm.total for arm in trial.arms)
                print(shown(one, trial), flush=True)
    for kind, found in verdicts.items():
        print(f"\n{kind}: " + ", ".join(f"{v.value} {n}" for v, n in found.items()))
    false = sum(verdicts["no-op"][verdict] for verdict in HELPFUL)
    right = verdicts["fix"][Verdict.FIXED]
    print(f"\nno-op patches put up for approval: {rate(false, no_ops)} (at most 5 %)")
    print(f"  of them called fixed: {rate(verdicts['no-op'][Verdict.FIXED], no_ops)}")
    print(f"right fixes called fixed: {rate(right, bugs)} (at least 80 %)")
    print(f"{replays} replays in {time.monotonic() - started_s:.0f} s")
    return int(false > 0.05 * no_ops or right < 0.8 * bugs)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    raise SystemExit(main(*(given + [200, 20, 7][len(given) :])))
