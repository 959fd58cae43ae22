"""Blocks keys, tokens and passwords: plain, split or encoded, in code and in prose."""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change
from refinery.safety._forms import TOKENS

_NAMED = (
    r"(?:^|[^/.\w])[\w-]{0,60}(?:passw(?:or)?d|passphrase|pwd|secret|api[_-]?key|access[_-]?key"
    r"|auth[_-]?token|access[_-]?token|private[_-]?key|credential)s?"
)
_CONTEXT = {
    "private key": r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY)",
    "password in a URL": r"://[^\s/:@\"']{1,100}:([^\s/:@\"'{}$<>]{3,200})@",
    "bearer token": r"(?i)\b(?:bearer|basic) ([A-Za-z0-9._~+/-]{20,1000}={0,2})",
    "assigned secret": rf"(?i){_NAMED}[\"']?\]?\s{{0,5}}(?::\s{{0,5}}str\s{{0,5}})?"
    r"(?:=|:=|:|=>)\s{0,5}[\"']([^\"'\s]{6,200})[\"']",
    "passed secret": rf"(?i){_NAMED}[\"']\s{{0,5}},\s{{0,5}}[\"']([^\"'\s]{{6,200}})[\"']",
    "secret in prose": r"(?i)(?:\b|_)(?:password|passphrase|passcode|api key|access token"
    r"|secret(?: key| token)?)(?:(?: is|:)\s{1,3}|=)[\"'`]?([^\s\"'`,;]{8,200})",
}
"""Secrets known by what stands around them; group 1 is the secret."""
_PLACEHOLDER = (
    r"(?i)^(?:[\[<{(].{0,200}|.{0,100}\.\.\.|\$.*|%.*|x{3,}.*|\*{3,}.*|\.{3,}.*|your.{0,100}|.{0,100}(?:example"
    r"|placeholder|changeme|change-me|redacted|dummy|not-?needed|unused|fake|replace).{0,100}"
    r"|none|null|true|false|test|testing|os\.environ.*|env[:.].*|self\..*|get_.*|required|string"
    r"|password|secret|token|api[_-]?key)$"
)
_ENCODED = r"[A-Za-z0-9+/_-]{24,1000}={0,2}"
_DETECTORS = (
    "AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector",
    "JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector",
    "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Detectors of detect-secrets that look for a form; those for entropy alone flag every hash."""
_MAX_LINE = 5000
_MIN_ENTROPY = 4.2
"""Bits a character; English prose is about 4.1, random base64 of 40 characters about 4.9."""


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each secret of a file that was not in it before; the value is never told."""
    for change in given.changes:
        if change.after is None:
            continue
        known = {secret for _, _, secret, _ in _secrets(change.path, change.before or b"")}
        said: set[str] = set()
        found = [*_secrets(change.path, change.after), *_second_opinion(change)]
        for kind, line, secret, outcome in found:
            if secret not in known and secret not in said:
                said.add(secret)
                shown = f"{secret[:4]}… ({len(secret)} characters)"
                yield Remark("secrets", outcome, f"{kind}: {shown}", change.path, line or None)


Found = tuple[str, int, str, Outcome]
"""Kind, line (0: unknown), secret, and how sure it is."""


def _secrets(path: str, content: bytes) -> Iterator[Found]:
    text = _change.text(content)
    tree = _change.parsed(content) if _change.is_python(path) else None
    if tree:
        yield from (one for one in _in_text(text, 1) if one[0] != "secret in prose")
        for line, value in dict.fromkeys(_change.strings(tree)):
            yield from _in_text(value, line)
        for number, line_text in enumerate(text.splitlines(), 1):
            if comment := line_text.partition("#")[2]:
                yield from _in_text(comment, number)
    else:
        yield from _in_text(text, 1)
        # a token split over lines, as prose wraps it
        for kind, _, secret, outcome in _in_text(re.sub(r"\\?\s*\n\s*", "", text), 0):
            if kind in TOKENS:
                yield kind, 0, secret, outcome


def _in_text(text: str, first_line: int) -> Iterator[Found]:
    for kind, secret, offset in _known_forms(text):
        yield kind, first_line and first_line + text.count("\n", 0, offset), secret, Outcome.BLOCK
    for found in _re2(_ENCODED).finditer(text):
        token = found[0]
        line = first_line and first_line + text.count("\n", 0, found.start())
        for inner in _decoded(token):
            for kind, _, _ in _known_forms(inner):
                yield f"encoded {kind}", line, token, Outcome.BLOCK
        if _looks_random(token):
            yield "random-looking value", line, token, Outcome.HOLD


def _known_forms(text: str) -> Iterator[tuple[str, str, int]]:
    for kind, pattern in TOKENS.items():
        for found in _re2(pattern).finditer(text):
            if not _is_placeholder(found[0]):
                yield kind, found[0], found.start()
    for kind, pattern in _CONTEXT.items():
        for found in _re2(pattern).finditer(text):
            secret = found[1]
            is_loose = kind in ("secret in prose", "passed secret")
            is_word = is_loose and not _has_digit_and_letter(secret)
            if not _is_placeholder(secret) and not is_word:
                yield kind, secret, found.start(1)


def _is_placeholder(secret: str) -> bool:
    return _re2(_PLACEHOLDER).search(secret) is not None or len(set(secret)) < 4


def _has_digit_and_letter(secret: str) -> bool:
    return any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)


def _decoded(token: str) -> Iterator[str]:
    """What a token says when it is read as base64 or hexadecimal, once."""
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", token):
        yield bytes.fromhex(token).decode("ascii", "replace")
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        yield base64.b64decode(body + "=" * (-len(body) % 4)).decode("ascii", "replace")
    except (binascii.Error, ValueError):
        return


def _looks_random(token: str) -> bool:
    """Whether a token is neither words, a path nor a hash, and too even to be either."""
    if not 24 <= len(token) <= 200 or token.startswith(("sha256-", "sha384-", "sha512-")):
        return False
    body = token.rstrip("=")
    kinds = (str.isupper, str.islower, str.isdigit)
    if not all(any(test(c) for c in body) for test in kinds) or body.count("/") > 2:
        return False
    words = [part for part in re.split(r"[-_/+]", body) if part]
    if len(words) > 3 and max(map(len, words)) < 16:
        return False
    counts = Counter(body).values()
    entropy = -sum(n / len(body) * math.log2(n / len(body)) for n in counts)
    return entropy >= min(_MIN_ENTROPY, math.log2(len(body)) - 0.6)


def _second_opinion(change: FileChange) -> Iterator[Found]:
    """What detect-secrets says of the added lines; its comments that allow a line do not count."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import get_settings, transient_settings

    seen: set[str] = set()
    with transient_settings({"plugins_used": [{"name": name} for name in _DETECTORS]}):
        get_settings().disable_filters(
            "detect_secrets.filters.allowlist.is_line_allowlisted",
            "detect_secrets.filters.heuristic.is_likely_id_string",
            "detect_secrets.filters.heuristic.is_lock_file",
        )
        for number, line in _change.changed_lines(change).added:
            if line in seen:
                continue
            seen.add(line)
            for found in scan_line(line[:_MAX_LINE]):
                secret = str(found.secret_value)
                is_fine = _is_placeholder(secret) or len(secret) < 6
                if found.type == "Secret Keyword":
                    is_fine = is_fine or " " in secret or not _has_digit_and_letter(secret)
                if not is_fine:
                    yield found.type, number, secret, Outcome.BLOCK


@cache
def _re2(pattern: str) -> Any:
    import re2

    return re2.compile(pattern)


def _given(after: str, before: str = "", path: str = "a.py") -> GuardInput:
    return GuardInput((FileChange(path, before.encode(), after.encode()),), Path("/"))


_KEY = "sk-" + "proj-" + "Zq8vN3xK7mP2wR5tY9aB4cD6"
_AWS = "AK" + "IA" + "Q3EGVN5TZX7YWKPM"
_BASE64 = base64.b64encode(_KEY.encode()).decode()

PASSES = [
    _given('NAMES = ("model", "model_api_key", "budget_usd")\n'),
    _given("password = found[1]\nx = f(password=value1)\n"),
    _given('COMMIT = "0699331aabbccddeeff00112233445566778899a"\n'),
    _given('password = os.environ["DB_PASSWORD"]\n'),
    _given('api_key = "your-api-key"\nTOKEN = "<token>"\n'),
    _given('password: str = ""\nmax_tokens = 4096\n'),
    _given("Ask for the password only when it is needed.\n", path="a.md"),
    _given("The secret is to rest the dough overnight.\n", path="a.md"),
    _given(f'K = "{_KEY}"\nx = 2\n', before=f'K = "{_KEY}"\n'),
    _given('DIGEST = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="\n'),
    _given("See docs/reference/Some-Long-Page-Name-2/Another-Part-3.html\n", path="a.md"),
]
REFUSED = [
    _given(f'K = "{_KEY}"\n'),
    _given('setenv("DB_PASSWORD", "hunter2hunter2")\n'),
    _given("x = 1  # the password is Tr0ub4dor&3x\n"),
    _given("DB_PASSWORD=Tr0ub4dor3x\n", path="a.txt"),
    _given(f"Use {_KEY} to log in.\n", path="a.md"),
    _given(f'K = "{_KEY[:9]}" + "{_KEY[9:]}"\n'),
    _given(f'A = "{_KEY[:9]}"\nB = "{_KEY[9:]}"\nK = A + B\n'),
    _given(f'A = "{_KEY[:9]}"\nK = f"{{A}}{_KEY[9:]}"\n'),
    _given(f'K = "".join(["{_KEY[:9]}", "{_KEY[9:]}"])\n'),
    _given(f'K = "{_KEY[::-1]}"[::-1]\n'),
    _given(f'K = b"{_KEY}"\n'),
    _given(f"{_KEY[:12]}\n{_KEY[12:]}\n", path="a.md"),
    _given(f'K = "{_BASE64}"\n'),
    _given(f'K = "{_KEY.encode().hex()}"\n'),
    _given(f'key = "{_AWS}"\n'),
    _given('password = "hunter2hunter2!"\n'),
    _given('password = "hunter2hunter2!"  # pragma: allowlist secret\n'),
    _given("The password is Tr0ub4dor&3x and works everywhere.\n", path="a.md"),
    _given('DB = "postgres://admin:' + "s3cr3tpw" + '@db/app"\n'),
    _given("-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n", path="a.txt"),
    _given('X = "Jq7Zr2Wn9Lx4Bv6Kp1Tc8Md3Fy5Hg0Ua"\n'),
]
