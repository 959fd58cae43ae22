"""The user's repository: read it, find the source behind a run, plan edits, commit, take back.

`Repository` reads commits and exports them; `locate` ties runs to lines; `plan` turns typed edits
into the exact bytes of a patch; `apply`, `revert` and `recover` change the repository so that a
kill at any moment leaves it as it was or the change whole. No program that the repository names
is run, unless the user asks for its hooks. Source files are parsed behind an `ast` gate and caps,
and by libcst only in a child process.
"""
