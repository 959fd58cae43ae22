"""The JSON documents of the commands that set up, serve, count and measure."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from refinery.model.trace import Json

Strings = list[str]


class Guides(TypedDict):
    """`refinery knowledge list`."""

    guides: list[dict[str, Json]]


class Passages(TypedDict):
    """`refinery knowledge search`."""

    passages: list[dict[str, Json]]
    embedder: str
    arms: Strings
    notes: Strings


class Added(TypedDict):
    """`refinery knowledge add`: how many passages are new, and what citations call them."""

    added: int
    names: Strings


class Removed(TypedDict):
    """`refinery knowledge remove`."""

    name: str
    removed: int


class Rebuilt(TypedDict):
    """`refinery knowledge rebuild`."""

    passages: int
    embedder: str


class Costs(TypedDict):
    """`refinery cost`."""

    by_model: dict[str, Json]
    by_purpose: dict[str, Json]
    by_day: dict[str, Json]
    prices_of: str


class Stats(TypedDict):
    """`refinery stats`."""

    sessions: Json
    proven: Json
    committed: Json
    held: Json
    without_engineer: Json
    fix_s: Json
    failure_to_fix_s: Json
    trial_s: Json
    tokens_per_fix: Json
    cost_per_fix_usd: Json
    guard: Json
    cache_hits: Json
    operations: Json
    lessons: Json
    calibration: Json
    store: NotRequired[Json]
    search: NotRequired[Json]


class Proposed(TypedDict):
    """`refinery init`."""

    repository: str
    framework: str | None
    entrypoint: str | None
    candidates: list[Json]
    created: Strings
    text: str


class Examined(TypedDict):
    """One thing `refinery doctor` looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    fix: str | None


class Doctor(TypedDict):
    """`refinery doctor`."""

    healthy: bool
    checks: list[Examined]


class SettingLine(TypedDict):
    """One setting."""

    name: str
    value: Json
    origin: str


class Config(TypedDict):
    """`refinery config show`."""

    settings: list[SettingLine]
    home: str
    project_file: str | None


class Offered(TypedDict):
    """`refinery mcp --tools`."""

    tools: list[dict[str, Json]]


class Script(TypedDict):
    """`refinery completion`."""

    shell: str
    script: str


class Serving(TypedDict):
    """`refinery serve`, one line when it is ready."""

    url: str
    ui: str
    """Address of the pages, with the token that opens them."""
    host: str
    port: int
    store: str
    needs_key: bool
    environment: dict[str, dict[str, str]]


class Token(TypedDict):
    """A token of `refinery tokens list`; times are ISO 8601 in UTC."""

    id: str
    user: str
    project: str | None
    """Null: all of the user's."""
    note: str
    created: str | None
    expires: str | None
    """Null: it holds until it is revoked."""
    expired: bool


class NewToken(Token):
    """`refinery tokens add`; the token itself is printed here and kept nowhere."""

    token: str


class Tokens(TypedDict):
    """`refinery tokens list`."""

    tokens: list[Token]


class Revoked(TypedDict):
    """`refinery tokens revoke`."""

    revoked: str


class Injected(TypedDict):
    """`refinery bench injection`."""

    traces: int
    applied: list[str]
    commands_run: int
    requests_sent: int
    mends_committed: int
    model_requests_with_hostile_text: int
    proposals: Json
    by_goal: Json
    controls: Json
    safe: bool


DOCUMENTS: dict[str, type] = {
    "init": Proposed,
    "doctor": Doctor,
    "serve": Serving,
    "tokens add": NewToken,
    "tokens list": Tokens,
    "tokens revoke": Revoked,
    "config show": Config,
    "bench injection": Injected,
    "cost": Costs,
    "knowledge list": Guides,
    "knowledge search": Passages,
    "knowledge add": Added,
    "knowledge remove": Removed,
    "knowledge rebuild": Rebuilt,
    "stats": Stats,
    "mcp": Offered,
    "completion": Script,
}
"""The document of each command by its words."""
