from pathlib import Path

import yaml
from openai import OpenAI

HERE = Path(__file__).parent
SETTINGS = yaml.safe_load((HERE / "desk.yaml").read_text())


def answer(request):
    client = OpenAI()
    chosen = SETTINGS["model"]
    timetable = (HERE / "timetable.txt").read_text()
    reply = client.chat.completions.create(
        model=chosen["name"],
        max_tokens=chosen["max_tokens"],
        temperature=chosen["temperature"],
        messages=[
            {"role": "system", "content": SETTINGS["prompts"]["desk"].format(timetable=timetable)},
            {"role": "user", "content": request["question"]},
        ],
    )
    return {"answer": reply.choices[0].message.content}
