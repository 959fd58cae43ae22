import re

TABLE = {"2026-05-03": "6:12", "2026-05-04": "7:01", "2026-06-21": "11:40"}
SPEC = {
    "type": "function",
    "function": {
        "name": "high_water",
        "description": "High water on a day.",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string"}},
            "required": ["day"],
        },
    },
}


def high_water(day):
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        return "error: the day must be given as a date of the form YYYY-MM-DD"
    return f"High water is at {TABLE.get(day, 'an unknown time')}."
