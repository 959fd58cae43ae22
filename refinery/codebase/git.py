"""The one place that starts git: its path absolute, and nothing the repository names is run.

A cloned repository can name programs in its configuration (hooks, fsmonitor, pager, editor,
signer, filters, diff and merge drivers, transports). Machine steps therefore read no system and
no user configuration, switch those settings off, blank every driver the repository defines and
allow no transport. What of the user's configuration changes bytes or names the author is read as
text (`user_values`) and passed on from an allow-list.

Settings travel in `GIT_CONFIG_KEY_<n>` variables, never as `-c key=value`: a driver may be called
`a=b`, and `-c` would cut its name at the first `=`.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from refinery.errors import InputError

TIMEOUT_S = 120.0
"""Longest one git command may take; chosen by us."""

_SAFE = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.untrackedCache": "keep",
    "core.pager": "cat",
    "core.editor": "true",
    "core.askPass": "",
    "core.sshCommand": "false",
    "core.gitProxy": "",
    "core.alternateRefsCommand": "",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.fsync": "all",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gpg.program": "false",
    "credential.helper": "",
    "diff.external": "",
    "interactive.diffFilter": "",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "GIT_SSH_COMMAND": "false",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "true",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
}
_DRIVER = re.compile(
    rb"(filter|diff|merge)\..*\.(clean|smudge|process|required|textconv|command|driver)",
    re.IGNORECASE | re.DOTALL,
)
_CARRIED = ("core.autocrlf", "core.eol", "core.filemode", "core.symlinks", "core.ignorecase")
"""Settings that say how bytes reach the work tree; the user's values hold in machine steps."""
_IDENTITY = re.compile(
    r"GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL|DATE)|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)"
)


def program() -> str:
    """Absolute path of git, searched only in absolute folders of `PATH`.

    Raises:
        InputError: git is not installed.
    """
    folders = [part for part in os.get_exec_path() if Path(part).is_absolute()]
    found = shutil.which("git", path=os.pathsep.join(folders))
    if found is None:
        raise InputError("git is not installed", hint="install git 2.36 or newer")
    return found


class GitError(InputError):
    """A git command ended with an error."""

    def __init__(self, command: str, exit_code: int | None, stderr: str) -> None:
        why = stderr.strip()[:400] or f"exit code {exit_code}"
        super().__init__(
            f"git {command} failed: {why}", hint="is the repository damaged? git fsck"
        )
        self.stderr = stderr
        self.was_stopped = exit_code is None or exit_code < 0
        """Whether it was killed or timed out, so that nobody knows how far it came."""


