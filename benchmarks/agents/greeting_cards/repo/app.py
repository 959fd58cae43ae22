import re
from pathlib import Path

import anthropic

TEMPLATE = (Path(__file__).parent / "templates" / "card.j2").read_text()


def render(template, **values):
    return re.sub(
        r"\{\{\s*(\w+)\s*\}\}", lambda m: str(values.get(m.group(1), m.group(0))), template
    )


def answer(request):
    if not request.get("to"):
        return {"answer": "Who is the card for?"}
    prompt = render(TEMPLATE, recipient=request["to"], occasion=request["occasion"])
    reply = anthropic.Anthropic().messages.create(
        model="claude-3-5-haiku-latest",
        max_tokens=200,
        system=prompt,
        messages=[{"role": "user", "content": "What does the card wish, happy what?"}],
    )
    return {"answer": reply.content[0].text}
