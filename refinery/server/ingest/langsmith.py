"""LangSmith's ingest API (SDK 0.14; v1 of the service): what its clients send, and `/info`."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refinery.server.answers import to_json

INFO = {
    "version": "0.18.0",
    "license_expiration_time": None,
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
    },
    "instance_flags": {
        "zstd_compression_enabled": True,
        "gzip_body_enabled": True,
        "ch_query_enabled": True,
        "sdb_query_enabled": False,
    },
}
"""Makes clients send multipart bodies, compressed. They index some keys without a default, and
warn about v2 reads below version 0.16 (SDK 0.14, `client.py`)."""


async def read_info(request: Request) -> Response:
    """What this server can do."""
    return to_json(INFO)


ROUTES = (Route("/info", read_info, methods=["GET"]),)
