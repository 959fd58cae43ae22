import asyncio
import json
from pathlib import Path

from openai import AsyncOpenAI

HERE = Path(__file__).parent
PROMPTS = json.loads((HERE / "prompts.json").read_text())


async def announce(question):
    system = PROMPTS["announce"]["system"].format(facts=(HERE / "facts.txt").read_text())
    reply = await AsyncOpenAI().chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
    )
    return reply.choices[0].message.content


def answer(request):
    return {"answer": asyncio.run(announce(request["question"]))}
