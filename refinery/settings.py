"""Settings and where each one came from: flag > environment > project > user > default.

A project's file (`refinery.toml`, or `[tool.refinery]` in `pyproject.toml`) may come from a
cloned repository, so it can describe the agent and tighten the guard, never choose a model, an
endpoint, a key or a store outside the repository (`USER_ONLY`).
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from refinery import home
from refinery.errors import InputError

USER_ONLY = (
    "model",
    "model_base_url",
    "model_api_key",
    "budget_usd",
    "store",
    "embedder",
    "search_embedder",
)
"""Settings a project's file may not set."""


class AgentSettings(BaseModel):
    """How the repository's agent is run (`[agent]`)."""

    model_config = ConfigDict(extra="forbid")

    entrypoint: str | None = Field(None, description="module:callable; one JSON argument in")
    python: str | None = Field(None, description="interpreter; default: the one running refinery")
    env: list[str] = Field(
        default_factory=list,
        description="variables the agent gets: NAME passes one through, NAME=value sets one",
    )
    test_command: str | None = Field(None, description="command that runs the project's tests")


class GuardSettings(BaseModel):
    """Rules that tighten the guard (`[guard]`)."""

    model_config = ConfigDict(extra="forbid")

    max_changed_lines: int = Field(60, ge=0, le=60, description="more lines need approval")
    core_files: list[str] = Field(default_factory=list, description="globs that need approval")
    protected_files: list[str] = Field(default_factory=list, description="globs never changed")


class ReplaySettings(BaseModel):
    """How agents are replayed (`[replay]`)."""

    model_config = ConfigDict(extra="forbid")

    live: list[str] = Field(
        default_factory=list, description="tools and retrievers that run instead of the tape"
    )
    timeout_s: float = Field(60, gt=0, description="wall seconds one replayed run may take")
    repeats: int = Field(1, ge=1, le=100, description="replays of each trace in each arm")
    max_controls: int = Field(8, ge=0, description="passing traces replayed as controls")


class DetectorSettings(BaseModel):
    """Which detectors speak, and from when on (`[detectors]`)."""

    model_config = ConfigDict(extra="forbid")

    off: list[str] = Field(default_factory=list, description="detectors that are not asked")
    limits: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="thresholds by detector and name, see docs/detectors"
    )


class PerformanceSettings(BaseModel):
    """What components may cost (`[performance]`)."""

    model_config = ConfigDict(extra="forbid")

    limits: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="limits by LAYER, LAYER/NAME or */NAME, see docs/performance.md",
    )


class RefinerySettings(BaseSettings):
    """All settings; an environment variable is `REFINERY_` and the name, `__` between levels."""

    model_config = SettingsConfigDict(
        env_prefix="REFINERY_", env_nested_delimiter="__", extra="ignore"
    )

    store: str | None = Field(None, description="URL or path of the trace store")
    model: str | None = Field(None, description="provider:model used for analysis; none: offline")
    model_base_url: str | None = Field(None, description="endpoint of that model")
    model_api_key: SecretStr | None = Field(None, description="key of that model")
    budget_usd: float | None = Field(None, gt=0, description="most one command may spend")
    embedder: str = Field("hash", description="plug-in that turns guide passages into vectors")
    search_embedder: str = Field(
        "hash", description="plug-in that turns recorded conversations into vectors"
    )
    agent: AgentSettings = Field(default_factory=AgentSettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)
    replay: ReplaySettings = Field(default_factory=ReplaySettings)
    detectors: DetectorSettings = Field(default_factory=DetectorSettings)
    performance: PerformanceSettings = Field(default_factory=PerformanceSettings)


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings, where each came from, and the folder the project's state lives in."""

    values: RefinerySettings
    origins: Mapping[str, str]
    """`flag`, `environment`, a file's path, or `default`, by dotted name."""
    home: Path
    """The `.refinery` folder; may not exist yet."""
    project_file: Path | None


def load(start: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Resolve the settings seen from a folder (default: the working directory).

    Raises:
        InputError: a file is not TOML, a name is unknown, or a value does not fit.
    """
    start = (start or Path.cwd()).resolve()
    layers: list[tuple[str, dict[str, Any]]] = []
    user_file = _user_file()
    if user_file.is_file():
        layers.append((str(user_file), _checked(_read_toml(user_file), user_file)))
    project_file, project = _project(start)
    if project_file:
        _refuse_user_only(project, project_file)
        layers.append((str(project_file), _checked(project, project_file)))
    layers.append(("environment", _from_environment()))
    layers.append(("flag", {k: v for k, v in (flags or {}).items() if v is not None}))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        _overlay(merged, layer, origins, origin)
    try:
        values = RefinerySettings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"setting {name!r} from {origins.get(name, 'the settings')}: {first['msg']}",
            hint="see `refinery config show --origin`",
        ) from error
    return Settings(values, origins, home.locate(start), project_file)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        flat |= flatten(item, f"{name}.") if isinstance(item, Mapping) else {name: item}
    return flat


def _user_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "refinery" / "config.toml"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="correct the file") from error


def _project(start: Path) -> tuple[Path | None, dict[str, Any]]:
    """The nearest project file and its settings, no further up than the repository's root."""
    root = home.project_root(start)
    for folder in (start, *start.parents) if root else (start,):
        own = folder / "refinery.toml"
        if own.is_file():
            return own, _read_toml(own)
        shared = folder / "pyproject.toml"
        if shared.is_file():
            table = _read_toml(shared).get("tool", {}).get("refinery")
            if isinstance(table, dict):
                return shared, table
        if folder == root:
            break
    return None, {}


def _refuse_user_only(layer: Mapping[str, Any], path: Path) -> None:
    for name in USER_ONLY:
        if name in layer:
            raise InputError(
                f"{path} sets {name!r}, which a project's file may not set",
                hint=f"set REFINERY_{name.upper()} or put it into {_user_file()}",
            )


def _checked(layer: dict[str, Any], path: Path) -> dict[str, Any]:
    known = set(RefinerySettings.model_fields)
    for name in layer:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(sorted(known))}"
            )
            raise InputError(f"{path}: unknown setting {name!r}", hint=hint)
    return layer


def _from_environment() -> dict[str, Any]:
    """What `REFINERY_*` variables set, as pydantic-settings reads them."""
    try:
        read = RefinerySettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "__".join(str(part) for part in first["loc"]).upper()
        raise InputError(
            f"REFINERY_{name}: {first['msg']}", hint="correct the variable"
        ) from error
    return read.model_dump(exclude_unset=True)


def _overlay(
    base: dict[str, Any], top: Mapping[str, Any], origins: dict[str, str], origin: str
) -> None:
    def join(below: dict[str, Any], above: Mapping[str, Any], prefix: str) -> None:
        for key, value in above.items():
            name = f"{prefix}{key}"
            if isinstance(value, Mapping):
                join(below.setdefault(key, {}), value, f"{name}.")
            else:
                below[key] = value
                origins[name] = origin

    join(base, top, "")
