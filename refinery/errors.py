"""Errors a caller may catch, and the exit code each one ends the command line with.

RefineryError            1
├── InputError           2   a file, an option, a setting or a repository is not usable
│   ├── TraceFormatError 2   a trace could not be read
│   └── StoreError       2   a store is corrupt, locked, newer than this program, or missing
├── PluginError          2   no plug-in of that name, or its library is missing
├── PartialError         3   some items of a batch failed
├── CredentialsError     4   a key is missing or was refused
├── NotFoundError        5   nothing matched
├── BudgetError          6   money, tokens or time ran out
├── RefusedError         7   a safety rule, an approval or the sandbox said no
│   └── ConflictError    7   what a change wrote was written over since
├── ModelError           1   a model did not answer, or answered nonsense
├── EditError            1   an edit does not fit the source it was written for
└── ReplayError          1   the agent could not be replayed
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; a stable interface."""

    DONE = 0
    NEGATIVE = 1
    USAGE = 2
    PARTIAL = 3
    CREDENTIALS = 4
    NOTHING = 5
    BUDGET = 6
    REFUSED = 7
    BUG = 70
    INTERRUPTED = 130


class RefineryError(Exception):
    """Base of all errors a caller may want to catch; `hint` says what to do next."""

    exit_code: ExitCode = ExitCode.NEGATIVE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def code(self) -> str:
        """Stable name of the error for JSON output, e.g. `not_found`."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")


class InputError(RefineryError):
    """A file, an option, a setting or a repository is not usable as given."""

    exit_code = ExitCode.USAGE


class TraceFormatError(InputError):
    """A trace could not be read from a file or an answer."""


class StoreError(InputError):
    """A store is corrupt, locked for too long, newer than this program, or missing."""


class PluginError(RefineryError):
    """No plug-in of that name, or the library it needs is not installed."""

    exit_code = ExitCode.USAGE


class PartialError(RefineryError):
    """Some items of a batch failed, the others were done."""

    exit_code = ExitCode.PARTIAL


class CredentialsError(RefineryError):
    """A key is missing or was refused."""

    exit_code = ExitCode.CREDENTIALS


class NotFoundError(RefineryError):
    """Nothing matched."""

    exit_code = ExitCode.NOTHING


class BudgetError(RefineryError):
    """Money, tokens or time ran out."""

    exit_code = ExitCode.BUDGET


class RefusedError(RefineryError):
    """A safety rule, an approval or the sandbox said no."""

    exit_code = ExitCode.REFUSED


class ConflictError(RefusedError):
    """What a change wrote was written over since, so it cannot be taken back alone.

    `versions` holds the place before the change, as it wrote it, and as it is now; None when
    there is no text to show.
    """

    def __init__(
        self, message: str, *, hint: str = "", versions: tuple[str, str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.versions = versions


class ModelError(RefineryError):
    """A model did not answer, or answered something unusable."""


class EditError(RefineryError):
    """An edit does not fit the source it was written for."""


class ReplayError(RefineryError):
    """The agent could not be replayed."""
