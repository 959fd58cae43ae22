"""Bombs for every parser that reads what others wrote: does any of them take a process along?

    python -m benchmarks.parser_bombs [BOMBS] [SEED]

(from the repository's root; 1,000 bombs and seed 1 unless said)

A bomb is a text of a hostile shape (deep nesting, huge lines, NULs, broken encodings, aliases of
aliases, tables of tables, patterns that backtrack) at a random size, in a file of a random kind.
Each goes through what reads such text in our own process: the importers of traces, the decoder of
runs, checks, expectations, redaction, the text for a judge. Each also goes, as the content of a
file, through the editor and the guard, which parse in processes of their own (see
`warm_children`).

A worker handles a few bombs and says so one by one; one that ends without saying so is a death,
and the bomb it was at is named. Slow is more than `SLOW_S` seconds for one bomb in one reader. The
control is a reader without its gate, libcst at 5,000 parentheses: it must kill a worker, and the
death must be counted with its name. Ends with 1 on a death, an unexpected error, or when the
control survives or is not counted.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import warm_children
from refinery.agents.expectation import read
from refinery.agents.judge import as_text
from refinery.codebase import editor
from refinery.codebase.repository import Repository
from refinery.errors import RefineryError
from refinery.model import codec
from refinery.model.messages import answer_text, parse
from refinery.model.patch import Edit, FileChange
from refinery.model.verdict import ReplayResult
from refinery.ports import GuardInput
from refinery.replay import checks
from refinery.safety import policy
from refinery.safety.redact import redact
from refinery.workflows.ingest import import_files
from refinery.workflows.wiring import open_workspace
from tests.kits.repositories import make_repository

SLOW_S = 5.0
_BATCH = 20
SHAPES: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "x = " + "(" * n + "1" + ")" * n,
    "brackets": lambda n: "[" * n + "]" * n,
    "braces": lambda n: '{"a":' * n + "1" + "}" * n,
    "open brackets": lambda n: "[" * n,
    "calls": lambda n: "x" + "()" * n,
    "attributes": lambda n: "x" + ".a" * n,
    "powers": lambda n: "x = " + "2**" * n + "2",
    "additions": lambda n: "x = " + "1+" * n + "1",
    "lambdas": lambda n: "x = " + "lambda: " * n + "1",
    "conditions": lambda n: "x = " + "1 if a else " * n + "1",
    "negations": lambda n: "x = " + "not " * n + "1",
    "minus signs": lambda n: "x = " + "-" * n + "1",
    "strings": lambda n: "x = " + "'a' " * n,
    "f-strings": lambda n: "x = f'" + "{a}" * n + "'",
    "decorators": lambda n: "@a\n" * n + "def f(): pass",
    "blocks": lambda n: "".join(" " * i + "if a:\n" for i in range(min(n, 400))) + " " * 400 + "x",
    "else if": lambda n: "if a: pass\n" + "elif b: pass\n" * n,
    "many lines": lambda n: "x = 1\n" * n,
    "one long line": lambda n: "x" * n * 20,
    "nul bytes": lambda n: "x = 1\x00" * n,
    "lone surrogates": lambda n: '"\\ud800' * n + '"',
    "backslashes": lambda n: "\\" * n,
    "quotes": lambda n: '"' * n,
    "big number": lambda n: "9" * n * 4,
    "big exponent": lambda n: f"[1e{n}, -1e{n}, NaN, Infinity]",
    "aliases": lambda n: (
        "a0: &a0 [x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, min(n, 40)))
    ),
    "self alias": lambda n: "a: &a [*a]\n" * min(n, 50),
    "merge keys": lambda n: (
        "a0: &a0 {x: 1}\n"
        + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, min(n, 2000)))
    ),
    "yaml tag": lambda n: "a: !!python/object/apply:os.system ['true']\n" * min(n, 100),
    "yaml flow": lambda n: "a: " + "{b: " * n + "1" + "}" * n,
    "yaml dashes": lambda n: "- " * n + "x",
    "toml tables": lambda n: "".join(f"[{'.'.join('a' * (i % 60 + 1))}{i}]\n" for i in range(n)),
    "toml dots": lambda n: ".".join("a" * n) + " = 1",
    "toml arrays": lambda n: "x = " + "[" * n + "]" * n,
    "backtracking": lambda n: "a" * n + "!" + " \t" * n + "@" + "a." * n,
    "secret alike": lambda n: "sk-" + "a" * n + "-----BEGIN PRIVATE KEY-----" * min(n, 2000),
    "templates": lambda n: "{{" * n + "}}" * n,
    "headings": lambda n: "#" * n + "\n" + ">" * n,
    "bidi": lambda n: "\u202e\u2066" * n,
    "combining": lambda n: "e" + "\u0301" * n,
    "repeated key": lambda n: "{" + ",".join(['"a": 1'] * n) + "}",
    "escapes": lambda n: '"' + "\\u0041" * n + '"',
    "run of runs": lambda n: json.dumps({"run_id": "a", "child_runs": [{}] * min(n, 5000)}),
}
SIZES = (10, 100, 199, 1_000, 5_000, 30_000)
KINDS = (".py", ".json", ".jsonl", ".yaml", ".toml", ".md", ".j2", ".txt", ".xml")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "broken")


def bomb(number: int, seed: int) -> tuple[str, str, bytes]:
    """One bomb: what it is, the name of its file, its bytes."""
    random_ = random.Random(f"{seed} {number}")
    shape = list(SHAPES)[number % len(SHAPES)]
    size, encoding = random_.choice(SIZES), random_.choice(ENCODINGS)
    kind = random_.choice(KINDS)
    text = SHAPES[shape](size)
    if random_.random() < 0.3:
        text = json.dumps({"run_id": "a", "trace_id": "a", "inputs": text, "outputs": {"o": text}})
    if encoding == "broken":
        content = text.encode("utf-8", "surrogatepass")[:-1] + b"\xff\xfe\xc3"
    else:
        content = text.encode(encoding, "replace")
    return f"{shape} x {size}, {encoding}{kind}", f"bomb{number}{kind}", content[: 4 << 20]


def readers(folder: Path) -> dict[str, Callable[[str, bytes], None]]:
    """What reads bombs, by name."""
    root = make_repository(folder / "repo", {"a.txt": "a\n"})
    workspace = open_workspace(root)

    def importing(name: str, content: bytes) -> None:
        path = folder / name
        path.write_bytes(content)
        import_files(workspace, [path])

    def decoding(name: str, content: bytes) -> None:
        del name
        value = json.loads(content)
        codec.decode_run(value)

    def reading(name: str, content: bytes) -> None:
        del name
        text = content.decode("utf-8", "replace")
        list(parse(text))
        result = ReplayResult("t", "ok", {"answer": text})
        for check in ("contains:x", "regex:(a+)+$", "language:de", "max_words:5", "equals:1"):
            checks.evaluate(checks.parse(check), result)
        checks.evaluate(
            checks.parse('json_schema:{"type": "object"}'), ReplayResult("t", "ok", text)
        )
        read(text)
        redact(text)
        answer_text(text)
        as_text(result)

    def editing(name: str, content: bytes) -> None:
        path = root / name
        path.write_bytes(content)
        for words in (["add", name], ["commit", "-q", "-m", name]):
            subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
        kind, arguments = "replace_text", {"old": "x", "new": "y"}
        if name.endswith(".py"):
            kind, arguments = "add_import", {"module": "json"}
        elif name.endswith((".json", ".yaml", ".toml")):
            kind, arguments = "set_key", {"path": ["k"], "value": 1}  # type: ignore[dict-item]
        editor.plan(Repository.open(root), [Edit(kind, name, arguments)])

    def guarding(name: str, content: bytes) -> None:
        from refinery.codebase.patches import build

        change = FileChange(name, None, content)
        policy.review(build((), (change,), "0" * 40), GuardInput((change,), root))

    return {
        "import": importing, "decode": decoding, "text": reading, "edit": editing,
        "guard": guarding,
    }  # fmt: skip


def work(first: int, last: int, seed: int) -> None:
    """Throw some bombs and print a line before and after each."""
    temporary = tempfile.TemporaryDirectory(prefix="refinery-bombs-")
    with temporary as folder, warm_children.used():
        every = readers(Path(folder))
        for number in range(first, last):
            _throw(every, *bomb(number, seed))


def work_without_a_gate(first: int, last: int, seed: int) -> None:
    """Throw what is known to kill at a reader that lacks its gate."""
    import libcst

    del first, last, seed
    source = SHAPES["parentheses"](5_000)
    every = {"ungated": lambda name, content: (libcst.parse_module(content), None)[1]}
    _throw(every, "the control", "a.py", source.encode())


def _throw(
    every: dict[str, Callable[[str, bytes], None]], what: str, name: str, content: bytes
) -> None:
    for reader, throw in every.items():
        print(json.dumps({"at": f"{reader}: {what}"}), flush=True)
        start = time.monotonic()
        said = _outcome(throw, name, content)
        took_s = time.monotonic() - start
        row = {"reader": reader, "said": said, "took_s": took_s, "what": what}
        print(json.dumps(row), flush=True)


def _outcome(throw: Callable[[str, bytes], None], name: str, content: bytes) -> str:
    try:
        throw(name, content)
    except RefineryError as error:
        return f"refused: {type(error).__name__}"
    except ValueError:
        return "refused: ValueError"  # what `json.loads` and `codec` are documented to raise
    except RecursionError:
        return "refused: RecursionError" if throw.__name__ == "decoding" else "unexpected"
    except Exception as error:  # noqa: BLE001  # what the benchmark looks for
        return f"unexpected {type(error).__name__}: {error}"[:200]
    return "read"


def rows(count: int, seed: int, word: str = "--work") -> Iterator[dict[str, object]]:
    """What came of each bomb in each reader; a death is a row of its own."""
    for first in range(0, count, _BATCH):
        at = first
        while at < min(first + _BATCH, count):
            lines, code = _worker(word, at, min(first + _BATCH, count), seed)
            done = [line for line in lines if "reader" in line]
            yield from done
            if code == 0:
                break
            last = next((line["at"] for line in reversed(lines) if "at" in line), "the start")
            yield {"reader": "-", "said": f"death ({code})", "took_s": 0.0, "what": last}
            at += len(done) // 5 + 1


def _worker(word: str, first: int, last: int, seed: int) -> tuple[list[dict[str, object]], int]:
    command = [sys.executable, "-m", "benchmarks.parser_bombs", word]
    done = subprocess.run(
        [*command, str(first), str(last), str(seed)], capture_output=True, text=True, check=False
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def control() -> bool:
    """Whether a reader without its gate dies, and the death is counted and named."""
    said = [(row["said"], row["what"]) for row in rows(1, 0, "--ungated")]
    return said == [("death (-11)", "ungated: the control")]


def main() -> int:
    """Throw all bombs and print the figures."""
    workers = {"--work": work, "--ungated": work_without_a_gate}
    if worker := workers.get(" ".join(sys.argv[1:2])):
        worker(*(int(word) for word in sys.argv[2:5]))
        return 0
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    seen = control()
    outcomes: Counter[str] = Counter()
    bad, slow, slowest = [], [], 0.0
    for row in rows(count, seed):
        said, took_s = str(row["said"]), float(str(row["took_s"]))
        outcomes[f"{row['reader']}: {said.split(':')[0]}"] += 1
        slowest = max(slowest, took_s)
        if said.startswith(("death", "unexpected")):
            bad.append(f"{said} at {row['reader']}: {row['what']}")
        if took_s > SLOW_S:
            slow.append(f"{took_s:.1f} s {row['reader']}: {row['what']}")
    print(f"{count} bombs of {len(SHAPES)} shapes, seed {seed}; control seen: {seen}")
    for name, number in sorted(outcomes.items()):
        print(f"  {name:30} {number:6}")
    deaths = sum(line.startswith("death") for line in bad)
    print(
        f"deaths {deaths}, unexpected {len(bad) - deaths}, slow {len(slow)}, {slowest:.1f} s most"
    )
    for line in [*bad[:20], *slow[:10]]:
        print(f"  {line}")
    return 1 if bad or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
