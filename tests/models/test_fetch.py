"""Published weights from a local server that cuts, lies, redirects, stalls and serves pages."""

import dataclasses
import hashlib
import io
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from segcli.errors import UsageError
from segcli.models import checkpoint, download, fetch, kept_weights, registry
from segcli.plugin import Published

TOY = Path(__file__).resolve().parent.parent / "toy"
URL = "https://authors.example/files/margin.pth"


def toy_checkpoint() -> bytes:
    """What the authors of the toy publish; padded, so that there is something to cut."""
    file = io.BytesIO()
    torch.save({"margin": torch.tensor(0.125)}, file)
    return file.getvalue()


DATA = toy_checkpoint()
PUBLISHED = Published(
    url=URL,
    licence="MIT",
    source="their page",
    ap=12.5,
    size=len(DATA),
    sha256=hashlib.sha256(DATA).hexdigest(),
)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers each request with the next of `answers`, then with the file; `ranges` are asked."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.ranges.append(self.headers.get("Range"))
                assert self.path == "/authors.example/files/margin.pth"
                answer = server.answers.pop(0) if server.answers else whole
                answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http" if certificate is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self.http.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def send(
    handler: BaseHTTPRequestHandler, data: bytes, status: int = 200, **headers: object
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(data)


def whole(handler: BaseHTTPRequestHandler) -> None:
    """An honest server, which knows Range."""
    asked = handler.headers.get("Range")
    if asked is None:
        send(handler, DATA, Content_Length=len(DATA))
        return
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    part, place = DATA[start:], f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    send(handler, part, 206, Content_Length=len(part), Content_Range=place)


def cut(handler: BaseHTTPRequestHandler) -> None:
    send(handler, DATA[:500], Content_Length=len(DATA))


def ignorant(handler: BaseHTTPRequestHandler) -> None:
    """It has never heard of Range."""
    send(handler, DATA, Content_Length=len(DATA))


def redirect(to: str, **headers: object) -> Answer:
    return lambda handler: send(handler, b"", 302, Location=to, **headers)


