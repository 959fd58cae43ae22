# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201
"""OpenAI's responses interface: reasoning items go back to the model with the results."""

import json
import time
import uuid

import openai

from refinery import instrument

TOOLS = [
    {
        "type": "function",
        "name": "lookup",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
        "strict": False,
    }
]


@instrument(layer="tool")
def lookup(word: str) -> list:
    """Never the same twice."""
    return [word, str(uuid.uuid4()), time.time_ns()]


def answer(request):
    """Answer with up to five calls of the model."""
    client = openai.OpenAI(max_retries=8)
    items = [{"role": "user", "content": request["question"]}]
    reply = None
    for _ in range(5):
        reply = client.responses.create(
            model="small-1",
            instructions=f"Trace {uuid.uuid4()}; {time.ctime()}",
            input=items,
            tools=TOOLS,
            temperature=0.9,
        )
        items += [item.model_dump(exclude_none=True) for item in reply.output]
        calls = [item for item in reply.output if item.type == "function_call"]
        if not calls:
            break
        for call in calls:
            found = lookup(**json.loads(call.arguments))
            items.append(
                {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": json.dumps(found),
                }
            )
    return {"text": reply.output_text, "id": reply.id}
