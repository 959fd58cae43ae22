"""A receipt in a clean clone: does its proof hold there, and does one flipped bit anywhere show?

    python -m benchmarks.receipt [FLIPS] [SEED]

(from the repository's root; 100 flips of each kind and seed 1 unless said)

A small agent is recorded with a model on loopback, fixed and committed. Then the model is gone:
`refinery verify` runs as a program of its own in a fresh clone, with an empty home and
environment, no key and, where `unshare -n` is allowed, no network at all. After that one random
bit is flipped at a random place, and `verify` must not hold: in the receipt; in the text of the
commit (written as a new commit object, in the old one's place); in the stored object files of the
commit, its trees and its changed files; and, where the change was made, in the ledger.
Ends with 1 when the proof does not hold or a flip is not noticed, else with 0.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.errors import RefineryError
from refinery.model.trace import Label
from refinery.workflows import receipt as receipts
from refinery.workflows import traces
from refinery.workflows.fix import Decision, FixRequest, fix
from refinery.workflows.record import record_inputs
from refinery.workflows.verify import verify
from refinery.workflows.wiring import open_workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git, make_repository
from tests.samples import shop_agent
from tests.workflows.shop import first_note

LIMIT_S = 60.0
"""Longest a verification may take."""


@dataclass
class Figures:
    """What was found."""

    wall_s: float = 0.0
    holds: bool = False
    network: str = ""
    receipt_bytes: int = 0
    noticed: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """A fixed repository, a clone of it, and the receipt."""

    origin: Path
    clone: Path
    kept: Path
    change_id: str
    commit: str


@contextlib.contextmanager
def environment(**values: str | None) -> Iterator[None]:
    """Set or remove variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def prepare(folder: Path) -> Scene:
    """Record, fix and commit; then clone."""
    origin = make_repository(folder / "shop", shop_agent.FILES)
    with ModelServer(first_note) as server:
        url = {"OPENAI_BASE_URL": server.url + "/v1", "OPENAI_API_KEY": "test"}
        with environment(**url), contextlib.chdir(origin):
            change_id, commit = _fixed(origin)
    git(folder, "clone", "-q", "--no-local", str(origin), str(folder / "clone"))
    kept = folder / "kept.receipt"
    shutil.copyfile(receipts.path_of(origin / ".refinery", change_id), kept)
    return Scene(origin, folder / "clone", kept, change_id, commit)


def _fixed(origin: Path) -> tuple[str, str]:
    workspace = open_workspace(origin)
    inputs = [shop_agent.FAILING, shop_agent.PASSING]
    failing, passing = (r.trace_id or "" for r in record_inputs(workspace, inputs, origin))
    right = (f"contains@answer:{shop_agent.RIGHT}",)
    traces.label(workspace, failing, Label("fail", "the newest note counts", right))
    traces.label(workspace, passing, Label("pass", None, ("contains@answer:costs nothing",)))
    request = FixRequest(trace=traces.resolve(workspace, failing), repository=origin)
    approve = Decision("yes", "benchmark", covers_held=True)
    outcome = fix(workspace, request, lambda _: approve, lambda _: None)
    assert outcome.change is not None, "nothing was fixed"
    return outcome.change.change_id, outcome.change.commit


def verify_alone(scene: Scene, figures: Figures) -> None:
    """Run `refinery verify` in the clone, as somebody who has nothing but it and the receipt."""
    home = scene.kept.parent / "empty"
    home.mkdir()
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "refinery", "verify", scene.change_id]
    command += ["--receipt", str(scene.kept), "--json"]
    cut_off = ["unshare", "-n"]
    can = subprocess.run([*cut_off, "true"], capture_output=True, check=False).returncode == 0
    figures.network = "cut off" if can else "present"
    started = time.monotonic()
    done = subprocess.run(
        [*(cut_off if can else []), *command],
        cwd=scene.clone,
        env=own,
        capture_output=True,
        check=False,
    )
    figures.wall_s = time.monotonic() - started
    told = json.loads(done.stdout) if done.stdout else {}
    figures.holds = done.returncode == 0 and told.get("holds") is True
    figures.receipt_bytes = scene.kept.stat().st_size
    if not figures.holds:
        print(done.stdout.decode(), done.stderr.decode(), file=sys.stderr)


def flipped(content: bytes, chance: random.Random) -> bytes:
    """The content with one bit the other way."""
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def is_noticed(scene: Scene, folder: Path) -> bool:
    """Whether a verification in a repository does not hold, or says why it cannot be made."""
    receipt = None if folder == scene.origin else scene.kept
    with contextlib.chdir(folder):
        try:
            repository = Repository.open(folder)
            workspace = open_workspace(folder)
            return not verify(workspace, repository, scene.change_id, receipt).holds
        except RefineryError:
            return True


def _says(content: bytes) -> bytes:
    """What a file says: of a stored object what git reads from it, else its bytes.

    The last byte of a compressed object has up to seven bits that nobody reads; an object with
    one of them flipped is the same object.
    """
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


