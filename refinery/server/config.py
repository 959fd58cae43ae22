"""How one collector is set up."""

from dataclasses import dataclass
from pathlib import Path

from refinery.server.limits import DEFAULT_LIMITS, Limits

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8127
"""Chosen by us: no service of IANA's list and none of the tools we speak with uses it."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What the collector serves, where, and to whom."""

    store: str
    """URL or path of the trace store."""
    host: str = DEFAULT_HOST
    """Address to listen on; anything but loopback needs an `api_key`."""
    port: int = DEFAULT_PORT
    """0: any free port."""
    api_key: str | None = None
    """What clients must send; None: none is asked for."""
    token: str | None = None
    """What opens pages and API; None: a random one."""
    opens_once: str | None = None
    """A value that opens the pages one time, for an address other users may see."""
    home: Path | None = None
    """Folder of jobs, sessions and receipts; None: the one seen from the working directory."""
    allowed_hosts: tuple[str, ...] = ()
    """Names the `Host` header may have besides those of this machine."""
    spool: Path | None = None
    """Folder recorders leave traces in, drained while serving; None: none is."""
    limits: Limits = DEFAULT_LIMITS
