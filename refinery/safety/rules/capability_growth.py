"""Holds a patch after which code can do more than before, or checks less."""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change
from refinery.safety._capabilities import capabilities

_SHOWN = 8
"""Capabilities named one by one; more are counted."""

_SAFEGUARD = re.compile(
    r"check|verif|valid|auth|permi|requir|assert|guard|saniti|escape|limit|confirm|approv|moderat"
    r"|interrupt|redact|login|csrf|throttl",
    re.IGNORECASE,
)
"""Names of things whose disappearance is looked at by a person."""


_LIMITS = (
    "timeout", "request_timeout", "recursion_limit", "max_iterations", "max_execution_time",
    "rate_limiter", "middleware", "guardrails", "interrupt_before", "interrupt_after", "verify",
)  # fmt: skip
"""Arguments that bound a call; one that goes, or becomes None, is looked at by a person."""


def check(given: GuardInput) -> Iterable[Remark]:
    """Remarks on each file that gains a capability or loses a call that sounds like a safeguard.

    For Python see `_capabilities`; a file that is neither Python, prose nor data is code no rule
    can read, so any change of it is held.
    """
    for change in given.changes:
        if change.after is None:
            continue
        if _change.is_python(change.path):
            yield from _python(change)
        elif not _is_readable(change.path) or change.after.startswith(b"#!"):
            yield _remark("no rule reads this kind of file", change.path)


def _is_readable(path: str) -> bool:
    known = (*_change.PROSE, *_change.DATA, ".csv", ".tsv", ".html", ".xml")
    name = PurePosixPath(path).name.lower()
    return _change.suffix(path) in known or name in ("license", "readme", "changelog")


def _remark(message: str, path: str) -> Remark:
    return Remark("capability_growth", Outcome.HOLD, message, path)


def _python(change: FileChange) -> Iterable[Remark]:
    after = _change.parsed(change.after or b"")
    if after is None:
        yield _remark("the code cannot be read", change.path)
        return
    before = _change.parsed(change.before or b"") or ast.Module([], [])
    had = capabilities(before) + _rebound(before)
    has = capabilities(after) + _rebound(after)
    gained = sorted(has - had)
    for capability in gained[:_SHOWN]:
        yield _remark(f"gains: {capability[:300]}", change.path)
    if len(gained) > _SHOWN:
        yield _remark(f"gains {len(gained) - _SHOWN} more", change.path)
    lost = [one for one in sorted(had - has) if _SAFEGUARD.search(one.partition("(")[0])]
    for capability in lost[:_SHOWN]:
        yield _remark(f"loses what may be a safeguard: {capability[:300]}", change.path)
    for name in sorted(_limits(before) - _limits(after))[:_SHOWN]:
        yield _remark(f"loses a limit: {name}", change.path)
    if _constant_conditions(after) - _constant_conditions(before):
        yield _remark("a condition always has the same answer", change.path)


def _rebound(tree: ast.Module) -> Counter[str]:
    """Names the module binds anew though others rely on them: imported, built in, or defined."""
    found: Counter[str] = Counter()
    known = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            known |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = {node.name}
        else:
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
            names = {n.id for n in stored if not isinstance(n.ctx, ast.Load)}
        found.update(f"rebinds {name}" for name in names & known)
        known |= names if hasattr(node, "name") else set()
    return found


def _limits(tree: ast.Module) -> Counter[str]:
    """Arguments that bound a call, by name; None bounds nothing."""
    words = (node for node in ast.walk(tree) if isinstance(node, ast.keyword))
    return Counter(
        word.arg
        for word in words
        if word.arg in _LIMITS
        and not (isinstance(word.value, ast.Constant) and word.value.value is None)
    )


def _constant_conditions(tree: ast.Module) -> Counter[str]:
    """Tests of `if`, `while`, `assert` and conditional expressions that no value can change."""
    kinds = (ast.If, ast.While, ast.IfExp, ast.Assert)
    tests = (node.test for node in ast.walk(tree) if isinstance(node, kinds))
    parts = (p for t in tests for p in (t.values if isinstance(t, ast.BoolOp) else [t]))
    return Counter(ast.dump(part) for part in parts if isinstance(part, ast.Constant))


_BEFORE = """import os
from pathlib import Path
import httpx

PROMPT = "Answer politely."
LIMITS = {"k": 3}
client = httpx.Client()


def find(docs, question, k=3):
    hits = [d for d in docs if question in d.text]
    return hits[:k]


def clean():
    os.remove("cache.txt")
"""


