READINGS = {"M-10": [412, 398], "M-20": [], "M-30": [77]}

SPEC = {
    "type": "function",
    "function": {
        "name": "meter_reading",
        "description": "Latest reading of a water meter.",
        "parameters": {
            "type": "object",
            "properties": {"meter_id": {"type": "string"}},
            "required": ["meter_id"],
        },
    },
}


def meter_reading(meter_id: str) -> str:
    readings = READINGS.get(meter_id, [])
    latest = readings[0]
    return f"The latest reading is {latest} cubic metres."
