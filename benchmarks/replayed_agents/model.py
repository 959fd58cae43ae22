"""A model on loopback that answers at random, in the vendors' own words.

Replies have what real ones have beside the text: identifiers, creation times, fingerprints,
several blocks, thinking with a signature, token counts. Now and then a request is refused with
429 or 529 and a time to wait, as vendors do. Nothing here is shared with the gateway of replays.
"""

import base64
import hashlib
import json
import random
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

WORDS = (
    *("amber", "birch", "cedar", "delta", "ember", "fjord", "grove"),
    *("haven", "iris", "juniper", "kelp", "larch", "maple"),
)
REFUSED_SHARE = 0.1
"""Share of requests that are refused for a moment."""
DIMENSIONS = 16

Body = dict[str, Any]


class RandomModel:
    """Serves until its `with` block ends; the seed decides every answer, in order of arrival."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.requests = 0
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "RandomModel":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def text(self) -> str:
        """A few words."""
        return " ".join(self.random.choices(WORDS, k=self.random.randint(2, 9))) + "."

    def identifier(self, prefix: str) -> str:
        """An identifier as vendors make them."""
        return f"{prefix}{self.random.getrandbits(96):024x}"

    def calls(self, tools: list[Body], turns: list[Body]) -> list[tuple[str, Body]]:
        """Tools to call now; fewer the longer the conversation is."""
        answered = sum(turn.get("role") == "tool" or _is_result(turn) for turn in turns)
        if not tools or answered >= 4 or self.random.random() < 0.25 * answered:
            return []
        chosen = self.random.sample(tools, k=min(len(tools), self.random.choice((1, 1, 2))))
        return [(tool["name"], self._arguments(tool)) for tool in chosen]

    def _arguments(self, tool: Body) -> Body:
        schema = tool.get("parameters") or tool.get("input_schema") or {}
        return {
            name: self.random.randint(1, 9)
            if about.get("type") in ("integer", "number")
            else self.random.choice(WORDS)
            for name, about in (schema.get("properties") or {}).items()
        }


def _is_result(turn: Body) -> bool:
    content = turn.get("content")
    return turn.get("type") == "function_call_output" or (
        isinstance(content, list) and any(part.get("type") == "tool_result" for part in content)
    )


def _handler(model: RandomModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with model.lock:
                model.requests += 1
                if model.random.random() < REFUSED_SHARE:
                    model.refused += 1
                    self.refuse()
                    return
                answer = _MADE[self.path.rpartition("/")[2]](model, asked)
            if not asked.get("stream"):
                self.send(200, json.dumps(answer).encode())
                return
            events = _STREAMED[self.path.rpartition("/")[2]](asked, answer)
            body = "".join(_event(*event) for event in events).encode()
            self.send(200, body, kind="text/event-stream")

        def refuse(self) -> None:
            body = {"error": {"type": "rate_limit_error", "message": "slow down", "code": None}}
            if "messages" in self.path:
                body = {"type": "error", **body}
            self.send(429, json.dumps(body).encode(), wait_ms="20")

        def send(
            self, status: int, body: bytes, *, kind: str = "application/json", wait_ms: str = ""
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-request-id", f"req_{status}_{len(body)}")
            if wait_ms:
                self.send_header("retry-after-ms", wait_ms)
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _event(name: str | None, told: Any) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {told if isinstance(told, str) else json.dumps(told)}\n\n"


def _chat(model: RandomModel, asked: Body) -> Body:
    offered = [tool["function"] for tool in asked.get("tools") or []]
    calls = [
        {
            "id": model.identifier("call_"),
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for name, arguments in model.calls(offered, asked["messages"])
    ]
    message: Body = {"role": "assistant", "content": None if calls else model.text()}
    message |= {"refusal": None, "annotations": []}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None}
    return {
        "id": model.identifier("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked["model"] + "-2026-01-01",
        "service_tier": "default",
        "system_fingerprint": model.identifier("fp_")[:13],
        "choices": [{**choice, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def _chat_events(asked: Body, whole: Body) -> Iterator[tuple[None, Any]]:
    base = {key: whole[key] for key in ("id", "created", "model", "system_fingerprint")}
    base["object"] = "chat.completion.chunk"
    message = whole["choices"][0]["message"]

    def chunk(delta: Body, reason: str | None = None) -> tuple[None, Body]:
        return None, {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for word in (message["content"] or "").split(" "):
        yield chunk({"content": word if word.endswith(".") else word + " "})
    for index, call in enumerate(message.get("tool_calls") or ()):
        arguments = call["function"]["arguments"]
        opening = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [opening]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
    yield chunk({}, whole["choices"][0]["finish_reason"])
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield None, {**base, "choices": [], "usage": whole["usage"]}
    yield None, "[DONE]"


def _message(model: RandomModel, asked: Body) -> Body:
    blocks: list[Body] = []
    if asked.get("thinking"):
        signature = base64.b64encode(model.random.randbytes(24)).decode()
        blocks.append({"type": "thinking", "thinking": model.text(), "signature": signature})
    blocks.append({"type": "text", "text": model.text(), "citations": None})
    calls = model.calls(asked.get("tools") or [], asked["messages"])
    blocks += [
        {"type": "tool_use", "id": model.identifier("toolu_"), "name": name, "input": arguments}
        for name, arguments in calls
    ]
    usage = {"input_tokens": 12, "output_tokens": 8, "service_tier": "standard"}
    usage |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 3}
    return {
        "id": model.identifier("msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked["model"] + "-20260101",
        "content": blocks,
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def _message_events(asked: Body, whole: Body) -> Iterator[tuple[str, Any]]:
    def event(kind: str, **fields: Any) -> tuple[str, Body]:
        return kind, {"type": kind, **fields}

    yield event("message_start", message={**whole, "content": [], "stop_reason": None})
    for index, block in enumerate(whole["content"]):
        key = {"text": "text", "thinking": "thinking", "tool_use": "input"}[block["type"]]
        hollow = {**block, key: {} if key == "input" else ""} | (
            {"signature": ""} if key == "thinking" else {}
        )
        yield event("content_block_start", index=index, content_block=hollow)
        if key == "input":
            told = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield event("content_block_delta", index=index, delta=told)
        else:
            for word in block[key].split(" "):
                piece = word if word.endswith(".") else word + " "
                told = {"type": f"{key}_delta", key: piece}
                yield event("content_block_delta", index=index, delta=told)
        if key == "thinking":
            told = {"type": "signature_delta", "signature": block["signature"]}
            yield event("content_block_delta", index=index, delta=told)
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=delta, usage=whole["usage"])
    yield event("message_stop")


def _response(model: RandomModel, asked: Body) -> Body:
    turns = asked["input"] if isinstance(asked["input"], list) else []
    calls = model.calls(asked.get("tools") or [], turns)
    items: list[Body] = [
        {"type": "reasoning", "id": model.identifier("rs_"), "summary": []},
        *(
            {
                "type": "function_call",
                "id": model.identifier("fc_"),
                "call_id": model.identifier("call_"),
                "name": name,
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
            for name, arguments in calls
        ),
    ]
    if not calls:
        part = {"type": "output_text", "text": model.text(), "annotations": [], "logprobs": []}
        item = {"type": "message", "id": model.identifier("msg_"), "role": "assistant"}
        items.append({**item, "status": "completed", "content": [part]})
    details = {"input_tokens_details": {"cached_tokens": 0}}
    details["output_tokens_details"] = {"reasoning_tokens": 2}
    return {
        "id": model.identifier("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "model": asked["model"],
        "output": items,
        "parallel_tool_calls": True,
        "temperature": asked.get("temperature"),
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "top_p": 1.0,
        "usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14, **details},
    }


def _embeddings(model: RandomModel, asked: Body) -> Body:
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    rows = []
    for index, text in enumerate(texts):
        digest = hashlib.sha256(str(text).encode()).digest()[:DIMENSIONS]
        numbers = [byte / 255 - 0.5 + model.random.gauss(0, 0.001) for byte in digest]
        vector: Any = numbers
        if asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *numbers)).decode()
        rows.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "model": asked["model"], "data": rows, "usage": usage}


_MADE = {
    "completions": _chat,
    "messages": _message,
    "responses": _response,
    "embeddings": _embeddings,
}
_STREAMED = {"completions": _chat_events, "messages": _message_events}
