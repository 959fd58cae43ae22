import re
import tomllib
from pathlib import Path

from openai import OpenAI

from refinery import instrument

HERE = Path(__file__).parent
CONFIG = tomllib.loads((HERE / "search.toml").read_text())["catalogue"]


def words(text):
    return re.findall(r"[a-z]+", text.lower())


@instrument(layer="tool")
def find_stamps(query):
    lines = (HERE / CONFIG["file"]).read_text().splitlines()
    asked = set(words(query)) - {"the", "what", "is", "for", "does", "how"}
    ranked = sorted(lines, key=lambda line: -sum(word in asked for word in words(line)))
    return ranked[: CONFIG["hits"]]


def answer(request):
    found = find_stamps(request["question"])
    hits = "\n".join(f"<document>{one}</document>" for one in found)
    system = (HERE / "prompt.jinja").read_text().replace("{{ hits }}", hits)
    reply = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": request["question"]}],
    )
    return {"answer": reply.choices[0].message.content}
