"""Starts recording in a program that knows nothing of it (`refinery record -- COMMAND`).

Python imports `sitecustomize` at its start from the first folder of `sys.path` that has one. This
folder is put there through `PYTHONPATH`; the file the program would have got is run afterwards.
"""

import sys


def _record() -> None:
    """Turn recording on; whatever goes wrong is told in one line and forgotten."""
    try:
        if sys.version_info < (3, 11):  # noqa: UP036  # the command may run another Python
            raise RuntimeError("recording needs Python 3.11 or newer")
        from refinery.recorders.switch import record

        record()
    except Exception as error:  # noqa: BLE001  # the recorder never breaks the host
        sys.stderr.write(f"refinery: recording is off ({error})\n")


def _run_the_next_one() -> None:
    """Run the `sitecustomize` that this file hides, as Python would have done."""
    import importlib.util
    import os
    from importlib.machinery import PathFinder

    here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120  # pathlib is slow to start
    others = [entry for entry in sys.path if os.path.realpath(entry or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_record()
_run_the_next_one()
