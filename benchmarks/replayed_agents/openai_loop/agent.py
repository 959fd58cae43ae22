# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201
"""A loop around OpenAI's own client, with a tool recorded by `@instrument`."""

import json
import secrets
import uuid
from datetime import datetime

import openai

from refinery import instrument

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "price",
            "description": "Price of an item.",
            "parameters": {
                "type": "object",
                "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
            },
        },
    }
]


@instrument(layer="tool")
def price(item: str, count: int = 1) -> dict:
    """Ask a price service, which never says the same twice."""
    return {
        "item": item,
        "total": count * (1 + secrets.randbelow(100)),
        "quote": secrets.token_hex(6),
    }


def answer(request):
    """Answer with up to six calls of the model."""
    client = openai.OpenAI(max_retries=8)
    messages = [
        {
            "role": "system",
            "content": f"Session {uuid.uuid4()} since {datetime.now():%Y-%m-%d %H:%M}",
        },
        {"role": "user", "content": request["question"]},
    ]
    said = None
    for _ in range(6):
        reply = client.chat.completions.create(
            model="small-1", messages=messages, tools=TOOLS, temperature=0.9
        )
        said = reply.choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        if not said.tool_calls:
            break
        for call in said.tool_calls:
            found = price(**json.loads(call.function.arguments))
            messages.append(
                {"role": "tool", "tool_call_id": call.id, "content": json.dumps(found)}
            )
    return {"answer": said.content, "model": reply.model, "reply": reply.id}
