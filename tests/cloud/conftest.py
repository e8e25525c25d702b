"""An S3 server (moto) whose answers can be disturbed, and a web server with odd answers."""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segcli.api import read
from segcli.cloud import objects
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Summary
from segcli.store import Output, Settings, lease, open_output
from segcli.types import Record, Sample, Segment

TOY = Path(__file__).resolve().parent.parent / "toy"
sys.path.insert(0, str(TOY))
import toy_data  # noqa: E402
import toy_worker  # noqa: E402, F401  the tests here import it by name

sys.path.remove(str(TOY))

SECRET = "a-very-secret-key"
Fault = Callable[[str, str], str | None]
"""fault(method, path) -> "503", "403", "slow down" (503), "lose" (do it, then 503) or None."""


@dataclass
class Store:
    """The server: `faults` are asked in turn, `requests` are what it was asked, as "GET /b/k"."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=count)

    def bucket(self) -> str:
        """The URL of a new bucket."""
        import urllib.request

        name = f"bucket-{next(self.names)}"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT"))
        return f"s3://{name}"

    def fail(self, method: str, part: str, what: str, times: int = 1) -> None:
        """The next `times` requests of this method whose path has `part` meet a fault."""
        left = [times]

        def fault(asked: str, path: str) -> str | None:
            if left[0] and asked == method and part in path:
                left[0] -= 1
                return what
            return None

        self.faults.append(fault)


class Disturbed:
    """The application of a Store: one change at a time, as S3 makes them, and faults."""

    def __init__(self, app: Any, store: Store) -> None:
        self.app, self.store, self.changing = app, store, threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.store.requests.append(f"{method} {path}")
        what = next(filter(None, (fault(method, path) for fault in self.store.faults)), None)
        if what is None or what == "lose":
            # moto looks at a condition and changes the object in two steps.
            with self.changing:
                answer = list(self.app(environ, start if what is None else lambda *_: None))
            if what is None:
                return answer
        code = "SlowDown" if what == "slow down" else "InternalError"
        status = f"{what} Disturbed" if what.isdecimal() else "503 Service Unavailable"
        body = f"<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>".encode()
        if what != "lose":  # else the application has read it
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
        return [body]


@pytest.fixture(scope="session")
def server() -> Iterator[Store]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = Store()
    app = Disturbed(DomainDispatcherApplication(create_backend_app), store)
    served = make_server("127.0.0.1", 0, app, threaded=True)
    store.url = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield store
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The S3 server, found by the environment as a user's is."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
    }.items():
        monkeypatch.setenv(name, value)
    impatient(monkeypatch)
    yield server
    server.faults.clear()
    server.requests.clear()
    objects.store_at.cache_clear()


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries after milliseconds, and three at most."""
    from datetime import timedelta

    backoff = {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(seconds=1)}
    monkeypatch.setitem(objects.RETRIES, "backoff", {**backoff, "base": 2})
    monkeypatch.setitem(objects.RETRIES, "max_retries", 3)
    objects.store_at.cache_clear()
    objects._exactly_at.cache_clear()


CATEGORIES = (("person", "car"), (1, 3))


@pytest.fixture
def out(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new output whose lease expires soon."""
    monkeypatch.setattr(lease, "LEASE_S", 1.2)
    monkeypatch.setattr("segcli.cloud.writing._PAUSE_S", 0.01)
    return f"{store.bucket()}/runs/m.parquet"


def opened(out: str, **options: Any) -> Output:
    return open_output(
        Path(out), Settings({"source_root": "/a"}, {}), carried={}, categories=CATEGORIES, **options
    )


def record(key: str, size: int = 1) -> Record:
    """The row of an image with one mask."""
    sample = Sample(key, f"/a/{key}", size_bytes=size, mtime_ns=1)
    return Record(sample, 4, 4, segments=(Segment(0, 0.5, (0, 0, 1, 4), 4, b"04<"),))


def images(out: str) -> list[str]:
    """The keys of an output."""
    return sorted(row["key"] for row in read(out).images())


def run(source: str | Path, out: str | Path, **options: Any) -> Summary:
    """`predict` with the toy model, in this process."""
    given = {"model": "toy", "device": "cpu", "precision": "float32", "workers": 2, "replicas": 0}
    wanted = PredictOptions(source=str(source), out=Path(out), **(given | options))
    return predict(wanted, report=[].append)


def die(output: Output) -> None:
    """As if its process had been stopped or killed: it renews nothing and releases nothing."""
    assert output._lock is not None
    held = output._lock.lease
    assert held is not None
    held._ended.set()
    held._thread.join()


def png(seed: int) -> bytes:
    file = BytesIO()
    Image.fromarray(toy_data.picture(seed)).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _toy_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOY)


@dataclass
class Web:
    """A web server: `pages` path with query -> what a handler does; `asked` are the paths."""

    url: str = ""
    pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    impatient(monkeypatch)
    found = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            found.asked.append(self.path)
            page = found.pages.get(self.path)
            if page is None:
                send(self, 404)
            else:
                page(self)

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    found.url = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield found
    served.shutdown()
    served.server_close()
    thread.join()
    objects.store_at.cache_clear()
    objects._exactly_at.cache_clear()


def send(
    handler: BaseHTTPRequestHandler, status: int = 200, body: bytes = b"", **headers: str
) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
