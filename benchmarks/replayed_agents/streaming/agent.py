# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201
"""Streams of both vendors' clients and of LangChain, read piece by piece."""

import uuid
from datetime import datetime

import anthropic
import openai
from langchain_openai import ChatOpenAI


def answer(request):
    """Three streams; the second one continues the first, and so on."""
    note = f"{request['question']} [{uuid.uuid4()}] {datetime.now().isoformat(' ', 'seconds')}"
    pieces = 0
    first = ""
    stream = openai.OpenAI(max_retries=8).chat.completions.create(
        model="small-1",
        messages=[{"role": "user", "content": note}],
        stream=True,
        stream_options={"include_usage": True},
        temperature=0.8,
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            pieces += 1
            first += chunk.choices[0].delta.content
    second = ""
    with anthropic.Anthropic(max_retries=8).messages.stream(
        model="claude-small", max_tokens=90, messages=[{"role": "user", "content": first}]
    ) as told:
        for text in told.text_stream:
            second += text
        usage = told.get_final_message().usage.output_tokens
    model = ChatOpenAI(model="small-1", temperature=0.5, max_retries=8, stream_usage=True)
    third = "".join(chunk.text for chunk in model.stream(second))
    return {"texts": [first, second, third], "streamed": pieces > 1, "tokens": usage}