@contextlib.contextmanager
def file_flipped(path: Path, chance: random.Random) -> Iterator[None]:
    """One bit of a file the other way, for a while."""
    whole, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o600)
    altered = flipped(whole, chance)
    while _says(altered) == _says(whole):
        altered = flipped(whole, chance)
    path.write_bytes(altered)
    try:
        yield
    finally:
        path.write_bytes(whole)
        path.chmod(mode)


@contextlib.contextmanager
def commit_flipped(scene: Scene, chance: random.Random) -> Iterator[None]:
    """The branch at a commit whose text has one bit the other way."""
    text = git_bytes(scene.clone, "cat-file", "commit", scene.commit)
    made = git(
        scene.clone,
        *("hash-object", "-t", "commit", "-w", "--literally", "--stdin"),
        stdin=flipped(text, chance),
    ).strip()
    head = scene.clone / ".git/refs/heads/main"
    packed, remote = scene.clone / ".git/packed-refs", scene.clone / ".git/refs/remotes"
    kept, listed = head.read_bytes(), packed.read_bytes() if packed.exists() else None
    aside = scene.kept.parent / "remotes"
    head.write_text(made + "\n")
    if listed is not None:
        packed.unlink()
    if remote.exists():
        remote.rename(aside)
    try:
        yield
    finally:
        head.write_bytes(kept)
        if listed is not None:
            packed.write_bytes(listed)
        if aside.exists():
            aside.rename(remote)


def git_bytes(folder: Path, *arguments: str) -> bytes:
    """What git prints, byte for byte."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True)
    return done.stdout


def object_files(scene: Scene) -> list[Path]:
    """Stored files of the commit, its parent's and its trees, and the changed files' blobs."""
    pack = scene.clone / ".git/objects/pack"
    for file in pack.glob("*.pack"):
        moved = file.rename(scene.kept.parent / file.name)
        file.with_suffix(".idx").unlink()
        for other in pack.glob(f"{file.stem}.*"):
            other.unlink()
        git(scene.clone, "unpack-objects", "-q", stdin=moved.read_bytes())
    parent = f"{scene.commit}^"
    names = [git(scene.clone, "rev-parse", what).strip() for what in (scene.commit, parent)]
    names += [git(scene.clone, "rev-parse", f"{what}^{{tree}}").strip() for what in names]
    changed = git(scene.clone, "diff-tree", "-r", "--no-renames", parent, scene.commit)
    for line in changed.splitlines():
        names += [name for name in line.split()[2:4] if name.strip("0")]
    return [scene.clone / ".git/objects" / name[:2] / name[2:] for name in dict.fromkeys(names)]


def flip_everywhere(scene: Scene, flips: int, chance: random.Random, figures: Figures) -> None:
    """Flip so many bits of each kind, one at a time, and see whether each is noticed."""
    objects = object_files(scene)
    ledger = scene.origin / ".refinery/ledger.jsonl"
    own = receipts.path_of(scene.origin / ".refinery", scene.change_id)
    kinds: dict[str, tuple[Path, Callable[[], contextlib.AbstractContextManager[None]]]] = {
        "receipt": (scene.clone, lambda: file_flipped(scene.kept, chance)),
        "kept receipt": (scene.origin, lambda: file_flipped(own, chance)),
        "commit": (scene.clone, lambda: commit_flipped(scene, chance)),
        "object file": (scene.clone, lambda: file_flipped(chance.choice(objects), chance)),
        "ledger": (scene.origin, lambda: file_flipped(ledger, chance)),
    }
    for kind, (folder, flip) in kinds.items():
        for number in range(flips):
            with flip():
                is_seen = is_noticed(scene, folder)
            figures.noticed[kind] += is_seen
            if not is_seen:
                figures.missed.append(f"{kind}, flip {number}")


def run(folder: Path, flips: int, seed: int = 1) -> Figures:
    """Fix, verify in a clone, flip."""
    figures, scene = Figures(), prepare(folder)
    verify_alone(scene, figures)
    state = {"REFINERY_HOME": str(folder / "state")}
    with environment(**state, OPENAI_BASE_URL=None, OPENAI_API_KEY=None):
        flip_everywhere(scene, flips, random.Random(seed), figures)
    return figures


def main(flips: int = 100, seed: int = 1) -> int:
    """Run and print the figures."""
    with tempfile.TemporaryDirectory(prefix="receipt-") as folder:
        figures = run(Path(folder), flips, seed)
    print(
        f"clean clone, no key, network {figures.network}: "
        f"{'holds' if figures.holds else 'DOES NOT HOLD'} in {figures.wall_s:.1f} s; "
        f"receipt of {figures.receipt_bytes:,} bytes"
    )
    for kind, count in figures.noticed.items():
        print(f"  one bit of the {kind}: noticed {count} of {flips}")
    for missed in figures.missed[:20]:
        print(f"  not noticed: {missed}")
    is_good = figures.holds and figures.wall_s < LIMIT_S and not figures.missed
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
