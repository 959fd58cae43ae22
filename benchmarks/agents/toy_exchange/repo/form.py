import json

import anthropic

SHOP = "Bear Lane Toy Exchange"


def fill(letter):
    prompt = f"Extract the toy and the age from letters to the {SHOP} as JSON with the keys 'toy' and 'age'."
    reply = anthropic.Anthropic().messages.create(
        model="claude-3-5-haiku-latest",
        max_tokens=500,
        system=prompt,
        messages=[{"role": "user", "content": letter}],
    )
    form = json.loads(reply.content[0].text)
    return form["toy"], form["age"]
