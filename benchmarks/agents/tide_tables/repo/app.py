import json

from openai import OpenAI

from tides import SPEC, high_water

SYSTEM = "You are the harbour master's assistant in Wick."


def answer(request):
    client = OpenAI()
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": request["question"]},
    ]
    for _ in range(4):
        reply = client.chat.completions.create(
            model="gpt-4o-mini", temperature=0, messages=messages, tools=[SPEC]
        )
        message = reply.choices[0].message
        if not message.tool_calls:
            return {"answer": message.content}
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = high_water(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return {"answer": "I could not find out."}