class Git:
    """Runs git commands on one repository; holds no state but what it read of its settings."""

    def __init__(self, root: Path, git_dir: Path) -> None:
        self.root = root
        self.git_dir = git_dir
        self.program = program()
        self._held: tuple[int, ...] = ()

    @contextlib.contextmanager
    def holding(self, descriptor: int) -> Iterator[None]:
        """Let the commands started meanwhile inherit a descriptor, so that its lock is theirs.

        Hooks get none: what they leave in the background may live for ever.
        """
        before, self._held = self._held, (*self._held, descriptor)
        try:
            yield
        finally:
            self._held = before

    @cached_property
    def common_dir(self) -> Path:
        """Folder of what all linked work trees share: objects and branches."""
        pointer = self.git_dir / "commondir"
        if not pointer.is_file():
            return self.git_dir
        text = pointer.read_text(encoding="utf-8", errors="surrogateescape").strip()
        return (self.git_dir / text).resolve()

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        ok: Sequence[int] = (0,),
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run one command that executes nothing of the repository's; returns its stdout.

        Args:
            arguments: the command and its arguments.
            stdin: what it reads.
            ok: exit codes that are no error.
            extra: more environment variables, e.g. a private `GIT_INDEX_FILE`.

        Raises:
            GitError: another exit code, or no end within `TIMEOUT_S`.
        """
        return self._start(arguments, stdin, ok, {**self.environment, **(extra or {})})

    def run_as_user(
        self, *arguments: str, cwd: Path | None = None, extra: Mapping[str, str] | None = None
    ) -> bytes:
        """Run one command with the user's own settings; hooks and drivers may run.

        Only for hooks the user asked for. Even harmless commands run something: `check-attr`
        asks the file system monitor.

        Raises:
            GitError: the command failed.
        """
        env = {**self.user_environment, **(extra or {})}
        return self._start(arguments, b"", (0,), env, cwd)

    def text(
        self, *arguments: str, ok: Sequence[int] = (0,), extra: Mapping[str, str] | None = None
    ) -> str:
        """Like `run`, as text without the last newline; undecodable bytes become surrogates."""
        return os.fsdecode(self.run(*arguments, ok=ok, extra=extra)).removesuffix("\n")

    def _start(
        self,
        arguments: Sequence[str],
        stdin: bytes,
        ok: Sequence[int],
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> bytes:
        try:
            done = subprocess.run(
                [self.program, *arguments],
                cwd=cwd or self.root,
                env=dict(env),
                input=stdin,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
                # A kill of our process group then lets git end its few milliseconds of work: of
                # 100 kills aimed at the ref update 8 left a lock that stopped the user's next
                # commit, with a session of its own none (tests/codebase/test_kills.py).
                start_new_session=cwd is None,
                pass_fds=self._held if cwd is None else (),
            )
        except subprocess.TimeoutExpired as error:
            raise GitError(arguments[0], None, f"no end after {TIMEOUT_S:.0f} s") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            raise GitError(arguments[0], None, str(error)) from error
        if done.returncode not in ok:
            raise GitError(arguments[0], done.returncode, os.fsdecode(done.stderr or done.stdout))
        return done.stdout

    @cached_property
    def environment(self) -> dict[str, str]:
        """Environment of machine steps: nothing of the user's but what `_CARRIED` lists."""
        settings = dict(_SAFE)
        for name in _CARRIED:
            if values := self._config.get(name.lower().encode()):
                settings[name] = os.fsdecode(values[-1])
        settings["core.attributesFile"] = self._attributes_file()
        for name in self._drivers():
            settings[name] = "false" if name.lower().endswith(".required") else ""
        return {**self._base(), **_ENVIRONMENT, **_as_variables(settings)}

    @cached_property
    def user_environment(self) -> dict[str, str]:
        """The user's environment without `GIT_*` variables that would redirect git."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        identity = {k: v for k, v in os.environ.items() if _IDENTITY.fullmatch(k)}
        return {**kept, **identity, **self._place(), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}

    def user_values(self, name: str) -> list[str]:
        """Values of a setting as the user's git sees them, last one wins; empty when unset."""
        return [os.fsdecode(value) for value in self._config.get(name.lower().encode(), [])]

    def forget_settings(self) -> None:
        """Read the settings anew at the next command; call it before anything that writes."""
        self.__dict__.pop("environment", None)
        self.__dict__.pop("_config", None)

    def _base(self) -> dict[str, str]:
        path = os.pathsep.join(dict.fromkeys((str(Path(self.program).parent), "/usr/bin", "/bin")))
        return {"PATH": path, **self._place()}

    def _place(self) -> dict[str, str]:
        # Said outright, so that git looks for no repository and follows no core.worktree.
        return {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.root)}

    @cached_property
    def _config(self) -> dict[bytes, list[bytes]]:
        """Every setting git sees for the user here; reading them runs nothing."""
        listed = self._start(("config", "--list", "-z"), b"", (0,), self.user_environment)
        found: dict[bytes, list[bytes]] = {}
        for item in listed.split(b"\0"):
            name, _, value = item.partition(b"\n")
            if name:
                section, _, rest = name.partition(b".")
                middle, dot, last = rest.rpartition(b".")
                key = section.lower() + b"." + middle + dot + last.lower()
                found.setdefault(key, []).append(value)
        return found

    def _attributes_file(self) -> str:
        """The user's own attributes: text that says which paths git converts or filters."""
        if values := self.user_values("core.attributesFile"):
            return str(Path(values[-1]).expanduser())
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
        return str(Path(base, "git", "attributes"))

    def _drivers(self) -> list[str]:
        return [os.fsdecode(name) for name in self._config if _DRIVER.fullmatch(name)]


def _as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as the `GIT_CONFIG_*` variables of git 2.31 and newer."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (name, value) in enumerate(settings.items()):
        found[f"GIT_CONFIG_KEY_{index}"] = name
        found[f"GIT_CONFIG_VALUE_{index}"] = value
    return found
