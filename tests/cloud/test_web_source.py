"""Runs over lists of URLs, with a server that answers all that servers answer."""

import re
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cloud.conftest import SECRET, Web, png, run, send
from toy_data import keys

from segcli.cloud import objects
from segcli.errors import UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import ImageFailed
from segcli.sources import open_source, read
from segcli.store import read_settings
from segcli.viz import VizOptions, visualise


def cut(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, png(0)[:40], Content_Length="4000")
    handler.close_connection = True


def slow(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.8)
    handler.close_connection = True


def chunked(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    data = png(2)
    handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))


def test_a_list_of_urls(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects.CLIENT, "read_timeout", timedelta(seconds=0.5))
    monkeypatch.setitem(objects.RETRIES, "max_retries", 1)
    good = {"/a%20b.png": png(0), f"/i?id=7&token={SECRET}": png(1)}
    web.pages = {
        **{path: lambda h, data=data: send(h, 200, data) for path, data in good.items()},
        "/moved.png": lambda h: send(h, 302, Location="/a%20b.png"),
        "/streamed.png": chunked,
        "/cut.png": cut,
        "/slow.png": slow,
        "/forbidden.png": lambda h: send(h, 403, SECRET.encode()),
        "/page.png": lambda h: send(h, 200, b"<html>", Content_Type="text/html; charset=utf-8"),
        "/down.png": lambda h: send(h, 503),
    }
    paths = [*web.pages, "/gone.png"]
    (tmp_path / "urls.txt").write_text("".join(f"{web.url}{path}\n" for path in paths))
    (tmp_path / "here.png").write_bytes(png(3))
    with (tmp_path / "urls.txt").open("a") as file:
        file.write("here.png\n")
    out, told = tmp_path / "m.parquet", list[Any]()
    options: dict[str, Any] = {
        "model": "toy",
        "device": "cpu",
        "precision": "float32",
        "replicas": 0,
    }
    source = str(tmp_path / "urls.txt")
    options["command_line"] = ("predict", f"{web.url}/x?sig={SECRET}")
    summary = predict(PredictOptions(source=source, out=out, **options), report=told.append)
    assert read_settings(out)["command"] == ["segcli", "predict", f"{web.url}/x"]
    assert (summary.images, summary.failed) == (11, 6)
    reasons = {e.key.removeprefix(web.url): e.reason for e in told if isinstance(e, ImageFailed)}
    assert "connection broke before the end" in reasons["/cut.png"]
    assert re.search("no answer|not answer in time", reasons["/slow.png"])
    assert "403" in reasons["/forbidden.png"]
    assert "web page (text/html) instead of an image" in reasons["/page.png"]
    assert "the server answered 503 Service Unavailable, after 1 retries" in reasons["/down.png"]
    assert "it does not exist (404 Not Found)" in reasons["/gone.png"]
    assert f"{web.url}/i?id=7" in keys(out)
    assert web.asked.count("/cut.png") > 1
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in out.iterdir())
    assert SECRET not in repr(told)
    web.asked.clear()
    assert run(tmp_path / "urls.txt", out).images == 0
    assert web.asked == []


def test_one_url(web: Web, tmp_path: Path) -> None:
    web.pages = {"/x/a%20b.png": lambda h: send(h, 200, png(0))}
    out = tmp_path / "m.parquet"
    run(f"{web.url}/x/a%20b.png", out)
    assert keys(out) == ["a b.png"]
    drawn = visualise(VizOptions(masks=out, out=tmp_path / "viz", min_score=0.0), report=[].append)
    assert (drawn.pictures, len(drawn.skipped)) == (1, 0), drawn.skipped


def test_a_list_on_a_server(web: Web) -> None:
    lines = f"a.png\n\n{web.url}/b.png?sig=1&se=2\n/c.png\n"
    web.pages = {"/x/list.txt": lambda h: send(h, 200, lines.encode())}
    samples = list(open_source(f"{web.url}/x/list.txt"))
    assert [s.key for s in samples] == ["a.png", f"{web.url}/b.png", "/c.png"]
    assert [s.path.removeprefix(web.url) for s in samples] == [
        "/x/a.png",
        "/b.png?sig=1&se=2",
        "/c.png",
    ]
    with pytest.raises(UsageError, match="cannot read the list .*404"):
        open_source(f"{web.url}/y/list.txt")


def test_a_name_and_a_password_reach_the_server_and_nothing_else(web: Web) -> None:
    seen = []

    def page(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization", ""))
        send(handler, 200, b"x")

    web.pages = {"/a.png": page}
    source = open_source(web.url.replace("://", f"://user:{SECRET}@") + "/a.png")
    (sample,) = source
    assert read(sample) == b"x"
    assert seen[0].startswith("Basic ")
    assert (source.root, sample.key) == (web.url, "a.png")
