"""Arguments several commands share, and what a shell offers for them."""

import re
from typing import Annotated

import typer

from refinery.errors import RefineryError

COMPLETION_VARIABLE = "_REFINERY_COMPLETE"
"""What a shell sets when it asks; Typer's name for a program called `refinery`."""
OFFERED = 20
"""Most traces or changes a shell is offered: about what fits a terminal."""


def complete_trace(incomplete: str) -> list[tuple[str, str]]:
    """Traces whose id begins so, each with its name, newest first; before them the two words."""
    from refinery.ports import TraceFilter
    from refinery.workflows.wiring import open_workspace

    words = [("latest", "the newest trace"), ("latest-failed", "the newest that failed")]
    offered = [word for word in words if word[0].startswith(incomplete)]
    try:
        store = open_workspace().store
        newest = {t.trace_id: t.name for t in store.list_traces(TraceFilter(limit=200))}
        begin_so = store.find_ids(incomplete, limit=OFFERED) if incomplete else ()
    except RefineryError:
        return offered
    found = dict.fromkeys(one for one in (*newest, *begin_so) if one.startswith(incomplete))
    return offered + [_harmless(one, newest.get(one)) for one in found if _is_plain(one)][:OFFERED]


def complete_change(incomplete: str) -> list[tuple[str, str]]:
    """Changes whose id begins so, newest first, each with its title."""
    from refinery.workflows import changes
    from refinery.workflows.wiring import state_folder

    try:
        found = changes.history(state_folder())
    except RefineryError:
        return []
    matching = [change for change in found if change.change_id.startswith(incomplete)]
    return [_harmless(one.change_id, one.title) for one in matching[:OFFERED]]


def _is_plain(word: str) -> bool:
    """Whether a shell takes the word as it is: ids of foreign traces may hold anything."""
    return re.fullmatch(r"[\w.-]+", word, re.ASCII) is not None


def _harmless(word: str, told: str | None) -> tuple[str, str]:
    """The word and what it is, without characters a shell would evaluate."""
    return word, re.sub(r"[^\w ,./-]", "?", told or "")[:60]


TraceArgument = Annotated[
    str,
    typer.Argument(
        help="Trace id, unique prefix, latest, latest-failed, a file or a URL.",
        autocompletion=complete_trace,
    ),
]
