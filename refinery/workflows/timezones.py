"""Time zones as people write them."""

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from refinery.errors import InputError

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")


def parse_zone(text: str) -> tzinfo:
    """The zone a text names: `UTC`, an offset such as `+05:30`, or a name of the IANA database.

    Raises:
        InputError: it names none.
    """
    if text.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if found := _OFFSET.fullmatch(text):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        from difflib import get_close_matches

        close = get_close_matches(text, available_timezones(), n=1)
        raise InputError(
            f"no time zone {text!r}",
            hint=f"did you mean {close[0]}?" if close else "e.g. Europe/Zurich, UTC or +05:30",
        ) from error