def _with(old: str, new: str) -> GuardInput:
    assert old in _BEFORE
    after = _BEFORE.replace(old, new)
    return GuardInput((FileChange("a.py", _BEFORE.encode(), after.encode()),), Path("/"))


_LATEST = 'sorted(hits, key=lambda d: d.metadata.get("updated", ""), reverse=True)[:k]'

PASSES = [
    _with("hits[:k]", _LATEST),
    _with("hits[:k]", "[d for d in hits if d.text.strip().lower() != question][: max(k, 1)]"),
    _with('"Answer politely."', '"Answer politely. " "Say when you do not know."'),
    _with("k=3):", "k=10):"),
    _with("hits[:k]", 'hits[: LIMITS["k"]]'),
    _with("hits[:k]", 'hits[:k] if hits else [{"text": PROMPT, "n": len(question.split())}]'),
    _with("return hits[:k]", "s = {}\n    for d in hits:\n        s[d.id] = d\n    return [*s]"),
    GuardInput((FileChange("a.md", b"a\n", b"a b\n"),), Path("/")),
]
REFUSED = [
    _with("hits[:k]", change)
    for change in (
        "eval(question)", "hits[:k] or os.system(question)", "__import__('os').system('id')",
        "getattr(os, 'system')('id')", "open('/etc/passwd').read()", "Path('a').unlink()",
        "hits[0].__class__.__base__.__subclasses__()", "globals()['x']", "type('X', (), {})",
        "hits[0].path.write_text('')", "map(eval, hits)", "sorted(hits, key=os.remove)",
        "sorted(hits, key=hits[0].delete)", "(lambda f: f(question))(eval)", 
        "client.get(question)", "[[eval for eval in ()], map(eval, hits)]",
        "question.format(hits)", "hits[0](k)", "clean() or hits", "find(hits, question)",
        "[x.run() for x in hits]", "print(hits)", "hits[0].path.replace(question)",
        "[f for f in [os.system] if f(question)]", "(e := eval)(question)", "super().__init__()",
    )
] + [
    _with('"cache.txt"', '"/etc/passwd"'),
    _with('os.remove("cache.txt")', 'os.remove("cache.txt")\n    os.remove("cache.txt")'),
    _with("import httpx\n", "import httpx\nimport socket\n"),
    _with("import httpx\n", "import httpx\nfrom os import *\n"),
    _with("hits[:k]", "sorted(hits, key=question)"),
    _with("hits[:k]", "list(map(question, hits))"),
    _with("hits[:k]", "hits[:k] if True else []"),
    _with("return hits[:k]", "assert True\n    return hits[:k]"),
    _with("client = ", "import builtins\nbuiltins.open = print\nclient = "),
    _with("client = ", "httpx.Client = LIMITS\nclient = "),
    _with("client = ", "Path = LIMITS\nclient = "),
    _with("client = ", "open = LIMITS\nclient = "),
    _with("client = ", "def len(x):\n    return 1\n\n\nclient = "),
    _with("def clean():", "def find(docs, question):\n    return docs\n\n\ndef clean():"),
    _with("return hits[:k]", "with question:\n        return hits"),
    _with("return hits[:k]", "LIMITS['a'] = hits\n    return hits"),
    _with("return hits[:k]", "LIMITS['a'].append(hits)\n    return hits"),
    GuardInput((FileChange("a.py", b"check_login(x)\ny = 1\n", b"y = 1\n"),), Path("/")),
    _with("question, k", "question: os.system('id'), k"),
    _with("def find", "@client\ndef find"),
    _with("httpx.Client()", "httpx.Client(verify=False)"),
    GuardInput((FileChange("a.py", b"x = f(timeout=3)\n", b"x = f()\n"),), Path("/")),
    GuardInput((FileChange("a.py", b"x = f(timeout=3)\n", b"x = f(timeout=None)\n"),), Path("/")),
    _with("def clean():", "def clean():\n    global PROMPT\n    PROMPT = 'x'"),
    _with("def clean():", "def clean():\n    os.environ['A'] = 'b'"),
    _with("def clean():", "def clean():\n    client.headers = {}"),
    _with("def clean():", "class A:\n    def __del__(self): ...\n\n\ndef clean():"),
    GuardInput((FileChange("run.js", b"a\n", b"b\n"),), Path("/")),
    GuardInput((FileChange("notes.txt", b"a\n", b"#!/bin/sh\n"),), Path("/")),
    GuardInput((FileChange("new.py", None, b"import os\n"),), Path("/")),
    GuardInput((FileChange("a.py", b"x = 1\n", b"x = a" + b".a" * 500),), Path("/")),
]  # fmt: skip
