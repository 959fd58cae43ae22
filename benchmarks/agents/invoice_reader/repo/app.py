import json
import tomllib
from pathlib import Path

from openai import OpenAI

PROMPTS = tomllib.loads((Path(__file__).parent / "prompts.toml").read_text())


def read(text):
    reply = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[
            {"role": "system", "content": PROMPTS["read"]["system"]},
            {"role": "user", "content": text},
        ],
    )
    return json.loads(reply.choices[0].message.content)


def answer(request):
    if not request["invoice"].strip():
        return {"vendor": None, "total": 0}
    found = read(request["invoice"])
    return {"vendor": found["vendor"], "total": found["total"]}
