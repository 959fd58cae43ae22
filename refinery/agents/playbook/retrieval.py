"""Recipes for what was retrieved: which documents, in which order."""

import ast
from collections.abc import Iterator

from refinery import syntax
from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.editing import set_literal
from refinery.codebase.causes import UPSTREAM, settings_behind
from refinery.model.failure import SourceLocation
from refinery.model.patch import Edit
from refinery.model.trace import Json, Run

RETRIEVING_METHODS = ("_get_relevant_documents", "_aget_relevant_documents", "invoke", "search")
"""Methods of a retriever class that return its documents, most specific first."""

LEAST_DOCUMENTS, MOST_DOCUMENTS = 4, 20
"""Documents a recipe asks for; chosen by us."""
MOST_CUTS = 2

Function = ast.FunctionDef | ast.AsyncFunctionDef


def newest_first(case: Case) -> Iterator[Draft]:
    """Return the retrieved documents sorted by their date, newest first."""
    found = _sorted_by_date(case)
    if found is not None:
        edit, name, key = found
        yield Draft(
            title=f"Return the newest documents first in {name}",
            rationale=(
                f"The retrieved documents carry a date ({key}) and an outdated one was used "
                "although a newer one on the same subject was found. Ordering them newest first "
                "puts the current document where the model reads first."
            ),
            strategy="retrieval",
            edits=(edit,),
            fitness=0.9,
            before="The older document comes first and is used.",
            after="The newest document comes first.",
            risks=("A question about the past may now see recent documents first.",),
            topic="retrieval freshness recency order dated documents",
        )


def newest_only(case: Case) -> Iterator[Draft]:
    """Return the newest of the retrieved documents and no older one."""
    found = _sorted_by_date(case, kept="[:1]")
    if found is not None:
        edit, name, key = found
        yield Draft(
            title=f"Return only the newest document in {name}",
            rationale=f"The retrieved documents carry a date ({key}) and an outdated one was "
            "used; what is not handed on cannot be used.",
            strategy="retrieval",
            edits=(edit,),
            fitness=0.45,
            before="Older and newer documents reach the model together.",
            after="Only the newest document reaches the model.",
            risks=("Documents on other subjects are left out as well.",),
            topic="retrieval freshness recency filter dated documents",
        )


def _sorted_by_date(case: Case, kept: str = "") -> tuple[Edit, str, str] | None:
    """An edit that sorts what a located function returns, the function's name, the date's key."""
    key = case.finding.facts.get("date_key")
    run = case.cause
    reader = _date_reader(run, key) if isinstance(key, str) and key and run else None
    if not isinstance(key, str) or reader is None:
        return None
    for place in case.places("function", "class"):
        source = case.read(place)
        found = _returning_function(source, place) if source else None
        if source is None or found is None:
            continue
        qualname, function, last = found
        rewritten = _with_sorted_return(source, (function, last), reader, kept)
        if rewritten is not None:
            arguments: dict[str, Json] = {"qualname": qualname, "source": rewritten}
            edit = Edit("replace_function", place.file, arguments)
            return edit, qualname.partition(".")[0], key
    return None


def _date_reader(run: Run, key: str) -> str | None:
    """Source of an expression that reads the date of a variable `document`."""
    outputs = run.outputs
    documents = (
        outputs.get("documents", outputs.get("output")) if isinstance(outputs, dict) else outputs
    )
    if not isinstance(documents, list) or not documents or not isinstance(documents[0], dict):
        return None
    first = documents[0]
    if isinstance(first.get("metadata"), dict) and "page_content" in first:
        return f'str(document.metadata.get({key!r}, ""))'.replace("'", '"')
    return f'str(document.get({key!r}, ""))'.replace("'", '"') if key in first else None


def _returning_function(
    source: str, place: SourceLocation
) -> tuple[str, Function, ast.Return] | None:
    """The retrieving function at a place: its qualified name, node and last valued return."""
    try:
        tree = syntax.parse_module(source)
    except SyntaxError:
        return None
    candidates = [
        (qualname, node)
        for qualname, node in _functions(tree, "")
        if _touches(node, place) or _inside(node, place)
    ]
    ranked = sorted(candidates, key=lambda item: _preference(item[1]))
    for qualname, node in ranked:
        returns = [n for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]
        if returns:
            return qualname, node, max(returns, key=lambda n: n.lineno)
    return None


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _touches(node: Function, place: SourceLocation) -> bool:
    """Whether the place lies in the function."""
    return node.lineno <= place.line_end and place.line_start <= (node.end_lineno or node.lineno)


def _inside(node: Function, place: SourceLocation) -> bool:
    """Whether the function lies in the place, e.g. a method of a located class."""
    return place.line_start <= node.lineno <= place.line_end


def _preference(node: Function) -> int:
    names = RETRIEVING_METHODS
    return names.index(node.name) if node.name in names else len(names)


def _with_sorted_return(
    source: str, returning: tuple[Function, ast.Return], reader: str, kept: str
) -> str | None:
    """Source of the function with its last return sorted; None when it is sorted already."""
    function, last = returning
    value = last.value
    segment = ast.get_source_segment(source, value) if value is not None else None
    if value is None or segment is None or segment.startswith("sorted("):
        return None
    lines = source.splitlines(keepends=True)
    first_line = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    body = "".join(lines[first_line - 1 : function.end_lineno])
    indent = " " * (last.col_offset + 4)
    parts = (segment, f"key=lambda document: {reader}", "reverse=True")
    lines_of_call = "".join(f"{indent}{part},\n" for part in parts)
    replacement = f"sorted(\n{lines_of_call}{indent[4:]}){kept}"
    head, found, tail = body.rpartition(segment)
    return f"{head}{replacement}{tail}".rstrip("\n") if found else None


def find_more(case: Case) -> Iterator[Draft]:
    """Hand more documents on, where the program cuts the list it found."""
    if case.finding.facts.get("lost") not in UPSTREAM:
        return
    facts, places = case.finding.facts, list(case.places())
    found = settings_behind(case.tree, case.finding.category, facts, places)
    for rank, one in enumerate(found[:MOST_CUTS]):
        source = case.tree.text(one.path)
        more = min(max(int(one.value) * 4, LEAST_DOCUMENTS), MOST_DOCUMENTS)
        edit = set_literal(source, one, more) if source and more > int(one.value) else None
        if edit is not None:
            yield Draft(
                title=f"Hand on {more} documents instead of {one.value}",
                rationale="What the answer needs is not among the documents the model was given; "
                f"the program keeps only {one.value}.",
                strategy="retrieval",
                edits=(edit,),
                fitness=0.85 - 0.1 * rank,
                before=f"{one.value} found documents reach the model.",
                after=f"Up to {more} reach it.",
                risks=("Prompts become longer and cost more.",),
                topic="retrieval number of documents top k recall",
            )


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "stale_document": (newest_first, newest_only),
    "expectation_missed": (find_more,),
}
