"""Takes secrets out of JSON before it is stored, sent or shown. Standard library only.

The same value gets the same token within one call, so that a reader still sees that two places
held the same key; tokens of different calls say nothing of each other, and no token can be turned
back. Nothing but strings and dictionary keys changes, and what has no secret is returned as it is.
"""

import functools
import hmac
import os
import re
from dataclasses import dataclass

from refinery.model.trace import Json
from refinery.model.walk import MAX_DEPTH
from refinery.safety._forms import TOKENS
from refinery.safety.prefilter import Suspects, suspects

_HEAD = "[redacted "
_PRIVATE_KEY = (
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----END )[\s\S]){0,20000}(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
)
_KINDS: tuple[tuple[str, str], ...] = (
    ("private_key", _PRIVATE_KEY),
    ("url_password", r"(?<=://)[^\s/:@\"']{0,100}:[^\s/:@\"']{1,200}(?=@)"),
    ("bearer_token", r"(?i:(?<=\bbearer )|(?<=\bbasic ))[A-Za-z0-9._~+/-]{16,4000}={0,2}"),
    ("slack_hook", r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,100}"),
    ("azure_key", r"(?<=AccountKey=)[A-Za-z0-9+/]{40,100}={0,2}"),
    *TOKENS.items(),
    (
        "assigned_secret",
        r"(?i:(?<=password=)|(?<=passwd=)|(?<=api_key=)|(?<=apikey=)|(?<=secret=)"
        r"|(?<=access_token=)|(?<=refresh_token=)|(?<=client_secret=))[^\s&\"',;<>\[]{4,500}",
    ),
)
_EMAIL = ("email", r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}\b")
_KEY_WORDS = re.compile(
    r"(?:^|[._-])(?:password|passwd|passphrase|pwd|secret|secret_?key|client_?secret|api_?key"
    r"|x_?api_?key|apikey|access_?key(?:_id)?|private_?key|authorization|proxy_authorization"
    r"|auth_?token|access_?token|refresh_?token|id_?token|session_?token|bearer_?token|cookie"
    r"|set_cookie|credentials?|connection_?string)$"
)
"""Keys whose value is a secret whatever it looks like. `token` alone is not: it counts tokens."""


def _compiled(kinds: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in kinds))


_SECRETS = _compiled(_KINDS)
_SECRETS_AND_EMAILS = _compiled((*_KINDS, _EMAIL))
_KEY_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def redact(
    value: Json, *, emails: bool = False, keys: tuple[str, ...] = ()
) -> tuple[Json, dict[str, int]]:
    """The value with secrets replaced by tokens like `[redacted openai_key 1f0c9a2b]`.

    Replaced are keys and tokens of known forms anywhere in strings and dictionary keys, private
    keys, passwords in URLs, and every string or number under a key such as `password` or
    `authorization`. Below `model.walk.MAX_DEPTH` levels the rest is replaced as a whole.

    Args:
        value: any JSON value; other Python objects pass through untouched.
        emails: also replace e-mail addresses.
        keys: further names of keys whose values are secrets, in any spelling (`customer_no`,
            `customerNo`, `CUSTOMER-NO`); ASCII letters, digits, `_` and `-`.

    Returns:
        The value and how many replacements there were of each kind.
    """
    work = _Work(_SECRETS_AND_EMAILS if emails else _SECRETS, emails, keys)
    try:
        return work.clean(value, 0), work.counts
    except RecursionError:  # the caller's stack was nearly full already
        return work.token("too_deep", ""), work.counts


class _Work:
    """One call: its key, and what it has replaced."""

    def __init__(self, pattern: re.Pattern[str], emails: bool, keys: tuple[str, ...]) -> None:
        self.keys = frozenset(_snake(key) for key in keys)
        self.key = os.urandom(16)
        self.pattern = pattern
        self.looks = suspects(emails)
        """A quick look that spares most strings the full one."""
        self.emails = emails
        self.counts: dict[str, int] = {}

    def clean(self, value: Json, depth: int) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= MAX_DEPTH:
            return self.token("too_deep", "")
        if isinstance(value, dict):
            return {self.name(k): self.member(k, item, depth) for k, item in value.items()}
        return [self.clean(item, depth + 1) for item in value]

    def name(self, key: Json) -> Json:
        return self.text(key) if isinstance(key, str) else key

    def member(self, key: Json, item: Json, depth: int) -> Json:
        if isinstance(key, str) and len(key) <= 100 and self.is_secret(key):
            return self.hide(item, depth)
        return self.clean(item, depth + 1)

    def is_secret(self, key: str) -> bool:
        return _is_secret_key(key) or (bool(self.keys) and _snake(key) in self.keys)

    def hide(self, item: Json, depth: int) -> Json:
        """Replace what stands under a key that names a secret; null, true and false stay."""
        if item is None or isinstance(item, bool) or item in ("", 0):
            return item
        if isinstance(item, str) and item.startswith(_HEAD) and item.endswith("]"):
            return item
        if isinstance(item, str | int | float):
            return self.token("named_secret", f"{item:x}" if isinstance(item, int) else str(item))
        if depth >= MAX_DEPTH:
            return self.token("too_deep", "")
        if isinstance(item, dict):
            return {self.name(k): self.hide(v, depth + 1) for k, v in item.items()}
        if isinstance(item, list | tuple):
            return [self.hide(v, depth + 1) for v in item]
        return item

    def text(self, text: str) -> str:
        if len(text) < 8 or not self.looks(text.encode("utf-8", "surrogatepass")):
            return text
        return self.pattern.sub(self.replace, text)

    def replace(self, found: re.Match[str]) -> str:
        kind = found.lastgroup or "secret"
        if kind == "assigned_secret" and found[0].startswith(("${", "{", "$", "***", "os.")):
            return found[0]
        return self.token(kind, found[0])

    def token(self, kind: str, secret: str) -> str:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        code = hmac.digest(self.key, secret.encode("utf-8", "surrogatepass"), "sha256").hex()
        return f"{_HEAD}{kind} {code[:8]}]"


@functools.lru_cache(maxsize=4096)
def _is_secret_key(key: str) -> bool:
    return _KEY_WORDS.search(_snake(key)) is not None


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is taken out of recorded text; an object made once looks quickly at each document."""

    emails: bool = False
    keys: tuple[str, ...] = ()

    def suspects(self) -> Suspects:
        """The quick look at encoded JSON that spares most documents the thorough one."""
        return suspects(self.emails, tuple(_snake(key) for key in self.keys))

    def redact(self, value: Json) -> tuple[Json, dict[str, int]]:
        """As `redact` with these settings."""
        return redact(value, emails=self.emails, keys=self.keys)


def chosen_redaction() -> Redaction | None:
    """What `REFINERY_REDACT` and `REFINERY_REDACT_KEYS` say; None when it is switched off.

    `REFINERY_REDACT` is `secrets` (the default), `emails` (secrets and addresses) or `0`;
    `REFINERY_REDACT_KEYS` lists further key names, separated by commas.
    """
    said = os.environ.get("REFINERY_REDACT", "").strip().lower()
    if said in ("0", "false", "no", "off"):
        return None
    names = (name.strip() for name in os.environ.get("REFINERY_REDACT_KEYS", "").split(","))
    keys = tuple(sorted({name for name in names if _KEY_NAME.fullmatch(name)}))
    return Redaction(emails="email" in said, keys=keys)
