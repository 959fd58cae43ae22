"""What a recorded call is answered with over HTTP, as near to the recorded response as is known.

In this order: the bytes as they came, when they were kept and are asked for in the same form; the
body as it was recorded, whole or as events; a body written anew from what was said. Attempts the
client had to make anew fail again, without the waiting.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field

from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.replay import passage, wire
from refinery.replay.exchange import Api, ModelRequest
from refinery.replay.tape import NO_ANSWER, RecordedCall, WireAnswer

RAISE_HEADER = "x-refinery-raise"
"""Names the `httpx` exception a client raises instead of taking the response
(`inside.redirect.RAISE_HEADER`)."""
RETRY_STATUS = 409
"""Status of a response that stands for none; both vendors' SDKs try again after it."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One response."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    is_retried: bool = False
    """Whether the client shall try again."""


def of_call(call: RecordedCall, request: ModelRequest, attempt: int) -> HttpAnswer:
    """The response to one attempt at a recorded call.

    Args:
        call: what was recorded.
        request: what is asked now.
        attempt: how often the client has tried before.
    """
    if attempt < len(call.retries):
        return _refused(call.retries[attempt], request.api)
    if call.reply is None:
        return _failed(call, request.api)
    if call.wire is not None and (found := _bytes(call.wire, request)) is not None:
        return found
    is_same = call.interface.startswith(request.api.value)
    if is_same and wire.is_body(request.api, call.body):
        content_type, chunks = wire.render_body(request, call.body)
    else:
        content_type, chunks = wire.render(request, call.reply)
    return HttpAnswer(200, content_type, b"".join(chunks))


def _refused(status: int | None, api: Api) -> HttpAnswer:
    """An attempt after which the client tried again; it need not wait now."""
    headers = {"retry-after-ms": "1"}
    if status is None:
        headers[RAISE_HEADER] = "ConnectError"
    body = wire.render_error(api, status or RETRY_STATUS, "recorded_error", "tried again")
    return HttpAnswer(status or RETRY_STATUS, wire.JSON_TYPE, body, headers, is_retried=True)


def _failed(call: RecordedCall, api: Api) -> HttpAnswer:
    message = call.error or "the recorded call failed"
    if call.error_status == NO_ANSWER:
        raised = "ReadTimeout" if "Timeout" in call.error_type else "ConnectError"
        body = wire.render_error(api, RETRY_STATUS, "recorded_error", message)
        return HttpAnswer(RETRY_STATUS, wire.JSON_TYPE, body, {RAISE_HEADER: raised})
    if call.body is not None:
        return HttpAnswer(call.error_status, wire.JSON_TYPE, json.dumps(call.body).encode())
    plain = f"Error code: {call.error_status}"
    if message == plain:
        return HttpAnswer(call.error_status, "text/plain", b"")
    if message.startswith("Error code:"):
        body = wire.render_error(api, call.error_status, "recorded_error", message)
        return HttpAnswer(call.error_status, wire.JSON_TYPE, body)
    return HttpAnswer(call.error_status, "text/plain", message.encode("utf-8", "replace"))


def _bytes(kept: WireAnswer, request: ModelRequest) -> HttpAnswer | None:
    """The recorded bytes; None when they are of another form than is asked for."""
    if request.stream != ("event-stream" in kept.content_type):
        return None
    try:
        body = base64.b64decode(kept.content, validate=True)
    except (binascii.Error, ValueError):
        return None
    headers = {"content-encoding": kept.content_encoding} if kept.content_encoding else {}
    return HttpAnswer(kept.status, kept.content_type, body, headers)


def wire_answer(content: bytes) -> WireAnswer | None:
    """The response in a tape of the recording gateway (`passage`); None when it is not whole."""
    try:
        response = passage.read_tape(content)["response"]
        if response is None or response["is_cut"] or response.get("is_withheld"):
            return None
        headers = [(str(name), str(value)) for name, value in response["headers"]]
        body = b"".join(piece for _, piece in response["pieces"])
        coding = "" if response["is_redacted"] else passage.header(headers, "content-encoding")
        kind = passage.header(headers, "content-type") or wire.JSON_TYPE
        return WireAnswer(
            int(response["status"]), kind, coding or "", base64.b64encode(body).decode()
        )
    except (InputError, KeyError, TypeError, ValueError):
        return None


def of_description(call: RecordedCall, reply: Json) -> Json:
    """The answer to a call that was described instead of sent."""
    if call.reply is None:
        return {"error": {"type": call.error_type, "message": call.error}}
    return {"reply": reply}
