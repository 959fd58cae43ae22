import asyncio
import json
from pathlib import Path

from openai import AsyncOpenAI

PROMPTS = json.loads((Path(__file__).parent / "prompts.json").read_text())
PARAMETERS = {"model": "gpt-4o-mini", "temperature": 0, "max_tokens": 17}


async def ask(question):
    messages = [{"role": "system", "content": PROMPTS["desk"]}, {"role": "user", "content": question}]
    async with AsyncOpenAI() as client:
        reply = await client.chat.completions.create(messages=messages, **PARAMETERS)
    return reply.choices[0].message.content


def answer(request):
    return {"answer": asyncio.run(ask(request["question"]))}
