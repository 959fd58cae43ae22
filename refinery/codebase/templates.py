"""Prompt templates of a work tree: literal text with holes, wherever programs keep it."""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from refinery.codebase.json_spans import values
from refinery.codebase.scan import DATA, PYTHON, TEXT, SourceTree, Span, walk_named
from refinery.codebase.yaml_events import scalars
from refinery.model.trace import Json

MIN_LITERAL = 16
"""Fewest characters of literal text a template has; less would fit anywhere."""
HOLE = None
"""Stands in a template where a value is filled in."""

_BRACE = re.compile(r"\{\{|\}\}|\{[^{}\n]{0,100}\}")
_JINJA = re.compile(r"\{\{.{0,200}?\}\}|\{%.{0,300}?%\}|\{#.{0,500}?#\}", re.DOTALL)
_PERCENT = re.compile(r"%(?:\(\w{1,60}\))?[sdrif]")
_DOLLAR = re.compile(r"\$\{?[A-Za-z_]\w{0,60}\}?")
_PIECE = re.compile(r"[^\"'\\{}\n]{12,}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Template:
    """One text of the work tree, split at its holes in every way it may be meant."""

    span: Span
    node: str
    """Name it is assigned to, key path, or `string`."""
    variants: tuple[tuple[str, ...], ...]
    """Literal segments in order, one tuple per way of filling in values."""


def find_templates(tree: SourceTree, rendered: str) -> Iterator[Template]:
    """Templates of the files that share some text with what was rendered.

    Args:
        tree: the work tree.
        rendered: everything that was rendered, white space collapsed.
    """
    for path in tree.paths((*PYTHON, *DATA, *TEXT)):
        text = tree.text(path)
        if text is None or _is_our_output(text) or not _shares(text, rendered):
            continue
        if path.endswith(PYTHON):
            yield from _in_python(tree, path)
        elif path.endswith(DATA):
            yield from _in_data(path, text)
        else:
            end = text.rstrip("\n").count("\n") + 1
            yield from _made(Span(path, 1, end), path.rpartition("/")[2], (HOLE, text))


def _is_our_output(text: str) -> bool:
    """Whether a file is a document of the command line, which repeats what was recorded."""
    return text.startswith("{") and '"schema_version"' in text[:40]


def collapse(text: str) -> str:
    """A text with every run of white space made one blank."""
    return " ".join(text.split())


def _shares(text: str, rendered: str) -> bool:
    """Whether some stretch of a file occurs in what was rendered; only then it is parsed."""
    if "\\u" in text:
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    for found in _PIECE.finditer(text.replace("\\n", "\n")):
        piece = collapse(found.group())
        # A key or a list's dash may stand before the text: `system: You are`, `- You are`.
        for part in (piece, piece.lstrip("-*> "), piece.partition(": ")[2]):
            if len(part) >= 8 and part in rendered:
                return True
    return False


def _made(span: Span, node: str, parts: Sequence[str | None]) -> Iterator[Template]:
    """A template of parts; None is a hole the program itself leaves."""
    variants = {tuple(part for part in parts if part)}
    for pattern in (_BRACE, _JINJA, _PERCENT, _DOLLAR):
        split = [piece for part in parts if part for piece in _split(part, pattern)]
        variants.add(tuple(split))
    kept = [variant for variant in variants if sum(map(len, variant)) >= MIN_LITERAL]
    if kept:
        yield Template(span, node or "string", tuple(kept))


def _split(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """Literal segments between the holes a pattern finds; doubled braces are literal ones."""
    segment, position = "", 0
    for found in pattern.finditer(text):
        segment += text[position : found.start()]
        position = found.end()
        if pattern is _BRACE and found.group() in ("{{", "}}"):
            segment += found.group()[0]
        else:
            yield segment
            segment = ""
    yield segment + text[position:]


def _in_python(tree: SourceTree, path: str) -> Iterator[Template]:
    syntax = tree.syntax(path)
    names: dict[int, str] = {}
    inside: set[int] = set()
    for qualname, node in walk_named(syntax) if syntax else ():
        for target in _targets(node):
            names[id(getattr(node, "value", None))] = f"{qualname}.{target}".lstrip(".")
        parts = None if id(node) in inside else _parts(node)
        if parts is None or not isinstance(node, ast.expr):
            continue
        inside.update(id(below) for below in ast.walk(node))
        span = Span(path, node.lineno, node.end_lineno or node.lineno)
        yield from _made(span, names.get(id(node), qualname), parts)


def _targets(node: ast.AST) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    yield from (target.id for target in targets if isinstance(target, ast.Name))
    yield from (target.attr for target in targets if isinstance(target, ast.Attribute))


def _parts(node: ast.AST) -> list[str | None] | None:
    """Literal parts and holes of a string expression; None when the node is no such thing."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return [
            str(value.value) if isinstance(value, ast.Constant) else HOLE for value in node.values
        ]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _added(node)
    if isinstance(node, ast.Call):
        return _joined(node)
    return None


def _added(node: ast.BinOp) -> list[str | None] | None:
    """Parts of `"…" + value + "…"`, read without recursion."""
    terms: list[ast.expr] = []
    waiting: list[ast.expr] = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, ast.BinOp) and isinstance(current.op, ast.Add):
            waiting += [current.right, current.left]
        else:
            terms.append(current)
    found: list[str | None] = []
    for term in terms:
        is_text = isinstance(term, ast.JoinedStr | ast.Constant)
        found += (_parts(term) if is_text else None) or [HOLE]
    return found if any(found) else None


def _joined(call: ast.Call) -> list[str | None] | None:
    """Parts of `separator.join(["…", value, "…"])`."""
    is_join = isinstance(call.func, ast.Attribute) and call.func.attr == "join"
    listed = call.args[0] if is_join and call.args else None
    if not isinstance(listed, ast.List | ast.Tuple):
        return None
    found: list[str | None] = []
    for item in listed.elts:
        is_text = isinstance(item, ast.Constant | ast.JoinedStr)
        found += [*((_parts(item) if is_text else None) or [HOLE]), HOLE]
    return found if any(found) else None


def _in_data(path: str, text: str) -> Iterator[Template]:
    read = _toml if path.endswith(".toml") else _json if path.endswith(".json") else _yaml
    for keys, value, place in read(text):
        node = ".".join(str(key) for key in keys)
        yield from _made(replace(place, path=path), node, (value,))


_Value = tuple[tuple[Json, ...], str, Span]


def _json(text: str) -> Iterator[_Value]:
    import json

    for found in values(text):
        token = text[found.start : found.end]
        if len(token) < MIN_LITERAL or not token.startswith('"'):
            continue
        try:
            value = json.loads(token, strict=False)
        except ValueError:
            continue
        yield found.path, value, _span(text, found.start, found.end)


def _span(text: str, start: int, end: int) -> Span:
    """Lines and columns of a character range."""
    first, last = text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 1
    column = start - text.rfind("\n", 0, start)
    return Span("", first, last, column, end - 1 - text.rfind("\n", 0, end))


def _toml(text: str) -> Iterator[_Value]:
    try:
        waiting: list[tuple[tuple[Json, ...], Json]] = [((), tomllib.loads(text))]
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, str) and len(value) >= MIN_LITERAL:
            line = _line_of(text, value)
            yield path, value, Span("", line, line + value.strip().count("\n"))


def _line_of(text: str, value: str) -> int:
    """Line where a value's first words stand; tomllib tells no positions."""
    first = next((line.strip() for line in value.splitlines() if line.strip()), "")
    for size in (80, 40, 16, 8):
        at = text.find(first[:size])
        if at >= 0:
            return text.count("\n", 0, at) + 1
    return 1


def _yaml(text: str) -> Iterator[_Value]:
    for path, value, first, last in scalars(text):
        if len(value) >= MIN_LITERAL:
            yield path, value, Span("", first, last)
