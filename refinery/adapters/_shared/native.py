"""Records of LMDB, DuckDB and Lance stores, read by a child process that may die of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from refinery.errors import PluginError, TraceFormatError
from refinery.model.trace import Json

TIMEOUT_S = 600.0
"""Longest time a store may take to be read."""
_LIBRARIES = {
    "lmdb": (("lmdb", "msgpack"), "analytics"),
    "duckdb": (("duckdb",), "analytics"),
    "lance": (("lancedb", "pyarrow"), "lance"),
}
"""What each kind needs, and the extra that installs it."""


def rows(kind: str, path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    """Records of a store as (table, record), in the store's order.

    Args:
        kind: `lmdb`, `duckdb` or `lance`.
        path: the file or folder; it is only read.

    Raises:
        PluginError: a library is missing.
        TraceFormatError: the store cannot be read.
    """
    modules, extra = _LIBRARIES[kind]
    if missing := [name for name in modules if find_spec(name) is None]:
        raise PluginError(
            f"reading {path} needs the library {missing[0]!r}, which is not installed",
            hint=f"pip install 'refinery[{extra}]'",
        )
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        code = _run(kind, path, (output.fileno(), complaints.fileno()))
        if code != 0:
            complaints.seek(0)
            said = complaints.read(2000).decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said else f"its reader ended with code {code}"
            raise TraceFormatError(
                f"{path} cannot be read as a {kind} store: {why[:300]}",
                hint="it may be damaged, or held by the program that writes it; copy it again",
            )
        output.seek(0)
        for line in output:
            found = json.loads(line)
            if isinstance(found["record"], dict):
                yield found["table"], found["record"]


def _run(kind: str, path: Path, streams: tuple[int, int]) -> int:
    package = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONPATH": package, "REFINERY_RECORD": "0"}
    try:
        return subprocess.run(
            [sys.executable, "-m", "refinery.adapters._shared.native_reader", kind, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise TraceFormatError(
            f"{path} was not read within {TIMEOUT_S:.0f} s", hint="split the store"
        ) from error
