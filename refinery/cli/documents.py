"""The shape of every JSON document the command line prints, and its JSON Schema.

The shapes stand in the `*_documents` modules beside this one. A command's words are the key of
`DOCUMENTS`. Keys that are not always there are `NotRequired`; new ones may come without a new
`output.SCHEMA_VERSION`.
"""

from typing import Any

from typing_extensions import TypedDict

from refinery.cli import (
    fix_documents,
    guide_documents,
    output,
    perf_documents,
    search_documents,
    setup_documents,
    trace_documents,
)
from refinery.errors import InputError


class Error(TypedDict):
    """Any command that failed."""

    error: trace_documents.Problem


DOCUMENTS: dict[str, type] = {
    **setup_documents.DOCUMENTS,
    **trace_documents.DOCUMENTS,
    **search_documents.DOCUMENTS,
    **fix_documents.DOCUMENTS,
    **guide_documents.DOCUMENTS,
    **perf_documents.DOCUMENTS,
    "error": Error,
}
"""The document of each command by its words, and that of every error."""


def schema(words: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command's document.

    Args:
        words: a key of `DOCUMENTS`, e.g. `checks add`.

    Raises:
        InputError: no command of that name prints a document.
    """
    from pydantic import TypeAdapter

    if words not in DOCUMENTS:
        raise InputError(
            f"no document of {words!r}", hint=f"one of: {', '.join(sorted(DOCUMENTS))}"
        )
    made = TypeAdapter(DOCUMENTS[words]).json_schema(mode="serialization")
    properties = {
        "schema_version": {"const": output.SCHEMA_VERSION},
        **made.get("properties", {}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"refinery-{words.replace(' ', '-')}-{output.SCHEMA_VERSION}",
        **made,
        "properties": properties,
        "required": ["schema_version", *made.get("required", [])],
    }
