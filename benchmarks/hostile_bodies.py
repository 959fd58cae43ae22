"""Sends damaged and hostile bodies to every endpoint of the collector and counts the answers.

`python -m benchmarks.hostile_bodies [COUNT]` (default 1,000 an endpoint). A crash, a status of 500
or above, an answer without a reason, or one that takes longer than 10 s is a failure.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import zstandard

from tests.server.bodies import catching, record
from tests.server.mutations import endpoints, mutated, send
from tests.server.serving import serving


def main() -> int:
    """Print a line an endpoint; returns the number of failures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with catching() as catcher:
        record(catcher.url)
    caught = catcher.posts()[0]
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(caught.body)
    failures = 0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "traces.db") as served:
        for endpoint in endpoints(plain, caught.headers["content-type"]):
            statuses: Counter[int] = Counter()
            slowest_s = 0.0
            for headers, body in mutated(endpoint, seed=1, count=count):
                start = time.perf_counter()
                status, answer = send(served.url, endpoint, headers, body)
                slowest_s = max(slowest_s, time.perf_counter() - start)
                statuses[status] += 1
                if status >= 500 or (status >= 400 and not answer) or slowest_s > 10:
                    failures += 1
                    print("FAILED", endpoint.name, status, answer[:300], body[:200])
            told = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
            print(f"{endpoint.name:12} {told}; slowest {slowest_s * 1000:.0f} ms")
        for run in served.store.find_runs(_all()).runs:
            served.store.get_trace(run.run.trace_id)
        print(f"stored {served.store.stats()['runs']} runs; {failures} failures")
    return failures


def _all() -> object:
    from refinery.ports import RunFilter

    return RunFilter(limit=500)


if __name__ == "__main__":
    sys.exit(min(1, main()))
