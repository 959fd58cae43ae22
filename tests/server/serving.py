"""The real collector on a free loopback port, for tests."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from refinery.ports import Store
from refinery.server.app import create_app
from refinery.server.config import ServeSettings
from refinery.server.running import uvicorn_config


@dataclass(frozen=True, slots=True)
class Served:
    """A running collector."""

    url: str
    store: Store
    app: FastAPI


@contextmanager
def serving(store_path: Path, settings: ServeSettings | None = None) -> Iterator[Served]:
    """Serve the real application under uvicorn in a thread; stops it at the end."""
    settings = replace(settings or ServeSettings(store=""), store=str(store_path), port=0)
    settings = replace(settings, home=settings.home or store_path.parent / "state")
    app = create_app(settings)
    server = uvicorn.Server(uvicorn_config(app, settings))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # older uvicorn
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", app.state.store, app)
    finally:
        server.should_exit = True
        thread.join(30)
