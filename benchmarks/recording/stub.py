"""A collector that counts what it is sent: bytes of bodies, and runs told in `X-Runs`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stub(BaseHTTPRequestHandler):
    """Answers everything with 200; `GET /counted` tells, and begins to count anew."""

    protocol_version = "HTTP/1.1"
    counted = {"bytes": 0, "runs": 0}  # noqa: RUF012  # one server, one count

    def do_GET(self) -> None:
        """Tell what came, or that all is well."""
        body = b"{}"
        if self.path == "/counted":
            body = json.dumps(Stub.counted).encode()
            Stub.counted = {"bytes": 0, "runs": 0}
        self._answer(body)

    def do_POST(self) -> None:
        """Read and count a body."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            size = self._read_chunks()
        else:
            size = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        Stub.counted["bytes"] += size
        Stub.counted["runs"] += int(self.headers.get("X-Runs") or 0)
        self._answer(b"{}")

    do_PATCH = do_PUT = do_POST  # noqa: N815  # names http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _read_chunks(self) -> int:
        size = 0
        while chunk := int(self.rfile.readline() or b"0", 16):
            size += len(self.rfile.read(chunk))
            self.rfile.readline()
        self.rfile.readline()
        return size

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = True
    sys.stdout.write(f"127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
