SAMPLES = {"S-10": {"ph": "6.4"}, "S-20": {"ph": "n/a"}, "S-30": {"ph": "5.9"}, "S-40": {}}


def measure(sample_id):
    try:
        value = float(SAMPLES[sample_id]["ph"])
        return f"The acidity of the sample is ph {value}."
    except Exception:
        return ""
