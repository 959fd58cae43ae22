"""Which recorded runs a patch can change: those that went through what it changes.

What a patch changes is read from the syntax before and after it, so comments and layout count for
nothing. A changed function is looked for in the recordings by its name, by the name it is
registered under as a tool or node, and by its recorded code reference. Where no recording shows
such a run, its callers are looked for instead, and so on. A changed prompt is looked for in what
models were sent. What cannot be followed counts for every run.
"""

import ast
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from refinery import syntax
from refinery.codebase.scan import PYTHON, SourceTree, is_secondary
from refinery.model.patch import FileChange
from refinery.model.trace import Run, RunKind, Trace
from refinery.model.walk import strings

MIN_PIECE = 16
"""Shortest line of a changed text that is looked for in prompts; chosen by us."""
_MAX_TEXT = 200_000
_MAX_NAME = 60
_STEPS = 20
"""How far up callers are followed."""


@dataclass(frozen=True, slots=True)
class Touch:
    """What a patch changes, in words a recording knows."""

    names: frozenset[str] = frozenset()
    """Functions, classes, tools and nodes."""
    pieces: tuple[str, ...] = ()
    """Lines of prompts."""
    is_everything: bool = False
    """Whether it cannot be told apart."""

    def reaches(self, trace: Trace) -> bool:
        """Whether a recorded run went through what is changed."""
        if self.is_everything or self.names & names_of(trace):
            return True
        if not self.pieces:
            return False
        sent = prompts_of(trace)
        return any(piece in sent for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The passing runs to replay for a patch."""

    affected: tuple[str, ...]
    """Ids of those it can change."""
    control: tuple[str, ...]
    """Ids drawn at random from the others."""
    left_out: int
    """How many affected ones are not replayed because they are too many."""


def choose(touch: Touch, pool: Sequence[Trace], *, most: int, controls: int, seed: int) -> Chosen:
    """Choose passing runs for a patch.

    Args:
        touch: what it changes.
        pool: all passing runs.
        most: affected ones at most; a random choice when there are more.
        controls: how many of the others, at most.
        seed: of the random choice.
    """
    source = random.Random(seed)  # noqa: S311  # a choice, not a secret
    hit = [trace.trace_id for trace in pool if touch.reaches(trace)]
    rest = [trace.trace_id for trace in pool if trace.trace_id not in set(hit)]
    affected = hit if len(hit) <= most else sorted(source.sample(hit, most), key=hit.index)
    control = source.sample(rest, min(controls, len(rest)))
    return Chosen(tuple(affected), tuple(control), len(hit) - len(affected))


def names_of(trace: Trace) -> frozenset[str]:
    """Names of what ran: runs, nodes, and the last part of recorded code references."""
    return frozenset(name for run in trace.runs for name in _names_of_run(run) if name)


def _names_of_run(run: Run) -> Iterator[str]:
    yield run.name or ""
    yield str((run.metadata or {}).get("langgraph_node") or "")
    if run.code is not None and run.code.qualname:
        yield from run.code.qualname.replace("<locals>.", "").split(".")


def prompts_of(trace: Trace) -> str:
    """What models were sent, white space collapsed."""
    sent = (t for run in trace.runs if run.kind is RunKind.LLM for _, t in strings(run.inputs))
    return " ".join(" ".join(sent)[:_MAX_TEXT].split())


def touch(tree: SourceTree, changes: Iterable[FileChange], pool: Sequence[Trace]) -> Touch:
    """What changes touch, told by what the recordings of a pool show.

    Args:
        tree: the source before the change.
        changes: the change.
        pool: recordings; names none of them shows are followed to their callers.
    """
    found = _Found()
    for change in changes:
        if change.path.endswith(PYTHON) and change.before is not None:
            _of_python(change, found)
        elif change.before is not None:
            _of_text(tree, change, found)
    seen = frozenset().union(*map(names_of, pool)) if pool else frozenset()
    sent = [prompts_of(trace) for trace in pool] if found.pieces else []
    shown = tuple(p for p in dict.fromkeys(found.pieces) if any(p in text for text in sent))
    if found.is_everything or (shown and not found.names):
        return Touch(frozenset(), shown, found.is_everything)
    names, is_lost = _followed(tree, found, seen, has_prompts=bool(shown))
    return Touch(names, shown, is_lost)


@dataclass
class _Found:
    names: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    """Module-level names whose value changes; whoever reads them is changed."""
    pieces: list[str] = field(default_factory=list)
    is_everything: bool = False


def _of_python(change: FileChange, found: _Found) -> None:
    before, after = _parsed(change.before), _parsed(change.after or b"")
    if before is None or after is None:
        found.is_everything = True
        return
    old, new = dict(_definitions(before)), dict(_definitions(after))
    for name, node in old.items():
        if ast.dump(node) != (ast.dump(new[name]) if name in new else ""):
            found.names.update(part for part in name.split(".") if part)
            found.names.update(_aliases_at(node))
            found.pieces += [p for text in _texts(node) for p in _lines(text)]
    kept = {ast.dump(statement) for statement in after.body}
    for statement in before.body:
        if not _is_definition(statement) and ast.dump(statement) not in kept:
            _of_statement(statement, found)


def _of_statement(statement: ast.stmt, found: _Found) -> None:
    """A statement of a module that is changed or gone."""
    bound = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)
             and isinstance(node.ctx, ast.Store)}  # fmt: skip
    if isinstance(statement, ast.Import | ast.ImportFrom):
        bound = {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    texts = [text for text in _texts(statement) for text in _lines(text)]
    found.pieces += texts
    found.values |= bound
    is_words = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    found.is_everything |= not bound and not is_words


def _of_text(tree: SourceTree, change: FileChange, found: _Found) -> None:
    """A file that is no program: its lines are looked for in prompts, its name in programs."""
    text = (change.before or b"").decode("utf-8", "replace")
    kept = set((change.after or b"").decode("utf-8", "replace").splitlines())
    changed = [line for line in text.splitlines() if line not in kept]
    pieces = [piece for line in changed or text.splitlines() for piece in _lines(line)]
    found.pieces += pieces
    name = change.path.rpartition("/")[2]
    for path in tree.paths(PYTHON):
        if name not in (tree.text(path) or "") or is_secondary(path):
            continue
        for statement in (tree.syntax(path) or ast.Module([], [])).body:
            if any(name in held for held in _texts(statement)) and not _is_definition(statement):
                _of_statement(statement, found)
            elif any(name in held for held in _texts(statement)):
                found.names.add(str(getattr(statement, "name", "")))
    if not pieces and not found.names and not found.values:
        found.is_everything = True


def _followed(
    tree: SourceTree, found: _Found, seen: frozenset[str], *, has_prompts: bool
) -> tuple[frozenset[str], bool]:
    """Names the recordings show, and whether something could not be followed to one."""
    program = [
        node
        for path in tree.paths(PYTHON)
        if not is_secondary(path) and (syntax := tree.syntax(path))
        for node in (syntax, *(n for _, n in _definitions(syntax)))
    ]
    waiting = set(found.names) if not has_prompts else set()
    waiting |= {n for n in _readers(program, found.values)} if not has_prompts else set()
    shown, known = set(), set(waiting)
    is_lost = bool(found.values) and not waiting and not has_prompts
    for _ in range(_STEPS):
        if not waiting:
            break
        aliases = _registered(program, waiting)
        here = {name for name in waiting if ({name} | aliases.get(name, set())) & seen}
        shown |= {n for name in here for n in ({name} | aliases.get(name, set())) if n in seen}
        above = {name: _callers(program, name) for name in waiting - here}
        is_lost |= any(not names for names in above.values()) and not shown
        waiting = {name for names in above.values() for name in names} - known
        known |= waiting
    return frozenset(shown), is_lost and not shown


def _definitions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions and classes by qualified name; a class is its own statements without methods."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{above}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            own = [part for part in node.body if not isinstance(part, ast.FunctionDef)]
            bare = ast.ClassDef(node.name, node.bases, node.keywords, own, node.decorator_list)
            yield f"{above}{node.name}", bare
            yield from _definitions(node, f"{above}{node.name}.")


def _is_definition(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _aliases_at(node: ast.AST) -> Iterator[str]:
    """Names a definition gives itself: in a decorator, or as the field `name` of a class."""
    for decorator in getattr(node, "decorator_list", ()):
        if isinstance(decorator, ast.Call):
            yield from _short_texts(decorator)
    for part in getattr(node, "body", ()):
        targets = getattr(part, "targets", [getattr(part, "target", None)])
        if any(getattr(target, "id", "") == "name" for target in targets):
            yield from _short_texts(part)


def _registered(program: Sequence[ast.AST], names: set[str]) -> Mapping[str, set[str]]:
    """Names that calls give to functions they are handed, e.g. `add_node("find", search)`."""
    found: dict[str, set[str]] = {}
    for tree in program:
        for node in ast.walk(tree) if isinstance(tree, ast.Module) else ():
            if not isinstance(node, ast.Call):
                continue
            handed = [*node.args, *(keyword.value for keyword in node.keywords)]
            for name in {getattr(part, "id", "") for part in handed} & names:
                found.setdefault(name, set()).update(_short_texts(node))
    return found


def _callers(program: Sequence[ast.AST], name: str) -> set[str]:
    """Functions that call one by its name, and classes of methods that do."""
    return {
        str(getattr(node, "name", ""))
        for node in program
        if not isinstance(node, ast.Module) and getattr(node, "name", "") != name
        for inner in ast.walk(node)
        if isinstance(inner, ast.Call)
        and getattr(inner.func, "attr", getattr(inner.func, "id", "")) == name
    }


def _readers(program: Sequence[ast.AST], values: set[str]) -> set[str]:
    """Functions that read a module-level name."""
    return {
        str(getattr(node, "name", ""))
        for node in program
        if not isinstance(node, ast.Module)
        for inner in ast.walk(node)
        if (isinstance(inner, ast.Name) and inner.id in values)
        or (isinstance(inner, ast.Attribute) and inner.attr in values)
    }


def _short_texts(node: ast.AST) -> set[str]:
    return {t for t in _texts(node) if 0 < len(t) <= _MAX_NAME and " " not in t}


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _lines(text: str) -> Iterator[str]:
    """Lines of a text as they may stand in a prompt: without the holes of a template."""
    for line in text.splitlines():
        pieces = line.replace("}", "{").split("{")[::2]
        yield from (p for piece in pieces if len(p := " ".join(piece.split())) >= MIN_PIECE)


def _parsed(content: bytes | None) -> ast.Module | None:
    try:
        return syntax.parse_module(content or b"")
    except SyntaxError:
        return None
