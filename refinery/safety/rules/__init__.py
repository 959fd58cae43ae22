"""Guard rules: one file each, all run on every patch, the worst remark counts.

A rule is a module with `check(given: GuardInput) -> Iterable[Remark]` (see `ports.GuardRule`) and
its own proof: `PASSES` and `REFUSED`, lists of `GuardInput` on which it must be silent or speak.
It reads the final bytes in `given.changes` and never a file of the machine, except for the kind of
the paths it is given. It runs in a child process with limits; whatever it raises blocks the patch.
"""
