"""Patterns of text that widens what a prompt reaches, asks for or makes others run.

They are RE2 patterns, read on text in the normal form NFKC. A match counts when it did not stand
in the file before, so each may be broad: what it holds, a person reads.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_SUFFIXES = frozenset(
    re.split(
        r"\s+",
        "txt json jsonl yaml yml toml csv tsv html htm xml pdf png jpg jpeg gif svg css js ts tsx"
        " jsx ini cfg log doc docx xls xlsx ppt pptx ipynb sql rst j2 jinja prompt tmpl parquet"
        " gz tar",
    )
)
"""Last parts of file names that are no top-level domain."""
_BOTH = frozenset(("md", "py", "sh", "rs", "ml", "pl", "so", "zip"))
"""Last parts that are both: a file when one of that name lies in the repository."""
HOST = (
    r"(?i)\b(?:[a-z0-9][a-z0-9_-]*\.)+[a-z][a-z0-9-]*[a-z]\b"
    r"|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b|\b0x[0-9a-f]{6,8}\b|\blocalhost\b"
    r"|\b(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}\b|::1\b"
    r"|\w\s?(?:\[\.\]|\(\.\)|\[dot\]|\(dot\))\s?\w"
    r"|\b\w+ dot (?:com|net|org|io|ai|dev|app|example|test|info|biz|co)\b"
)
"""Names under any top-level domain, addresses, and the ways to write one past a filter."""
REACH = {
    "a URL": r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>)\]]+|\bwww\.[^\s\"'<>)\]]+"
    r"|\bdata:[a-z]+/[^\s]+|\b(?:mailto|tel|javascript|sms):\S+|\bhxxps?\b",
    "an e-mail address": r"(?i)\b[a-z0-9._%+-]+@[a-z0-9-]+\.[a-z0-9.-]+",
    "an image": r"(?i)!\[[^\]]*\][(\[][^)\]]*[)\]]|<(?:img|iframe|script|link|svg"
    r"|object|form)\b[^>]*>?",
    "a shell command": r"(?im)```\s*(?:bash|sh|shell|zsh|console|powershell|cmd|bat)\b"
    r"|^\s*\$ \S+|^#!|\b(?:curl|wget|sudo|chmod|chown|rm -[rf]|nc -|ssh|scp|powershell"
    r"|pip3? install|uv (?:add|pip|run)|poetry add|npm (?:i|install)|npx"
    r"|git (?:clone|push|config))\s+\S+",
    "a template expression": r"\{\{[^}]*\}\}|\{%[^%]*%\}|\$\{[^}]*\}",
    "a role mark": r"(?im)<\|[^|>]{1,40}\|>|\[/?INST\]|</?(?:system|assistant|user|human)>"
    r"|^\s*(?:system|assistant|human)\s*:",
    "a use of a tool": r"(?i)\b(?:use|call|invoke|run|execute|trigger)\s+(?:the\s+|a\s+|your\s+)?"
    r"[`\"']?[a-z0-9_]{2,60}[`\"']?\s+(?:tool|function|api|command|plugin)\b"
    r"|\b[a-z]+(?:_[a-z0-9]+)+\s*\(|`[a-z]+(?:_[a-z0-9]+)+`",
    "a permission": r"(?im)\bwithout (?:asking|confirm|approv|verif|check|review|permission)\w*"
    r"|(?:^|[.!?:;]\s|\b(?:to|must|should)\s)\s*(?:never|do not|don't)"
    r" (?:ask|verify|refuse|confirm|tell|reveal|log)\b"
    r"|\b(?:are|is|be) (?:now )?(?:allowed|permitted|authori[sz]ed|granted) to\b"
    r"|\b(?:full|admin|root|unrestricted|unlimited) (?:access|rights|privileges)\b"
    r"|\bbypass\w*|\b(?:auto[-_]?approv|pre-?approv)\w*|\b(?:approved|approval|authori[sz]ed)\b"
    r"|\bcovers_held\b",
    "an environment variable": r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\$[A-Z][A-Z0-9_]+\b"
    r"|%[A-Z_]{3,}%|(?i:\benviron(?:ment variables?)?\b|\benv vars?\b|\bgetenv\b)",
    "a credential": r"(?i)\bpass(?:words?|phrases?|codes?|wds?|wort|wörter)\b|\bsecrets?\b"
    r"|\b(?:api|access|private|secret|ssh|signing|encryption|licen[cs]e|master)[ _-]?keys?\b"
    r"|\bapikeys?\b"
    r"|\b(?:access|auth\w*|bearer|refresh|session|security|api|id|login|csrf)[ _-]?"
    r"(?:tokens?|codes?|cookies?)\b|\bcredentials?\b|\bone[- ]time (?:codes?|pass\w*)\b|\botps?\b"
    r"|\b[mt]fa\b|\b2fa\b|\bpin (?:codes?|numbers?)\b|\bcv[vc]2?\b|\bcard numbers?\b|\biban\b"
    r"|\bssn\b"
    r"|\bsocial security\b|\bseed phrases?\b|\blog[- ]?ins?\b|\bsign[- ]?in\b|\bsystem prompt\b"
    r"|\b(?:send|say|tell|give|show|print|reveal|share|confirm|enter|provide|repeat|output|ask for"
    r"|state|write|read|include|add)\b[^.\n]{0,60}\b(?:keys?|tokens?|pins?|cookies?)\b"
    r"|\bmots? de passe\b|\bkennw[oö]rt\w*\b|\bzugangsdaten\b|\bcontraseñas?\b|\bsenhas?\b"
    r"|парол|密码|密碼|パスワード|비밀번호|كلمة المرور",
    "a path outside the repository": r"(?im)(?:^|[\s\"'(`=:])(?:~[a-z]*/|\.\./|[a-z]:\\|\\\\\w"
    r"|/(?:etc|root|home|proc|sys|dev|tmp|var|usr|opt|mnt|run|boot|users|library)\b)"
    r"|\bid_(?:rsa|dsa|ecdsa|ed25519)\b|(?:^|[\s/\"'])\.(?:env|netrc|npmrc|pypirc|ssh|aws|git)\b"
    r"|\bauthorized_keys\b|\bcrontab\b",
    "a line of code": r"(?im)(?:^|[;:\"'`]\s*|>>> ?)(?:import\s+[a-z_][\w.]*\s*(?:$|[;,\"'`]|as\b)"
    r"|from\s+[a-z_.][\w.]*\s+import\b|assert\s+[\w.]+\s*(?:$|[;,=<>\"'`])|(?:async\s+)?def\s+\w+\s*\("
    r"|class\s+\w+\s*[(:]|@[\w.]+\s*(?:\(|$)|del\s+\w+[.\[]|global\s+\w+|raise\s+\w+\()"
    r"|\blambda\b[^:\n]{0,60}:|\b(?:eval|exec|open|print|input|compile|getattr|setattr|system|popen"
    r"|require|fetch|function|__\w+__)\s*\(|\b[\w\])]+\.\w+\s*\([^)\n]|\b\w+\(\)|\b__\w+__\b"
    r"|\b\w+\.\w+\s*=[^=\n]|!!?python/|!![a-z]+/|<\?php|\bfunction\s*\(|=>\s*\{"
    r"|\bSELECT\s.{1,80}\sFROM\s"
    r"|\b(?:DROP|DELETE FROM|INSERT INTO|TRUNCATE|ALTER)\s+\w+",
    "a setting": r"(?im)(?:^|[\s*;,\"'])[a-z_][\w.-]{1,60}=[^\s=]"
    r"|^\s*\[(?:core|filter|diff|merge|alias|credential|remote|url|include|includeif|hook|user|http)"
    r"\b[^\]\n]*\]|\bfsmonitor\b|\bhookspath\b",
}  # fmt: skip
"""What widens where a prompt's answer may go, what it may do or what others run from it."""
_ADDRESSES = ("a URL", "an e-mail address")
RESTRAINT = (
    r"(?i)\b(?:never|not|don't|cannot|can't|mustn't|only|except|unless|without|must|always|refuse"
    r"|confirm\w*|verif\w*|ask|check|policy|forbidden|prohibited|limit\w*|at most|private"
    r"|redact\w*|human|escalat\w*|safe\w*|nie|nicht|nur|jamais|nunca|solo)\b"
)
"""Words by which a text restrains its reader; one fewer is looked at by a person."""


