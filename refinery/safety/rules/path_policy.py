"""Blocks paths outside the repository and files that steer tools, tests, builds or Refinery."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety.untrusted import hidden_characters

_ANYWHERE = {
    "git's own file": (
        ".git", "git~[0-9]*", ".gitattributes", ".gitmodules", ".gitconfig",
        ".lfsconfig", ".mailmap", ".githooks",
    ),
    "continuous integration": (
        ".github", ".gitlab", ".gitlab-ci.y*ml", ".circleci", ".travis.y*ml", ".buildkite", ".ci",
        ".drone.y*ml", ".woodpecker*", "jenkinsfile*", "azure-pipelines*", ".azure-pipelines",
        "bitbucket-pipelines.y*ml", "appveyor.y*ml", ".appveyor.y*ml", "cloudbuild.y*ml",
        "buildspec.y*ml", ".teamcity", ".forgejo", ".gitea",
    ),
    "test configuration": (
        "conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "noxfile.py",
        ".coveragerc", ".pre-commit-config.y*ml", ".pre-commit-hooks.y*ml", ".husky",
        "jest.config.*", "vitest.config.*", "tox.toml", "pytest.toml", ".pytest.toml",
    ),
    "a lock file": (
        "*.lock", "*.lockb", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.y*ml",
        "pylock*.toml", "go.sum", "conda-lock.y*ml", "requirements*.lock",
        "*requirements.lock.txt",
    ),
    "secrets or the shell's environment": (
        ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".npmrc", ".yarnrc*", ".pypirc",
        ".ssh", ".aws", ".bashrc", ".profile", ".zshrc", ".bash_profile", "id_rsa*", "*.pem",
    ),
    "settings of an editor or a coding agent": (
        ".vscode", ".idea", ".claude", ".claude.json", "claude.md", "claude.local.md",
        ".cursor", ".cursorrules", ".cursorignore", ".aider*", ".continue", ".windsurf*",
        ".codex", ".gemini",
        "agents.md", "agents.override.md",
        "gemini.md", ".mcp.json", "mcp.json", ".roo*", ".clinerules", ".devcontainer*", ".zed",
        "*.code-workspace", ".editorconfig", ".copilot*",
    ),
    "code that Python or a build runs by itself": (
        "*.pth", "sitecustomize.py", "usercustomize.py", "setup.py", "_custom_build*",
        "build_backend*", "hatch_build.py", "*.egg-info",
        ".pythonstartup", "pythonstartup.py", "entry_points.txt", ".pdbrc", ".python-version",
        "*.dist-info", "pip.conf", "pip.ini",
    ),
    "Refinery's own settings and records": ("refinery.toml", ".refinery"),
}  # fmt: skip
"""Names no patch may touch, at any depth, with what they are; compared without case."""
_HELD = (
    "pyproject.toml", "makefile*", "gnumakefile", "*.mk", "justfile", ".justfile", "dockerfile*",
    "containerfile*", "*.sh", "*.bat", "*.ps1", "package.json", "tasks.py", "fabfile.py",
    "taskfile*", "rakefile", "procfile", "docker-compose*", "compose.y*ml", "cmakelists.txt",
    "meson.build", ".gitignore", ".dockerignore", "langgraph.json", "__main__.py",
)  # fmt: skip
"""Build files: changes may be right, but a person looks."""
_MAX_PATH = 1024


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each path that may not change, or only when approved."""
    counts = Counter(_plain(change.path) for change in given.changes)
    for change in given.changes:
        path = change.path
        if reason := _malformed(path) or _protected(path) or _on_disk(given.repository, path):
            yield Remark("path_policy", Outcome.BLOCK, reason, path)
        elif any(fnmatchcase(_plain(path.rpartition("/")[2]), name) for name in _HELD):
            yield Remark("path_policy", Outcome.HOLD, "the file steers builds or tests", path)
        if counts[_plain(path)] > 1:
            yield Remark("path_policy", Outcome.BLOCK, "two changes name the same file", path)


def _plain(name: str) -> str:
    """A name as the most forgiving file system reads it: no case, no marks that are ignored."""
    ignored = {offset for offset, _ in hidden_characters(name)}
    shown = "".join(c for offset, c in enumerate(name) if offset not in ignored)
    return unicodedata.normalize("NFKC", shown).casefold()


def _malformed(path: str) -> str:
    """Why a path is none inside the repository on every system; empty when it is one."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts:
        return "the path leaves the repository"
    if "" in parts or "." in parts or len(path) > _MAX_PATH:
        return "the path is not in its simplest form"
    if any(c in path for c in '\\:*?"<>|') or any(ord(c) < 32 or ord(c) == 127 for c in path):
        return "the path holds characters that mean something else on other systems"
    if any(part.rstrip(". ") != part or part.startswith(" ") for part in parts):
        return "a part of the path begins or ends in spaces or dots that other systems drop"
    if hidden_characters(path) or any(0xD800 <= ord(c) < 0xE000 for c in path):
        return "the path holds invisible characters"
    return ""


def _protected(path: str) -> str:
    for part in path.split("/"):
        name = _plain(part)
        for what, patterns in _ANYWHERE.items():
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return f"{part!r} is {what}"
    return ""


def _on_disk(repository: Path, path: str) -> str:
    """Why the path does not name a plain file of this repository as it lies on the disk."""
    place = repository
    parts = path.split("/")
    for position, part in enumerate(parts, 1):
        place = place / part
        if place.is_symlink():
            return f"{'/'.join(parts[:position])!r} is a symbolic link"
        if position < len(parts):
            if place.exists() and not place.is_dir():
                return f"{'/'.join(parts[:position])!r} is no folder"
            if (place / ".git").exists():
                return f"{'/'.join(parts[:position])!r} is a repository of its own"
    if place.exists() and not place.is_file():
        return "the path names no plain file"
    return ""


def _given(*paths: str) -> GuardInput:
    changes = tuple(FileChange(path, b"a\n", b"b\n") for path in paths)
    return GuardInput(changes, Path("/nowhere/repository"))


PASSES = [_given("a.py"), _given("src/prompts/system.md", "src/git.py"), _given("docs/env.md")]
REFUSED = [
    _given(path)
    for path in (
        "/etc/passwd", "../a.py", "a/../../b.py", "a//b.py", "./a.py", "", "a\\b.py", "C:/a.py",
        ".git/hooks/pre-commit", ".GIT/config", ".g\u200cit/config", "git~1/config",
        ".git./config", ".git /config", ".git::$INDEX_ALLOCATION/config", "\uff0egit/config",
        "sub/.git/config",
        ".gitattributes", ".gitmodules", ".githooks/pre-commit", "sub/Makefile", ".pdbrc",
        "lib/sitecustomize.py", ".github/workflows/ci.yml", "tests/conftest.py", "Conftest.PY",
        "uv.lock", ".env", ".env.local", "prod.env", ".vscode/settings.json",
        "CLAUDE.md", ".cursorrules",
        "lib/x.pth", "setup.py", "refinery.toml", ".refinery/ledger.jsonl", "pyproject.toml",
        "a\x00b.py", "a\nb.py", "tests/CONFTEST.py ",
    )
] + [_given("a.py", "A.py"), _given("a.py", "a.py")]  # fmt: skip
