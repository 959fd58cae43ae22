"""How recorders inside a program tell the recording gateway which calls they record themselves.

`refinery record` may do both: its gateway carries a shell script's calls and also those of the
Python programs the script starts, which record themselves. A call so marked gets no second run;
the gateway takes the mark away before it sends the request on.
"""

import os
from collections.abc import Mapping
from typing import Any

ORIGINS = "REFINERY_GATEWAY"
"""Variable with the gateway's origins, joined by commas; unset outside of one."""
HEADER = "x-refinery-recorded"
"""Header of a marked request: `trace id/run id`, or `ELSEWHERE`."""
ELSEWHERE = "-"
"""Stands for a run whose id is not known here, as of LangChain's models."""


def mark(options: Any, endpoint: str | None, value: str) -> None:
    """Mark a request of a vendor's SDK when it goes to the gateway, and leave any other alone.

    Args:
        options: the SDK's description of the request; its `headers` are added to.
        endpoint: the client's base URL.
        value: `trace id/run id` or `ELSEWHERE`.
    """
    origins = os.environ.get(ORIGINS)
    if not origins or not endpoint:
        return
    if any(f"{endpoint}/".startswith(f"{origin}/") for origin in origins.split(",")):
        given = getattr(options, "headers", None)
        options.headers = {**(given if isinstance(given, Mapping) else {}), HEADER: value}
