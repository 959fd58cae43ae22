# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201, D103
"""Several questions at the same time, with OpenAI's asynchronous client and LangChain's."""

import asyncio
import uuid
from datetime import UTC, datetime

import openai
from langchain_anthropic import ChatAnthropic


async def raw(client, question, number):
    reply = await client.chat.completions.create(
        model="small-1",
        temperature=1.0,
        messages=[{"role": "user", "content": f"{number}. {question} at {datetime.now(UTC)}"}],
    )
    return reply.choices[0].message.content


async def chained(question, number):
    model = ChatAnthropic(model="claude-small", max_tokens=50, temperature=0.9, max_retries=8)
    said = await model.ainvoke(f"{number}. {question} ({uuid.uuid4()})")
    return said.text


async def answer(request):
    """Ask eight times at once, then once more about all answers."""
    client = openai.AsyncOpenAI(max_retries=8)
    asked = [raw(client, request["question"], n) for n in range(4)]
    asked += [chained(request["question"], n) for n in range(4)]
    said = await asyncio.gather(*asked)
    last = await raw(client, "Sum up: " + " | ".join(said), 9)
    return {"parts": said, "sum": last}
