"""Actions: which tool calls change something, and which ones a text claims were done."""

from collections.abc import Iterator
from dataclasses import dataclass

from refinery.detectors._shared.patterns import find_all

_STEMS: dict[str, tuple[str, ...]] = {
    "cancel": ("cancel", "delete", "remove", "terminate", "unsubscribe"),
    "book": ("book", "reserv", "creat", "order", "schedul", "add", "purchas"),
    "reserv": ("reserv", "book", "hold", "creat"),
    "refund": ("refund", "return", "cancel", "credit", "certificate", "payment", "reimburs"),
    "return": ("return", "refund"),
    "exchang": ("exchang", "return", "modif", "update", "replace"),
    "send": (
        "send",
        "email",
        "mail",
        "message",
        "notify",
        "post",
        "issue",
        "share",
        "certificate",
    ),
    "sent": (
        "send",
        "email",
        "mail",
        "message",
        "notify",
        "post",
        "issue",
        "share",
        "certificate",
    ),
    "email": ("email", "mail", "send", "message"),
    "updat": ("updat", "modif", "chang", "edit", "set", "save", "write", "patch", "put", "add"),
    "chang": ("chang", "modif", "updat", "edit", "set", "exchang", "replace", "switch"),
    "modif": ("modif", "updat", "chang", "edit", "set", "exchang"),
    "upgrad": ("upgrad", "updat", "modif", "chang", "set"),
    "downgrad": ("downgrad", "updat", "modif", "chang", "set"),
    "delet": ("delet", "remov", "cancel", "clear", "drop"),
    "remov": ("remov", "delet", "updat", "cancel", "edit", "modif"),
    "creat": ("creat", "add", "open", "new", "insert", "write", "make", "book", "post"),
    "schedul": ("schedul", "book", "creat", "calendar", "add", "set"),
    "reschedul": ("schedul", "updat", "modif", "chang", "move", "calendar"),
    "transfer": ("transfer", "send", "move", "pay", "escalat", "handoff", "human"),
    "paid": ("pay", "charge", "transfer", "send"),
    "charg": ("charg", "pay", "bill", "book", "order", "updat", "modif"),
    "order": ("order", "purchas", "buy", "checkout", "book", "creat"),
    "purchas": ("purchas", "buy", "order", "checkout", "book"),
    "appli": ("appl", "add", "set", "updat", "modif", "redeem"),
    "escalat": ("escalat", "transfer", "ticket", "human", "creat"),
    "deploy": ("deploy", "release", "publish", "rollout", "apply"),
    "publish": ("publish", "post", "deploy", "release"),
    "restart": ("restart", "reboot", "reset"),
    "reset": ("reset", "set", "updat", "chang", "send"),
}
"""Stem of a claimed verb to the stems of tool names and arguments that may do it."""

_GENERAL = ("submit", "issu", "appli", "creat", "updat", "chang", "modif", "order")
"""Verbs that fit almost any change."""

_VERBS = (
    "cancel(?:l?ed)|booked|reserved|refunded|returned|exchanged|sent|emailed|updated|changed|"
    "modified|upgraded|downgraded|deleted|removed|created|scheduled|rescheduled|submitted|issued|"
    "transferred|paid|charged|ordered|purchased|applied|escalated|deployed|published|restarted|"
    "reset"
)
_BY_ME = (
    r"(?i)\b(?:I|we)(?:['\x{2019}]ve| have| just)"
    r"(?: (?:now|just|already|also|successfully|gone ahead and)){0,2} (" + _VERBS + r")\b"
)
_DONE = (
    r"(?i)\b(?:your|the|this|that) [^.!?\n]{1,80}? (?:has|have) been"
    r"(?: (?:now|also|already))?(?: successfully)? (" + _VERBS + r")\b"
)
_UNLESS = ("once ", "if ", "after ", "when ", "will be ", "would ", "until ", "unless ", "shall ")

_READS = (
    "get", "find", "search", "look", "list", "read", "fetch", "query", "check",
    "show", "describe", "count", "retrieve", "view", "browse", "open", "load", "parse",
)  # fmt: skip
_CHANGES = (
    "cancel", "book", "modify", "update", "delete", "remove", "create", "send", "refund",
    "return", "exchange", "issue", "transfer_money", "pay", "charge", "order", "purchase", "buy",
    "submit", "write", "insert", "post", "put", "schedule", "deploy", "publish", "reset", "set",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that says something was done."""

    verb: str
    text: str
    start: int
    is_own: bool
    """Whether the speaker says that they did it themselves."""


def claims(text: str) -> Iterator[Claim]:
    """Claims of the speaker to have done something, in order; wishes and conditions are none."""
    for pattern in (_BY_ME, _DONE):
        for hit in find_all(pattern, text[:20_000]):
            begin = max(text.rfind(mark, 0, hit.start) for mark in (".", "!", "?", "\n")) + 1
            lead = text[begin : hit.start].lower()
            if not any(word in f" {lead} {hit.text.lower()}" for word in _UNLESS):
                yield Claim(hit.groups[0].lower(), hit.text, hit.start, pattern is _BY_ME)


def may_do(verb: str, tool_name: str, spelled_arguments: str = "") -> bool:
    """Whether a call may be what a claimed verb speaks of."""
    if verb.startswith(_GENERAL) and is_change(tool_name):
        return True
    lowered = f"{tool_name} {spelled_arguments}".lower()
    stem = max((s for s in _STEMS if verb.startswith(s)), key=len, default=verb[:5])
    return any(option in lowered for option in _STEMS.get(stem, (stem,)))


def is_lookup(tool_name: str) -> bool:
    """Whether a tool's name says that it looks something up."""
    return _words(tool_name)[0] in _READS


def is_change(tool_name: str) -> bool:
    """Whether a tool's name says that it changes something."""
    return not is_lookup(tool_name) and any(word in _CHANGES for word in _words(tool_name))


def _words(tool_name: str) -> list[str]:
    """Words of a name in snake case, kebab case or camel case, lower case; at least one."""
    spaced = "".join(f" {c}" if c.isupper() else c for c in tool_name)
    return spaced.lower().replace("-", " ").replace("_", " ").replace(".", " ").split() or [""]
