"""Decides which service a reference means, so that keys go only where they belong."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from refinery.adapters._shared.http import origin
from refinery.errors import InputError


def is_url(text: str) -> bool:
    """Whether a reference is an address rather than an id."""
    return text.startswith(("http://", "https://"))


def is_of(reference: str, hosts: Sequence[str]) -> bool:
    """Whether a reference is an address at one of these hosts, or at a host below one."""
    if not is_url(reference):
        return False
    try:
        host = urlsplit(reference).hostname or ""
    except ValueError:
        return False
    return any(host == known or host.endswith(f".{known}") for known in hosts)


def is_at(reference: str, addresses: Sequence[str | None]) -> bool:
    """Whether a reference is an address with the origin of one of these."""
    if not is_url(reference):
        return False
    try:
        return origin(reference) in [origin(address) for address in addresses if address]
    except InputError:
        return False


def choose(reference: str | None, configured: str | None, usual: str, hosts: Sequence[str]) -> str:
    """The address to ask: the configured one, else that of a reference at a known host.

    Args:
        reference: what the user wants to see, an id or an address.
        configured: the address set by option or variable.
        usual: the address when nothing says otherwise.
        hosts: the vendor's own hosts, to which the keys in the variables belong.

    Raises:
        InputError: the reference is at another address than the keys are for.
    """
    if reference is None or not is_url(reference):
        return configured or usual
    if configured is None and is_of(reference, hosts):
        return origin(reference)
    require_same(reference, configured or usual)
    return configured or usual


def require_same(reference: str, address: str) -> None:
    """Refuse a reference at another scheme, host or port than the address.

    Raises:
        InputError: it is elsewhere.
    """
    if is_url(reference) and origin(reference) != origin(address):
        raise InputError(
            f"{origin(reference)} is not {origin(address)}, where the keys are for",
            hint="say where to ask with --url, or give the id alone",
        )


def after(reference: str, *markers: str) -> str | None:
    """The path segment after the first of the markers, e.g. the id in `…/traces/<id>`."""
    parts = [unquote(part) for part in urlsplit(reference).path.split("/")]
    for marker in markers:
        if marker in parts[:-1] and (found := parts[parts.index(marker) + 1]):
            return found
    return None


def asked(reference: str, *names: str) -> str | None:
    """The first of these query parameters, also from a query behind a `#`."""
    parts = urlsplit(reference)
    given: Mapping[str, list[str]] = parse_qs(parts.query) | parse_qs(
        parts.fragment.partition("?")[2]
    )
    return next((given[name][0] for name in names if given.get(name)), None)
