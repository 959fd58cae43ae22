"""Serves LangChain chat models that do not speak HTTP to the gateway's interfaces.

Models of other vendors, and models inside the agent's own process, never send a request the
gateway could recognise. Their calls are described here as the recorder describes them, and the
gateway looks for that run on the tape. A call that was not recorded is left to the model itself:
one in this process answers, one that needs the network is refused (see `redirect`).
"""

import http.client
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from refinery.model.codec import encode_run
from refinery.model.trace import Run
from refinery.recorders import _chat
from refinery.recorders._snapshot import Snapshot
from refinery.replay.inside import after_import
from refinery.replay.inside.redirect import Redirect
from refinery.replay.inside.stand_in import Log, fail

PATH = "/refinery/run"
"""Where the gateway answers a described call."""
_BY_HTTP = ("langchain_openai.", "langchain_anthropic.")
_TIMEOUT_S = 60


class Models:
    """What the chat models of a process are answered from."""

    def __init__(self, redirect: Redirect) -> None:
        self.redirect = redirect
        self.log: Log = lambda *_: None

    def install(self) -> None:
        """Change LangChain's base class, now or when it is imported."""
        after_import.apply({"langchain_core.language_models.chat_models": self._change})

    def _change(self, module: ModuleType) -> None:
        base = module.BaseChatModel
        generate, agenerate = base._generate_with_cache, base._agenerate_with_cache
        should_stream = base._should_stream

        def served(model: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
            found = self._result(model, messages, args, kwargs)
            return generate(model, messages, *args, **kwargs) if found is None else found()

        async def aserved(model: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
            found = self._result(model, messages, args, kwargs)
            return await agenerate(model, messages, *args, **kwargs) if found is None else found()

        def streams(model: Any, *args: Any, **kwargs: Any) -> bool:
            return _speaks_http(model) and bool(should_stream(model, *args, **kwargs))

        base._generate_with_cache, base._agenerate_with_cache = served, aserved
        base._should_stream = streams  # a served answer comes as one chunk

    def _result(
        self, model: Any, messages: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Any] | None:
        """What the call comes to; None when the model has to answer itself."""
        if _speaks_http(model) or not self.redirect.token:
            return None
        rest = dict(kwargs)
        stop = args[0] if args else rest.pop("stop", None)
        rest.pop("run_manager", None)
        found = self._ask(_described(model, messages, stop, rest))
        if found is None:
            name = type(model).__name__
            self.log(name, "llm", "live", None, "a model without an interface of the gateway")
            return None
        if "error" in found:
            return lambda: fail(str(found["error"].get("type")), str(found["error"]["message"]))
        return lambda: _chat_result(found["reply"])

    def _ask(self, run: Run) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.redirect.port, timeout=_TIMEOUT_S
        )
        try:
            headers = {"x-refinery-token": self.redirect.token}
            body = json.dumps(encode_run(run), default=str).encode("utf-8", "replace")
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        return answer if response.status == 200 and isinstance(answer, dict) else None


def _speaks_http(model: Any) -> bool:
    """Whether a model's requests reach the gateway by themselves."""
    return any(cls.__module__.startswith(_BY_HTTP) for cls in type(model).__mro__)


def _described(model: Any, messages: Any, stop: Any, kwargs: dict[str, Any]) -> Run:
    """The call as the recorder writes it."""
    taker = Snapshot()
    params = model._get_invocation_params(stop=stop, **kwargs)
    about = model._get_ls_params(stop=stop, **kwargs)
    fields = _chat.model_fields(params, about, taker)
    return Run("call", "call", inputs=_chat.messages([messages], taker), **fields)


def _chat_result(reply: dict[str, Any]) -> Any:
    """The recorded reply as LangChain's result of one call."""
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    calls = [
        {
            "name": call["name"],
            "args": call["arguments"] if isinstance(call["arguments"], dict) else {},
            "id": call["call_id"],
            "type": "tool_call",
        }
        for call in reply["tool_calls"]
    ]
    message = AIMessage(
        content=reply["text"],
        tool_calls=calls,
        usage_metadata=_usage(reply["usage"]),
        response_metadata={"finish_reason": reply["finish_reason"], "model_name": reply["model"]},
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _usage(usage: dict[str, Any] | None) -> Any:
    if not usage or usage.get("input") is None or usage.get("output") is None:
        return None
    total = usage.get("total")
    return {
        "input_tokens": usage["input"],
        "output_tokens": usage["output"],
        "total_tokens": usage["input"] + usage["output"] if total is None else total,
    }
