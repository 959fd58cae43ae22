"""Gets a repository ready: finds how its agent is run and writes `refinery.toml`."""

import ast
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refinery import home, syntax
from refinery.errors import InputError

FILE_NAME = "refinery.toml"
MOST_FILES = 2_000
MOST_BYTES = 1_000_000
"""Larger files are not read (the cap of the editor, DESIGN 8)."""

_VENDORED = ("__pycache__", "build", "dist", "env", "node_modules", "site-packages", "venv")
_SKIPPED = frozenset((*_VENDORED, "docs", "examples", "test", "tests"))
_FRAMEWORKS = ("langgraph", "langchain", "anthropic", "openai")
"""Most telling first: an agent built on langgraph imports the others as well."""
_VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
}
_GRAPH_MAKERS = frozenset({"create_agent", "create_react_agent", "compile"})
_ENTRY_NAMES = ("answer", "agent", "run", "chat", "respond", "main")
"""Function names that promise an entry point, most promising first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where the agent could be entered."""

    entrypoint: str
    """`module:name`"""
    file: str
    """Relative to the repository, forward slashes."""
    line: int
    reason: str
    score: float
    """0 to 1, chosen by us; only the order counts."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `refinery init` would write, and what it rests on."""

    root: Path
    framework: str
    """`langgraph`, `langchain`, `anthropic`, `openai` or `other`."""
    candidates: tuple[Candidate, ...]
    """Best first."""
    variables: tuple[str, ...]
    """Environment variables the agent seems to need."""
    test_command: str | None

    @property
    def best(self) -> str | None:
        """The most plausible entry point; None when nothing looks like one."""
        return self.candidates[0].entrypoint if self.candidates else None


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    module: str
    tree: ast.Module
    imports: frozenset[str]
    """Top-level names of what it imports."""


def propose(folder: Path) -> Proposal:
    """Look at a repository's Python files, without running any of them.

    Raises:
        InputError: the folder does not exist or is configured already.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="name the agent's repository")
    root = home.project_root(folder.resolve()) or folder.resolve()
    _refuse_configured(root)
    sources = list(_sources(root))
    imports = frozenset(name for source in sources for name in source.imports)
    found = sorted(
        (candidate for source in sources for candidate in _candidates(source, root)),
        key=lambda candidate: (-candidate.score, candidate.file, candidate.line),
    )
    framework = next((name for name in _FRAMEWORKS if name in imports), "other")
    variables = tuple(v for name, pair in _VARIABLES.items() if name in imports for v in pair)
    has_tests = (root / "tests").is_dir()
    tests = "python -m pytest -q tests" if has_tests else None
    return Proposal(root, framework, tuple(found), variables, tests)


def render(proposal: Proposal, entrypoint: str | None) -> str:
    """The text of `refinery.toml` for a proposal and the chosen entry point."""
    quoted = ", ".join(f'"{name}"' for name in proposal.variables)
    chosen = f'entrypoint = "{entrypoint}"' if entrypoint else '# entrypoint = "module:callable"'
    tests = proposal.test_command
    return f"""\
# How Refinery runs this repository's agent. All settings: `refinery config show --origin`.

[agent]
# What is called with one JSON argument and returns one JSON result; a LangChain Runnable or a
# compiled graph works too.
{chosen}

# Variables the agent gets; everything else in the environment stays outside its sandbox.
# "NAME" passes one through, "NAME=value" sets one.
env = [{quoted}]

# Interpreter that has the agent's libraries; default: the one that runs refinery.
# python = ".venv/bin/python"

# Command that runs the project's own tests.
{f'test_command = "{tests}"' if tests else '# test_command = "python -m pytest -q"'}

[replay]
# Tools and retrievers that run for real in a replay instead of being served from the recording.
# live = ["search_flights"]
"""


def write(proposal: Proposal, entrypoint: str | None) -> list[Path]:
    """Write `refinery.toml` and create the `.refinery` folder; returns what was created.

    Raises:
        InputError: the file is there already, or cannot be written.
    """
    _refuse_configured(proposal.root)
    target = proposal.root / FILE_NAME
    text = render(proposal, entrypoint)
    tomllib.loads(text)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
        folder = home.prepare(proposal.root / home.FOLDER)
    except OSError as error:
        raise InputError(f"cannot write into {proposal.root}: {error}") from error
    return [target, folder]


def _refuse_configured(root: Path) -> None:
    if (root / FILE_NAME).exists():
        raise InputError(
            f"{root / FILE_NAME} exists already",
            hint="edit it, or look at `refinery config show --origin`",
        )


def _sources(root: Path) -> Iterator[_Source]:
    """The parsed Python files of a repository, tests and vendored code left out."""
    for number, path in enumerate(_python_files(root)):
        if number >= MOST_FILES:
            return
        try:
            if path.stat().st_size > MOST_BYTES:
                continue
            tree = syntax.parse_module(path.read_bytes())
        except (OSError, SyntaxError):
            continue  # a file that cannot be read holds no entry point
        yield _Source(path, _module_name(path, root), tree, _imports(tree))


def _python_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not Path(folder, name, "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith(("test_", "conftest", "setup.")):
                yield Path(folder, name)


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    # `langchain_openai` speaks for both its framework and its vendor
    return frozenset(tops | {part for top in tops for part in top.split("_")})


def _candidates(source: _Source, root: Path) -> Iterator[Candidate]:
    graphs = dict(_graphs(source))
    where = source.path.relative_to(root).as_posix()
    for name, line in graphs.items():
        yield Candidate(f"{source.module}:{name}", where, line, "a graph or agent", 0.8)
    uses_model = any(name in source.imports for name in _FRAMEWORKS)
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name not in _ENTRY_NAMES or not _takes_one_argument(node.args):
            continue
        base = 0.9 if graphs else 0.6 if uses_model else 0.3
        score = round(base - 0.01 * _ENTRY_NAMES.index(node.name), 3)
        reason = f"a function {node.name}(…) of one argument"
        yield Candidate(f"{source.module}:{node.name}", where, node.lineno, reason, score)


def _graphs(source: _Source) -> Iterator[tuple[str, int]]:
    """Module-level names bound to a compiled graph or an agent, with their lines."""
    if not source.imports & {"langgraph", "langchain"}:
        return
    makers = _GRAPH_MAKERS | {
        node.name
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef) and _returns_graph(node)
    }
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and _called_name(node.value) in makers:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.lineno


def _returns_graph(function: ast.FunctionDef) -> bool:
    returns = (node for node in ast.walk(function) if isinstance(node, ast.Return))
    return any(_called_name(node.value) in _GRAPH_MAKERS for node in returns)


def _called_name(node: ast.expr | None) -> str | None:
    """Last part of the name a call calls; None when it is no call of a name."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute):
        is_regex = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
        return None if is_regex else node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def _takes_one_argument(arguments: ast.arguments) -> bool:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    keyword_only = sum(default is None for default in arguments.kw_defaults)
    return required <= 1 <= len(positional) and keyword_only == 0
