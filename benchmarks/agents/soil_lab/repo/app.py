from pathlib import Path

import anthropic
import yaml

from lab import measure

TEXTS = yaml.safe_load((Path(__file__).parent / "texts.yaml").read_text())
TOOLS = [
    {
        "name": "measure",
        "description": "Acidity of a soil sample.",
        "input_schema": {
            "type": "object",
            "properties": {"sample_id": {"type": "string"}},
            "required": ["sample_id"],
        },
    }
]


def answer(request):
    client = anthropic.Anthropic()
    messages = [{"role": "user", "content": request["question"]}]
    for _ in range(4):
        reply = client.messages.create(
            model="claude-3-5-haiku-latest", max_tokens=300, system=TEXTS["lab"], tools=TOOLS, messages=messages
        )
        if reply.stop_reason != "tool_use":
            return {"answer": reply.content[0].text}
        messages.append({"role": "assistant", "content": [block.model_dump() for block in reply.content]})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": measure(**block.input)}
            for block in reply.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
    return {"answer": ""}
