"""Listing a bucket of a million objects: seconds, and the memory of the process that lists.

A server of this machine answers as S3 does, in pages of 1,000 keys, without a bucket behind it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

KEYS = 1_000_000
PAGE = 1000
_ENTRY = (
    "<Contents><Key>archive/cam{0:03d}/2026-11-27/{1:09d}.jpg</Key>"
    "<LastModified>2026-11-27T03:04:05.000Z</LastModified>"
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>{2}</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


def main() -> dict[str, float]:
    """The figures."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        port = ours.recv()
        with context.Pool(1) as pool:  # a process of its own, whose peak is that of the listing
            seconds, cpu_s, megabytes, keys = pool.apply(_list, (port,))
    finally:
        server.kill()
        server.join()
    assert keys == KEYS
    return {
        "list a bucket, s per 1,000,000 keys": seconds,
        "list a bucket, s of a core per 1,000,000 keys": cpu_s,
        "list a bucket, MB of the process at its peak": megabytes,
    }


def _list(port: int) -> tuple[float, float, float, int]:
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "us-east-1",
    }
    from segcli.sources import open_source

    source = open_source("s3://bucket/archive")
    started, cpu = time.perf_counter(), time.process_time()
    keys = sum(1 for _ in source)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return seconds, cpu_s, _peak_mb(), keys


def _serve(port: Connection) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Bucket)
    port.send(server.server_port)
    server.serve_forever()


class _Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        first = int(query.get("continuation-token", ["0"])[0])
        after = min(first + PAGE, KEYS)
        entries = "".join(
            _ENTRY.format(i * 1000 // KEYS, i, 100_000 + i) for i in range(first, after)
        )
        more = f"<NextContinuationToken>{after}</NextContinuationToken>" if after < KEYS else ""
        body = (
            f"<ListBucketResult><Name>bucket</Name><IsTruncated>{str(after < KEYS).lower()}"
            f"</IsTruncated>{more}{entries}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _peak_mb() -> float:
    """Of this process alone: ru_maxrss would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name}: {value:.3g}")
