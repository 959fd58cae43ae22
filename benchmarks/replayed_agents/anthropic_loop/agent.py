# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201
"""A loop around Anthropic's own client, with thinking, whose signature goes back to the model."""

import os
import time
import uuid

import anthropic

from refinery import instrument

TOOLS = [
    {
        "name": "measure",
        "description": "Measure a thing.",
        "input_schema": {"type": "object", "properties": {"thing": {"type": "string"}}},
    }
]


@instrument(layer="tool")
async def measure(thing: str) -> float:
    """A reading that is never the same."""
    return int.from_bytes(os.urandom(3), "big") / 1000


async def answer(request):
    """Answer with up to five calls of the model."""
    client = anthropic.AsyncAnthropic(max_retries=8)
    messages = [{"role": "user", "content": request["question"]}]
    reply = None
    for _ in range(5):
        reply = await client.messages.create(
            model="claude-small",
            max_tokens=2000,
            thinking={"type": "enabled", "budget_tokens": 1024},
            system=f"Conversation {uuid.uuid4()}, unix time {time.time():.3f}",
            messages=messages,
            tools=TOOLS,
        )
        messages.append(
            {
                "role": "assistant",
                "content": [b.model_dump(exclude_none=True) for b in reply.content],
            }
        )
        calls = [block for block in reply.content if block.type == "tool_use"]
        if not calls:
            break
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": str(await measure(**call.input)),
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
    return {"text": "".join(b.text for b in reply.content if b.type == "text"), "id": reply.id}
