import json

from openai import OpenAI

from refinery import instrument
from rota import singers

TOOL = {
    "type": "function",
    "function": {
        "name": "singers",
        "description": "Who sings which voice on a day.",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
    },
}
look_up = instrument(layer="tool")(singers)


def answer(request):
    messages = [
        {"role": "system", "content": "You keep the rota of the Harbour Choir. Only say what tool results say."},
        {"role": "user", "content": request["question"]},
    ]
    client = OpenAI()
    for _ in range(4):
        said = client.chat.completions.create(
            model="gpt-4o-mini", temperature=0, messages=messages, tools=[TOOL]
        ).choices[0].message
        if not said.tool_calls:
            return {"answer": said.content}
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            result = look_up(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return {"answer": ""}
