"""Payloads of the SQLite store: one or many lines of bytes, compressed together.

Every stored payload says its own codec. Codecs 0 to 2 are those of schema version 1, each with
one JSON text; codecs 3 to 5 hold lines, and the last one is compressed with `KEYS` as dictionary:
most of a small run is keys and words that every run has.
"""

import threading
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from refinery.errors import StoreError

try:
    import zstandard
except ImportError:  # an optional speed-up: zlib of the standard library does the same job
    zstandard = None  # type: ignore[assignment]  # absence is checked where it is used

PLAIN, ZLIB, ZSTD, LINES, LINES_ZLIB, LINES_ZSTD = range(6)
"""Codecs of a payload."""

COMPRESS_FROM_BYTES = 100
"""Smaller payloads stay as they are: compressing them saves nothing (chosen by us)."""

MAX_PAYLOAD_BYTES = 256 * 2**20
"""Most one payload may unfold to; guards against a tampered file."""

LEVEL = 1
"""Level of zstandard; 3 takes half as long again and saves 1 % (`benchmarks/store.py`)."""

KEYS = (
    b'{"lc":1,"type":"constructor","id":["langchain","schema","messages","SystemMessage"],'
    b'"kwargs":{"content":"","additional_kwargs":{},"response_metadata":{"token_usage":{'
    b'"completion_tokens":1,"prompt_tokens":1,"total_tokens":1},"finish_reason":"stop",'
    b'"logprobs":null},"invalid_tool_calls":[],"usage_metadata":{"input_tokens":1,'
    b'"output_tokens":1,"total_tokens":1,"input_token_details":{},"output_token_details":{}}}}'
    b'{"scope":"","service.name":"unknown_service","telemetry.sdk.language":"python",'
    b'"telemetry.sdk.name":"opentelemetry","gen_ai.system":"openai","gen_ai.operation.name":"chat",'
    b'"gen_ai.request.model":"","openinference.span.kind":"LLM","llm.model_name":"",'
    b'"input.mime_type":"application/json","output.mime_type":"application/json"}'
    b'{"error":{"type":"ValueError","message":"","stack":"Traceback (most recent call last):\\n'
    b'  File \\"/usr/lib/python3.11/site-packages/\\", line 1, in invoke\\n"},'
    b'"code":{"module":"","qualname":"","file":"","line":1,"commit":"","dirty":false,'
    b'"variant":""},"layer":"function","metrics":{"cpu_ms":0.1,"wall_ms":0.1,"rss_bytes":1,'
    b'"io_bytes":0},"events":[{"name":"new_token","time":""},{"name":"start","time":"2026-"}],'
    b'"evaluations":[{"item_id":"","item":{},"filters":{},"qualified":true,"reasoning":""}],'
    b'"links":[],"attachments":[],"reasoning":"","raw_ref":"sha256:",'
    b'"tools":[{"type":"function","function":{"name":"","description":"","parameters":'
    b'{"type":"object","properties":{"query":{"type":"string"}},"required":[""]}}}],'
    b'"dotted_order":"20260101T000000000000Z","native_kind":"tool","native_kind":"retriever",'
    b'{"native_kind":"chain","inputs":{"input":"","question":"","query":"","messages":['
    b'{"role":"system","content":"You are a helpful assistant. "},{"role":"user","content":"'
    b'"}]},"outputs":{"output":"","documents":[{"page_content":"","metadata":{"source":""}}],'
    b'"messages":[{"role":"assistant","content":"","tool_calls":[{"id":"call_","type":"tool_call",'
    b'"name":"","arguments":{}}]},{"role":"tool","tool_call_id":"call_","content":""}]},'
    b'"tags":["seq:step:1","graph:step:1"],"metadata":{"thread_id":"","langgraph_step":1,'
    b'"langgraph_node":"agent","langgraph_triggers":["branch:to:agent"],"langgraph_path":'
    b'["__pregel_pull","agent"],"langgraph_checkpoint_ns":"agent:","checkpoint_ns":"agent:",'
    b'"ls_provider":"openai","ls_model_name":"gpt-4o-mini","ls_model_type":"chat",'
    b'"ls_temperature":0.0,"revision_id":"","refinery":{"is_patch":true}}}\n'
    b'{"native_kind":"llm","provider":"openai","model_requested":"gpt-4o-mini",'
    b'"model_responded":"gpt-4o-mini-2024-07-18","params":{"temperature":0.2,"max_tokens":512},'
    b'"usage":{"input":1,"output":1,"total":1,"cache_read":0},"cost_usd":"0.001",'
    b'"cost_source":"reported"'
)
"""What runs have in common. Rows were written with it: a change needs a codec of its own."""


class _Compressors(threading.local):
    """Compressors hold state that two threads must not share, and take long to make."""

    def __init__(self) -> None:
        keys = zstandard.ZstdCompressionDict(KEYS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        keys.precompute_compress(level=LEVEL)
        self.packing = zstandard.ZstdCompressor(level=LEVEL, dict_data=keys)
        self.unpacking = zstandard.ZstdDecompressor(dict_data=keys)
        self.plain = zstandard.ZstdDecompressor()


@cache
def _compressors() -> _Compressors:
    return _Compressors()


def pack(payload: bytes) -> tuple[int, bytes]:
    """A payload as it is stored: (codec, bytes)."""
    if len(payload) < COMPRESS_FROM_BYTES:
        return LINES, payload
    if zstandard is not None:
        return LINES_ZSTD, _compressors().packing.compress(payload)
    return LINES_ZLIB, zlib.compress(payload, 6)


def unpack(codec: int, body: bytes) -> bytes:
    """The payload of a row.

    Raises:
        ValueError: the bytes are damaged or unfold to more than `MAX_PAYLOAD_BYTES`.
        StoreError: the codec's library is not installed.
    """
    if codec in (PLAIN, LINES):
        return body
    if codec in (ZLIB, LINES_ZLIB):
        return _inflate(body)
    if codec not in (ZSTD, LINES_ZSTD):
        raise ValueError(f"unknown codec {codec}")
    if zstandard is None:
        raise StoreError(
            "this trace store was compressed with zstandard, which is not installed",
            hint="pip install zstandard",
        )
    return _unfold(_compressors().plain if codec == ZSTD else _compressors().unpacking, body)


def _unfold(unpacking: Any, body: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= MAX_PAYLOAD_BYTES:
            raise ValueError("a payload has an impossible size")
        unfolded: bytes = unpacking.decompress(body)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    return unfolded


def _inflate(body: bytes) -> bytes:
    try:
        unfolding = zlib.decompressobj()
        payload = unfolding.decompress(body, MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unfolding.eof:
        raise ValueError("a payload is cut off or too large")
    return payload


def is_exact(codec: int) -> bool:
    """Whether the payload is of schema version 1, whose numbers may be of any size."""
    return codec in (PLAIN, ZLIB, ZSTD)


def join(lines: Sequence[bytes]) -> bytes:
    """Lines as one payload; JSON written on one line holds no line feed."""
    return b"\n".join(lines)


def split(payload: bytes) -> list[bytes]:
    """Lines of a payload."""
    return payload.split(b"\n")
