"""LangChain chat clients made from explicit settings only."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from refinery.errors import CredentialsError, InputError

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"
_DEFAULT_URLS = {"openai": OPENAI_URL, "anthropic": ANTHROPIC_URL}
_FOREIGN = ("OPENAI_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_")
_environment_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Client:
    """A chat client and the exceptions its library raises."""

    chat: Any
    """A LangChain `BaseChatModel`."""
    vendor_errors: tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call."""

    timeout_s: float
    output_tokens: int
    temperature: float | None = None
    """None: not sent."""


def split_spec(spec: str) -> tuple[str, str]:
    """Provider and model of `provider:model`.

    Raises:
        InputError: there is no provider, or it is not one of ours.
    """
    provider, _, model = spec.partition(":")
    if provider in _DEFAULT_URLS and model:
        return provider, model
    raise InputError(
        f"model {spec!r} must be openai:<model> or anthropic:<model>",
        hint="for any server that speaks the OpenAI API: openai:<model> and "
        "REFINERY_MODEL_BASE_URL",
    )


def make_client(spec: str, base_url: str | None, api_key: str | None, limits: Limits) -> Client:
    """A client that talks to `base_url` (default: the vendor's) with `api_key`, nothing else.

    Raises:
        InputError: the spec or the base URL is not usable.
        CredentialsError: a vendor's own endpoint was named without a key.
    """
    provider, model = split_spec(spec)
    url = _endpoint(provider, base_url)
    if not api_key and urlsplit(url).hostname == urlsplit(_DEFAULT_URLS[provider]).hostname:
        raise CredentialsError(
            f"{spec} needs a key, and keys of the agent are never used for the analysis",
            hint="set REFINERY_MODEL_API_KEY",
        )
    from langchain.chat_models import init_chat_model

    errors = _vendor_errors(provider)
    is_other_server = provider == "openai" and base_url is not None
    options: dict[str, Any] = {"use_responses_api": False} if is_other_server else {}
    if limits.temperature is not None:
        options["temperature"] = limits.temperature
    with _without_foreign_variables():
        chat = init_chat_model(
            model,
            model_provider=provider,
            base_url=url,
            api_key=api_key or "no-key",
            timeout=limits.timeout_s,
            max_tokens=limits.output_tokens,
            max_retries=0,  # the router retries, so that every attempt passes the budget
            **options,
        )
        _ = getattr(chat, "_client", None)  # made on first use, which would be too late
    return Client(chat, errors)


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _endpoint(provider: str, base_url: str | None) -> str:
    if base_url is None:
        return _DEFAULT_URLS[provider]
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"base URL {base_url!r} is not an http(s) URL",
            hint="REFINERY_MODEL_BASE_URL looks like http://127.0.0.1:8000/v1",
        )
    trimmed = base_url.rstrip("/")
    # Anthropic's library adds /v1 itself; people paste either form.
    return trimmed.removesuffix("/v1") if provider == "anthropic" else trimmed


def _vendor_errors(provider: str) -> tuple[type[Exception], ...]:
    if provider == "openai":
        import langchain_openai.chat_models.base
        import openai

        refusal = langchain_openai.chat_models.base.OpenAIRefusalError
        return (openai.OpenAIError, refusal)
    import anthropic
    import langchain_anthropic  # noqa: F401  # imported here, outside the changed environment

    return (anthropic.AnthropicError,)


@contextmanager
def _without_foreign_variables() -> Iterator[None]:
    """Hide the agent's variables while the libraries read their defaults.

    The libraries take organisation, project, proxy, custom headers and gateway from the
    environment even when key and base URL are given, and offer no switch against it.
    """
    with _environment_lock:
        hidden = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith(_FOREIGN)}
        try:
            yield
        finally:
            os.environ.update(hidden)
