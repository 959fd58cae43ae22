"""Holds JSON documents of the command line against their published schemas."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jsonschema

from refinery.cli.documents import DOCUMENTS, schema


def check(arguments: Sequence[str], document: Any) -> Any:
    """The document, once it is as the schema of its command says and has no other key.

    Args:
        arguments: what was typed after `refinery`.
        document: what was printed.
    """
    name = "error" if set(document) == {"schema_version", "error"} else command(arguments)
    expected = schema(name)
    jsonschema.validate(document, expected)
    unknown = set(document) - set(expected["properties"])
    assert not unknown, unknown
    return document


def command(arguments: Sequence[str]) -> str:
    """The words of the command among the arguments, e.g. `checks add`."""
    words = [word for word in arguments if not word.startswith("-")]
    groups = [" ".join(pair) for pair in pairwise(words)]
    return next(name for name in (*groups, *words) if name in DOCUMENTS)