def matches(what: str, text: str, repository: Path) -> set[str]:
    """Places of a text where a pattern of `REACH`, or a host, stands.

    Args:
        what: a key of `REACH`, or `a host`.
        text: in any normal form.
        repository: where names such as `notes.md` are looked up before they count as hosts.
    """
    plain = unicodedata.normalize("NFKC", text)
    if what == "a host":
        found = set(_found(HOST, _spelled(plain)))
        return {host for host in found if not _is_file(host, repository)}
    return set(_found(REACH[what], _spelled(plain) if what in _ADDRESSES else plain))


def count(pattern: str, text: str) -> int:
    """How often a pattern stands in a text."""
    return sum(1 for _ in _found(pattern, text))


def _spelled(text: str) -> str:
    """The text with letters beyond ASCII as `u` and their number: RE2 is slow on wide classes."""
    if text.isascii():
        return text
    text = text.replace("\u3002", ".")
    return "".join(f"u{ord(c):x}" if ord(c) > 127 and c.isalnum() else c for c in text)


@cache
def compiled(pattern: str) -> Any:
    """The pattern, compiled by RE2."""
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _found(pattern: str, text: str) -> Iterator[str]:
    return (found[0] for found in compiled(pattern).finditer(text))


def _is_file(name: str, repository: Path) -> bool:
    last = name.rpartition(".")[2].lower()
    if last in _SUFFIXES:
        return "-" not in last and name.count(".") == 1
    return last in _BOTH and _lies_in(name, repository)


def _lies_in(name: str, repository: Path) -> bool:
    """Whether a file of that name lies in the repository, at most two folders deep."""
    places = (repository, *(p for p in _folders(repository)))
    return any((place / name).is_file() for place in places)


@cache
def _folders(repository: Path) -> tuple[Path, ...]:
    """Folders of the repository's first two levels, at most 200."""
    found: list[Path] = []
    try:
        for first in sorted(p for p in repository.iterdir() if p.is_dir())[:50]:
            found += [first, *sorted(p for p in first.iterdir() if p.is_dir())[:20]]
    except OSError:
        return ()
    return tuple(found[:200])