def stall(handler: BaseHTTPRequestHandler) -> None:
    send(handler, DATA[:300], Content_Length=len(DATA))
    handler.wfile.flush()
    time.sleep(0.3)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server as the mirror; the toy family, whose weights it has, is installed without any."""
    running.answers, running.ranges = [], []
    monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", running.address)
    monkeypatch.setenv("SEGCLI_WEIGHTS", str(tmp_path / "kept"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.syspath_prepend(TOY)
    monkeypatch.setattr(registry, "_shipped", lambda plugin: {})
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    publish(monkeypatch, PUBLISHED)
    return running


def publish(monkeypatch: pytest.MonkeyPatch, published: Published | None, **changes) -> None:
    import segcli_toy

    named = {} if published is None else {"tiny": published}
    family = dataclasses.replace(segcli_toy.FAMILY, published=named, **changes)
    monkeypatch.setattr(segcli_toy, "FAMILY", family)


def fetched(*, accept_licence: bool = False) -> tuple[Path | None, list[str]]:
    notes: list[str] = []
    path = fetch.fetch(
        "toy", accept_licence=accept_licence, report=lambda done, total: None, note=notes.append
    )
    return path, notes


def assert_here(tmp_path: Path) -> None:
    _, state = checkpoint.load(tmp_path / "kept/toy/tiny.safetensors")
    assert state["margin"] == 0.125
    assert not list(tmp_path.glob("kept/toy/*.part"))


def test_fetched_weights_are_found_and_say_where_they_are_from(server, tmp_path) -> None:
    path, notes = fetched()
    assert path == tmp_path / "kept/toy/tiny.safetensors"
    assert notes[0].startswith(f"toy/tiny: fetching {server.address}/authors.example/files/")
    assert "licence: MIT" in notes[0]
    assert_here(tmp_path)
    header = checkpoint.read_metadata(path)
    assert header is not None
    assert (header["source"], header["source_url"]) == ("margin.pth", URL)
    assert (header["licence"], header["source_sha256"]) == ("MIT", PUBLISHED.sha256)
    assert registry.locate("toy", None).path == path
    assert fetched() == (None, [])
    assert len(server.ranges) == 1


def test_progress_is_reported_up_to_the_length(server) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch.fetch(
        "toy",
        accept_licence=False,
        report=lambda done, total: seen.append((done, total)),
        note=lambda text: None,
    )
    assert seen[-1] == (len(DATA), len(DATA))


@pytest.mark.parametrize("second", [whole, ignorant], ids=["range", "no range"])
def test_a_download_that_was_cut_continues(second, server, tmp_path) -> None:
    server.answers = [cut, second]
    fetched()
    assert server.ranges == [None, "bytes=500-"]
    assert_here(tmp_path)


def test_a_later_command_continues_as_well(server, tmp_path) -> None:
    server.answers = [cut] + [lambda handler: send(handler, b"", 503)] * 6
    with pytest.raises(UsageError, match="answers 503; run the same command again to continue"):
        fetched()
    assert (tmp_path / "kept/toy/tiny.part").stat().st_size == 500
    fetched()
    assert server.ranges[-1] == "bytes=500-"
    assert_here(tmp_path)


@pytest.mark.parametrize("there", [b"x" * 500, b"x" * 100_000], ids=["shorter", "longer"])
def test_the_rest_of_another_file_is_not_kept(there, server, tmp_path) -> None:
    part = tmp_path / "kept/toy/tiny.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(there)
    server.answers = [lambda handler: send(handler, b"", 416)] if len(there) > 500 else []
    fetched()
    assert_here(tmp_path)


def test_a_whole_part_of_unknown_length_is_not_fetched_again(server, tmp_path, monkeypatch) -> None:
    publish(monkeypatch, dataclasses.replace(PUBLISHED, size=None))
    part = tmp_path / "kept/toy/tiny.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA)
    nothing_more = {"Content_Range": f"bytes */{len(DATA)}"}
    server.answers = [lambda handler: send(handler, b"", 416, **nothing_more)]
    fetched()
    assert server.ranges == [f"bytes={len(DATA)}-"]
    assert_here(tmp_path)


def test_another_part_than_asked_for_is_refused(server, tmp_path) -> None:
    place = f"bytes 7-{len(DATA) - 1}/{len(DATA)}"
    server.answers = [cut, lambda handler: send(handler, DATA[7:], 206, Content_Range=place)]
    fetched()
    assert server.ranges == [None, "bytes=500-", None]
    assert_here(tmp_path)


def test_a_stalled_connection_counts_as_cut(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    server.answers = [stall]
    fetched()
    assert server.ranges == [None, "bytes=300-"]
    assert_here(tmp_path)


def test_without_a_checksum_nothing_is_continued(server, tmp_path, monkeypatch) -> None:
    publish(monkeypatch, dataclasses.replace(PUBLISHED, sha256=""))
    server.answers = [cut]
    fetched()
    assert server.ranges == [None, "bytes=500-", None]
    assert_here(tmp_path)


HTML = b"<!DOCTYPE html><title>Sign in</title>"
WRONG = {
    "another length": (
        lambda handler: send(handler, DATA[:99], Content_Length=99),
        f"has 99 bytes instead of {len(DATA):,}: it was replaced at its source",
    ),
    "more than stated": (
        lambda handler: send(handler, DATA + b"x"),
        f"sends more than the {len(DATA):,} bytes",
    ),
    "other content": (
        lambda handler: send(handler, b"x" * len(DATA), Content_Length=len(DATA)),
        "is not the expected file: its sha256 is",
    ),
    "a page": (
        lambda handler: send(handler, HTML, Content_Type="text/html; charset=utf-8"),
        "answers with a web page instead of a file",
    ),
    "a page that calls itself a file": (
        lambda handler: send(handler, HTML.ljust(len(DATA)), Content_Length=len(DATA)),
        "answers with a web page instead of a file",
    ),
    "nothing": (lambda handler: send(handler, b"", 404), "does not exist: the server answers 404"),
    "a file of this machine": (
        redirect("file:///etc/hosts"),
        "redirects, and not to a file over https: .*file:///etc/hosts",
    ),
    "a circle": (
        redirect("/authors.example/files/margin.pth"),
        "redirects, and not to a file over https",
    ),
    "ftp": (redirect("ftp://127.0.0.1/margin.pth"), "which is not https"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_not_the_file_is_refused_and_not_kept(kind, server, tmp_path) -> None:
    answer, message = WRONG[kind]
    server.answers = [answer] * 20
    with pytest.raises(UsageError, match=message):
        fetched()
    assert len(server.ranges) == 1 or kind == "a circle"
    assert not list((tmp_path / "kept").rglob("*.*"))


def test_https_is_never_left() -> None:
    import http.client
    import urllib.request

    handler = download._Redirects(False, download._Promise())
    request = urllib.request.Request(URL)
    for target in ("http://authors.example/margin.pth", "file:///etc/hosts", "ftp://x/y"):
        with pytest.raises(UsageError, match=f"{URL} redirects to {target}, which is not https"):
            handler.redirect_request(request, None, 302, "", http.client.HTTPMessage(), target)
    elsewhere = "https://cdn.example/1"
    found = handler.redirect_request(request, None, 302, "", http.client.HTTPMessage(), elsewhere)
    assert found is not None
    assert found.full_url == elsewhere


@pytest.fixture
def secure(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A second server, with a certificate that SSL_CERT_FILE names."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    words = [*command.split(), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(path), "-out", str(tmp_path / "public.pem")]
    subprocess.run([*words, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "public.pem").read_text())
    second = Server(path)
    monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", second.address)
    yield second
    second.close()


def test_https_is_used_and_never_left_for_http(secure, server, tmp_path, monkeypatch) -> None:
    with pytest.raises(UsageError, match=r"cannot reach https://127.0.0.1.*certificate verify"):
        fetched()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    there = f"{server.address}/authors.example/files/margin.pth"
    secure.answers = [redirect(there)]
    with pytest.raises(UsageError, match=f"redirects to {there}, which is not https"):
        fetched()
    assert server.ranges == []
    secure.answers = [redirect("/authors.example/files/margin.pth"), cut]
    fetched()
    assert secure.ranges == [None, None, None, "bytes=500-"]
    assert_here(tmp_path)


@pytest.mark.parametrize("honest", [True, False])
def test_the_hub_promises_length_and_checksum(honest, server, tmp_path, monkeypatch) -> None:
    publish(monkeypatch, dataclasses.replace(PUBLISHED, sha256="", size=None))
    known = PUBLISHED.sha256 if honest else "0" * 64
    promise = {"X-Linked-Size": len(DATA), "X-Linked-Etag": f'"{known}"'}
    again = f"{server.address}/authors.example/files/margin.pth"
    server.answers = [redirect(again, **promise), cut, redirect(again, **promise), whole] + [
        redirect(again, **promise),
        whole,
    ]
    if honest:
        fetched()
        assert server.ranges[-1] == "bytes=500-"
        assert_here(tmp_path)
    else:
        with pytest.raises(UsageError, match="its sha256 is"):
            fetched()
        assert not list((tmp_path / "kept").rglob("*.*"))


def test_a_prefix_of_a_checksum_is_compared(server, tmp_path, monkeypatch) -> None:
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    bare = dataclasses.replace(PUBLISHED, size=None)
    publish(monkeypatch, dataclasses.replace(bare, sha256="", md5="000000"))
    with pytest.raises(UsageError, match=f"its md5 is {md5}, not 000000..."):
        fetched()
    publish(monkeypatch, dataclasses.replace(bare, sha256=bare.sha256[:8], md5=md5[:6]))
    fetched()
    assert_here(tmp_path)


def test_a_server_that_is_not_there_is_named_at_once(server, monkeypatch) -> None:
    monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"cannot reach http://127.0.0.1:1/.*https_proxy or"):
        fetched()


def test_a_checkpoint_of_another_model_is_named(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(registry, "_fitting", lambda state: [])  # trying all takes 20 s
    file = io.BytesIO()
    torch.save({"weight": torch.tensor(0.125)}, file)
    other = file.getvalue()
    publish(monkeypatch, dataclasses.replace(PUBLISHED, size=None, sha256="", md5=""))
    server.answers = [lambda handler: send(handler, other, Content_Length=len(other))]
    with pytest.raises(UsageError, match=r"not a toy.*the download stays at .*tiny.part"):
        fetched()
    assert [kept.kind for kept in kept_weights.remove("toy")] == ["unfinished"]
    assert not list((tmp_path / "kept").rglob("*.*"))


def test_a_folder_can_be_the_mirror(server, tmp_path, monkeypatch) -> None:
    for base in (str(tmp_path / "mirror"), f"file://{tmp_path}/mirror"):
        monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", base)
        file = tmp_path / "mirror/authors.example/files/margin.pth"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * len(DATA))
        with pytest.raises(UsageError, match="margin.pth is not the expected file: its sha256"):
            fetched()
        file.unlink()
        with pytest.raises(UsageError, match=r"the mirror has no .*margin.pth: No such file"):
            fetched()
        file.write_bytes(DATA)
        fetched()
        assert_here(tmp_path)
        kept_weights.remove("toy")
    assert server.ranges == []
    monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", "ftp://mirror")
    with pytest.raises(UsageError, match="expected a folder, or an address with https or http"):
        fetched()


def test_two_at_once_fetch_one_file(server, tmp_path) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        began.set()
        goes_on.wait(10)
        whole(handler)

    server.answers = [slow]
    waits: list[str] = []

    def second() -> None:
        assert began.wait(10)

        def note(text: str) -> None:
            waits.append(text)
            goes_on.set()

        fetch.fetch("toy", accept_licence=False, report=lambda done, total: None, note=note)

    thread = threading.Thread(target=second)
    thread.start()
    fetched()
    thread.join(10)
    assert waits == ["waiting for another fetch of toy/tiny"]
    assert len(server.ranges) == 1
    assert_here(tmp_path)


def test_a_non_commercial_licence_has_to_be_accepted(server, tmp_path, monkeypatch) -> None:
    licence = {"licence": "CC BY-NC 4.0", "non_commercial": True}
    publish(monkeypatch, dataclasses.replace(PUBLISHED, **licence))
    expected = "'CC BY-NC 4.0': read it at their page, and if you accept it run `segcli weights"
    with pytest.raises(UsageError, match=expected):
        fetched()
    assert server.ranges == []
    fetched(accept_licence=True)
    assert_here(tmp_path)


def test_what_no_program_can_fetch_says_what_a_person_does(server, monkeypatch) -> None:
    page = {"url": "https://1drv.ms/u/1", "by_hand": "it is on OneDrive", "sha256": ""}
    publish(monkeypatch, dataclasses.replace(PUBLISHED, **page))
    expected = (
        "the weights of toy/tiny cannot be fetched automatically: it is on OneDrive. Open "
        "https://1drv.ms/u/1 in a browser, save the file, then run `segcli weights convert FILE "
        "--model toy/tiny`"
    )
    with pytest.raises(UsageError) as caught:
        fetched()
    assert str(caught.value) == expected
    assert caught.value.exit_code == 2
    publish(monkeypatch, None)
    with pytest.raises(UsageError, match="there are no published weights of toy/tiny: train it"):
        fetched()
    publish(monkeypatch, PUBLISHED, requires={"no_such_module": "pip install it"})
    with pytest.raises(UsageError, match="needs no_such_module, which is not installed: pip ins"):
        fetched()
    assert server.ranges == []


def test_nothing_is_fetched_unasked(server) -> None:
    with pytest.raises(UsageError, match="`segcli weights fetch toy/tiny` gets the published"):
        registry.locate("toy", None)
    assert server.ranges == []


def test_checks_find_what_has_changed(server, tmp_path) -> None:
    fetched()
    (kept,) = (k for k in kept_weights.kept_weights() if k.model == "toy/tiny")
    assert (kept.kind, kept.licence, kept.source) == ("fetched", "MIT", URL)
    assert kept_weights.problem_of(kept) is None
    data = kept.path.read_bytes()
    kept.path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "its tensors have changed" in str(kept_weights.problem_of(kept))
    kept.path.write_bytes(data + b"x")
    longer = dataclasses.replace(kept, size=len(data) + 1)
    assert f"{len(data) + 1:,} bytes instead of" in str(kept_weights.problem_of(longer))
    kept.path.write_bytes(b"nonsense")
    assert "no segcli weights" in str(kept_weights.problem_of(kept))


def test_no_torch_is_loaded_to_look() -> None:
    code = (
        "import sys; from segcli.cli import app\n"
        "try: app(['weights', 'list'])\n"
        "except SystemExit: pass\n"
        "print('loaded', sorted({'torch', 'numpy', 'pyarrow', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded []\n")
    assert "maskrcnn/lite2" in done.stdout


def test_a_mirror_with_a_password_is_refused_without_naming_it(monkeypatch) -> None:
    monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", "https://me:hunter2@mirror.example/")
    with pytest.raises(UsageError, match="not supported") as refused:
        fetch.mirrored("https://their.page/large.pth")
    assert "hunter2" not in str(refused.value)
