"""Where the spool is; apart from the sink because it is asked before anything is recorded."""

import os
from pathlib import Path

from refinery import home


def spool_folder(folder: Path | None = None) -> Path:
    """Where lines go: `<folder>/spool`, else `REFINERY_SPOOL`, else the project's `.refinery`."""
    if folder is not None:
        return folder / "spool"
    chosen = os.environ.get("REFINERY_SPOOL")
    return Path(chosen) if chosen else home.locate() / "spool"
