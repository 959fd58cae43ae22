"""The command fetch with the services it can ask."""

import pytest

from tests.adapters.remote_samples import (
    FAILED,
    TRACE,
    phoenix_failure,
    phoenix_llm,
    phoenix_span,
)
from tests.cli.calling import call
from tests.fakes.trace_servers import JsonServer, Phoenix


def test_fetch_from_a_named_service(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = [phoenix_failure(), phoenix_llm(), phoenix_span()]
    with JsonServer(Phoenix(spans)).running() as server:
        monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", server.url)
        everything = call("fetch", "--from", "phoenix", "--project", "shop", "--all", "--json")
        failed = call("fetch", "--from", "phoenix", "--project", "shop", "--failed")
        by_address = call("fetch", f"{server.url}/projects/UDI=/traces/{TRACE}", "--json")

    assert [item["errors"] for item in everything.json["traces"]] == [1, 0]
    assert failed.code == 0
    assert FAILED[:8] in failed.stdout
    (one,) = by_address.json["traces"]
    assert (one["source"], one["project"], one["runs"], one["new_runs"]) == (
        "phoenix",
        "shop",
        2,
        0,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--failed", "--all"], 2, "name one trace"),
        (["--from", "langfuse", "--all"], 4, "no keys of Langfuse"),
        (["--from", "nothing", "--all"], 2, "no adapters plug-in"),
        (["--from", "phoenix", "--url", "ftp://x", "--all"], 2, "not the address"),
        (["--from", "phoenix", "--url", "http://127.0.0.1:1", "--all"], 2, "cannot be reached"),
    ],
)
def test_what_cannot_be_fetched_is_said(arguments: list[str], code: int, words: str) -> None:
    called = call("fetch", *arguments)

    assert called.code == code
    assert words in called.stderr
    assert "hint:" in called.stderr
