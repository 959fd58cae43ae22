"""Runs code that is not trusted, and says how firmly it is held.

`strongest()` tries to escape from each tier before it names one; `run()` runs a command in it.
A tier that does not hold is not used, and without any the answer is `RefusedError`, unless the
caller allows `unsandboxed` for this one run.

`full`         own namespaces by bubblewrap (files, processes, network), seccomp, limits
`kernel`       Landlock (files, TCP port, signals), seccomp, limits, a sweep of orphans
`container`    declared by the user (`REFINERY_SANDBOX=container`) and only inside a container:
               seccomp, limits, another user, the sweep; files and network are the container's
`unsandboxed`  the given environment, the time limit and the sweep; no confinement

As root, the command runs as `nobody` in all tiers but the last.
"""

from refinery.safety.sandbox.confinement import (
    CONTAINER,
    FULL,
    KERNEL,
    UNSANDBOXED,
    Confinement,
    Finished,
)
from refinery.safety.sandbox.launch import run
from refinery.safety.sandbox.probe import strongest

__all__ = [
    "CONTAINER",
    "FULL",
    "KERNEL",
    "UNSANDBOXED",
    "Confinement",
    "Finished",
    "run",
    "strongest",
]
