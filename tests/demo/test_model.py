import json
import urllib.error
import urllib.request

import pytest
from openai import OpenAI

from refinery.demo import model


def ask(client: OpenAI, text: str) -> str | None:
    messages = [
        {"role": "system", "content": "<document>Trams run every ten minutes.</document>"},
        {"role": "user", "content": text},
    ]
    reply = client.chat.completions.create(model="any", messages=messages)  # type: ignore[arg-type]
    return reply.choices[0].message.content


def test_the_openai_client_gets_answers_tool_calls_and_streams() -> None:
    with model.serve() as url, OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        assert ask(client, "How often do trams run?") == "Trams run every ten minutes."
        streamed = client.chat.completions.create(
            model="any",
            stream=True,
            messages=[{"role": "user", "content": "<document>It is here.</document>\nhere"}],
        )
        text = "".join(c.choices[0].delta.content or "" for c in streamed if c.choices)
        called = client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": "What is the weather?"}],
            tools=[{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
        )

    assert text == "It is here."
    assert called.choices[0].finish_reason == "tool_calls"
    assert called.choices[0].message.tool_calls[0].function.name == "get_weather"  # type: ignore


def test_two_servers_have_different_ports_and_end_with_their_block() -> None:
    with model.serve() as first, model.serve() as second:
        assert first != second
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(first, timeout=30)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", b"no json"),
        ("/chat/completions", b"[]"),
        ("/chat/completions", b"[" * 100_000),
        ("/elsewhere", b"{}"),
        ("/chat/completions", b""),
    ],
)
def test_what_is_no_request_is_refused_with_400(path: str, body: bytes) -> None:
    with model.serve() as url:
        request = urllib.request.Request(url + path, data=body, method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        answer = json.loads(caught.value.read())

    assert caught.value.code == 400
    assert answer["error"]["message"]
