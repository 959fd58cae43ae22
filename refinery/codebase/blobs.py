"""Reads objects through GitPython's lasting `cat-file` process, in our own environment."""

import git.cmd

from refinery.codebase.git import Git, GitError
from refinery.errors import InputError

_SHA1_DIGITS = 40


class _Command(git.cmd.Git):
    """GitPython's runner, with git named by its absolute path."""

    def __init__(self, runner: Git) -> None:
        super().__init__(str(runner.root))
        self.GIT_PYTHON_GIT_EXECUTABLE = runner.program
        self.update_environment(**runner.environment)


class BlobReader:
    """Reads blobs one after another; not safe for several threads at once."""

    def __init__(self, runner: Git) -> None:
        self._runner = runner
        self._command = _Command(runner)

    def read(self, name: str) -> bytes:
        """Bytes of the object of that full name.

        Raises:
            InputError: the repository lacks it (damaged, or a partial clone).
        """
        try:
            if len(name) != _SHA1_DIGITS:  # GitPython 3.2 takes no SHA-256 names
                return self._runner.run("cat-file", "blob", name)
            return self._command.get_object_data(name)[3]
        except (ValueError, GitError) as error:
            raise InputError(
                f"object {name} is missing from the repository",
                hint="git fsck; in a partial clone: git fetch --refetch --no-filter",
            ) from error
