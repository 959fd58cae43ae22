"""How the scripted model fills a tool's arguments: from the schema's words and the question."""

import re
from collections.abc import Mapping

from refinery.model.trace import Json

_MONTHS = "january february march april may june july august september october november december"
_DATE = re.compile(r"\b(\d{1,2}) (" + _MONTHS.replace(" ", "|") + r") (\d{4})\b", re.IGNORECASE)
_ISO = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_CODE = re.compile(r"\b[A-Z]{1,5}-?\d{2,}\b")
_PLACE = re.compile(r"\b(?:in|for|at|to|from|near|of) ((?:[A-Z][\w]+)(?: [A-Z][\w]+)*)")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)?", re.IGNORECASE)
_FACTORS = {
    ("km", "metre"): 1000.0,
    ("kilometres", "metre"): 1000.0,
    ("miles", "kilomet"): 1.609344,
    ("hours", "minute"): 60.0,
    ("euros", "cent"): 100.0,
    ("dollars", "cent"): 100.0,
    ("kg", "gram"): 1000.0,
}


def arguments_for(schema: Json, question: str, about_tool: str = "") -> dict[str, Json]:
    """Arguments of a call, each from what its name, type and description ask for.

    The tool's own description says of which form and unit they are as well.
    """
    properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    required = schema.get("required", list(properties)) if isinstance(schema, Mapping) else []
    found: dict[str, Json] = {}
    for name, about in properties.items():
        told = about if isinstance(about, Mapping) else {}
        value = _value((str(name), about_tool), told, question)
        if value is not None and (name in required or value != question):
            found[str(name)] = value
    return found


def _value(named: tuple[str, str], about: Mapping[str, Json], question: str) -> Json:
    name, about_tool = named
    words = f"{name} {about.get('description', '')}".lower()
    all_words = f"{words} {about_tool.lower()}"
    if isinstance(about.get("enum"), list):
        return _chosen(about["enum"], question)
    if about.get("type") in ("number", "integer"):
        return _number(all_words, question, whole=about["type"] == "integer")
    if "date" in words or "day" in words:
        return _date(all_words, question)
    if re.search(r"\b\w*_?(?:id|code|number|reference)\b", words) and (
        code := _CODE.search(question)
    ):
        return code[0]
    if re.search(r"city|place|town|port|station|destination|country|location", words) and (
        place := _PLACE.search(question)
    ):
        return place[1]
    return question


def _chosen(options: list[Json], question: str) -> Json:
    spoken = question.lower()
    return next((o for o in options if str(o).lower().replace("_", " ") in spoken), options[0])


def _number(words: str, question: str, *, whole: bool) -> Json:
    found = _QUANTITY.search(_CODE.sub("", question))
    if found is None:
        return None
    value, unit = float(found[1]), (found[2] or "").lower()
    for (given, wanted), factor in _FACTORS.items():
        if unit == given and wanted in words:
            value *= factor
            break
    return round(value) if whole or value == int(value) else value


def _date(words: str, question: str) -> Json:
    if iso := _ISO.search(question):
        return iso[0]
    found = _DATE.search(question)
    if found is None:
        return question
    if "yyyy-mm-dd" in words or "iso" in words:
        month = _MONTHS.split().index(found[2].lower()) + 1
        return f"{found[3]}-{month:02d}-{int(found[1]):02d}"
    return found[0]
