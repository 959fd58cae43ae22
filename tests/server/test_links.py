"""Links to attachments open without the API key, for a while, and only theirs."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from refinery.server.config import ServeSettings
from tests.server.serving import serving

pytestmark = pytest.mark.slow

KEY = {"x-api-key": "the key"}
RUN = str(uuid.uuid4())
NAME = "a b/ü.png"


def body() -> tuple[bytes, dict[str, str]]:
    main = f'{{"id": "{RUN}", "trace_id": "{RUN}", "name": "x", "run_type": "llm"}}'.encode()
    parts = (
        (f"post.{RUN}", b"application/json", main),
        (f"attachment.{RUN}.{NAME}", b"image/png", b"\x89PNG"),
    )
    written = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\nContent-Type: %b\r\n\r\n%b\r\n'
        % (name.encode(), kind, content)
        for name, kind, content in parts
    )
    return written + b"--b--\r\n", {**KEY, "content-type": "multipart/form-data; boundary=b"}


def test_a_link_opens_its_attachment_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServeSettings(store="", api_key="the key")
    with serving(tmp_path / "traces.db", settings) as served, httpx.Client(timeout=30) as client:
        content, headers = body()
        sent = client.post(f"{served.url}/runs/multipart", content=content, headers=headers)
        assert sent.status_code == 202
        run: dict[str, Any] = client.get(f"{served.url}/runs/{RUN}", headers=KEY).json()
        (link,) = (entry["presigned_url"] for entry in run["s3_urls"].values())
        plain, _, asked = link.partition("?")

        assert client.get(link).content == b"\x89PNG"
        assert client.get(plain).status_code == 401
        assert client.get(f"{served.url}/runs/{RUN}?{asked}").status_code == 401
        assert client.get(f"{plain}x?{asked}").status_code == 401
        assert client.get(link.replace("expires=", "expires=9")).status_code == 401
        assert client.get(f"{plain}?expires=%F0&signature=x").status_code == 401
        assert client.delete(link).status_code == 401
        monkeypatch.setattr("refinery.clock.now_ns", lambda: 10**19)
        assert client.get(link).status_code == 401
