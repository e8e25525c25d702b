"""Runs over a bucket: listed once, fetched, resumed, and honest about what it does not get."""

import builtins
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import obstore
import pytest
from cloud.conftest import SECRET, Store, Web, png, run, send
from toy_data import keys, rows
from video.numbered import write_clip

from segcli.cloud.objects import store_at
from segcli.errors import ExitCode, UsageError
from segcli.manifest import make_manifest
from segcli.report import ReportOptions, write_report
from segcli.sources import Source, Wanted, archive, open_source
from segcli.store import read_roots
from segcli.video.every import parse_every
from segcli.viz import VizOptions, visualise


def errors(out: Path) -> dict[str, str]:
    import duckdb

    found = duckdb.sql(f"SELECT key, error FROM '{out}/*.parquet' WHERE error IS NOT NULL")
    return dict(found.fetchall())


def put(url: str, **files: bytes) -> None:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    for name, data in files.items():
        obstore.put(store_at(f"s3://{bucket}"), f"{prefix}/{name}" if prefix else name, data)


@pytest.fixture
def images(store: Store) -> str:
    """A bucket's folder of five images, one of them with an odd name, and what is no image."""
    url = f"{store.bucket()}/archive"
    put(url, **{f"cam{i % 2}/{i}.png": png(i) for i in range(4)})
    put(url, **{"ä b#100%25.png": png(4), "notes.txt": b"", ".hidden/x.png": b""})
    put(url, **{"@eaDir/x.png": b""})
    put(url + "-2", **{"other.png": b""})
    return url


NAMES = ["cam0/0.png", "cam0/2.png", "cam1/1.png", "cam1/3.png", "ä b#100%25.png"]


def test_rows_are_those_of_the_images_in_a_folder(images: str, tmp_path: Path) -> None:
    for number, name in enumerate(["cam0/0", "cam1/1", "cam0/2", "cam1/3", "ä b#100%25"]):
        path = tmp_path / f"images/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    plain, remote = tmp_path / "plain.parquet", tmp_path / "remote.parquet"
    run(tmp_path / "images", plain)
    assert run(images, remote, limit=2, chunk_size=1).images == 2
    assert run(images, remote).images == 3
    assert keys(remote) == NAMES
    assert read_roots(remote) == {"": [images]}

    def masks(out: Path) -> list[tuple[Any, ...]]:
        return [(row[0], *row[-8:]) for row in rows(out)]

    assert masks(remote) == masks(plain)
    put(images, **{"cam0/0.png": png(7), "cam0/9.png": png(9)})
    again = run(images, remote)
    assert (again.images, again.redone, again.earlier) == (2, 1, 4)


def test_viz_and_report_fetch_the_pictures_of_their_rows(
    store: Store, images: str, tmp_path: Path
) -> None:
    out = tmp_path / "m.parquet"
    run(images, out)
    store.requests.clear()
    drawn = visualise(
        VizOptions(masks=out, out=tmp_path / "viz", min_score=0.0, key="cam*"), report=[].append
    )
    assert (drawn.pictures, len(drawn.skipped)) == (4, 0), drawn.skipped
    assert not any("list-type" in line or line.endswith("/x.png") for line in store.requests)
    written = write_report(ReportOptions(masks=out, out=tmp_path / "r.html"), report=[].append)
    assert (written.cards, len(written.skipped)) == (5, 0)


def test_files_are_chosen_and_left_out(images: str) -> None:
    assert [s.key for s in open_source(images)] == NAMES
    source = open_source(images, wanted=Wanted(exclude=("cam1/*", "*#*")))
    assert [s.key for s in source] == ["cam0/0.png", "cam0/2.png"]
    assert [s.key for s in open_source(images, all_folders=True)] == ["@eaDir/x.png", *NAMES]
    source = open_source(images)
    assert [s.key for s in source.only(lambda key: "3" in key)] == ["cam1/3.png"]
    assert source.left_out == {f"{images}/@eaDir/"}
    with pytest.raises(UsageError, match="no image in 's3://.*older_than"):
        open_source(images, wanted=Wanted(older_than=3600))
    one = open_source(f"{images}/cam0/2.png", key_prefix="x")
    assert [(s.key, s.size_bytes) for s in one] == [("x/cam0/2.png"[:2] + "2.png", len(png(2)))]


def test_what_cannot_be_fetched_is_a_row_with_its_reason(
    store: Store, images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(images, **{"clip.mp4": b"0" * 600, "shard.tar": b"0" * 600})
    listed = [*open_source(images, every=parse_every("1s"))]
    monkeypatch.setattr(
        "segcli.pipeline.run.open_sources", lambda *_, **__: Source(images, lambda: iter(listed))
    )
    obstore.delete(store_at(images.rpartition("/")[0]), "archive/cam0/0.png")
    store.fail("GET", "cam0/2.png", "403")
    store.fail("GET", "cam1/1.png", "500", times=99)
    store.fail("GET", "cam1/3.png", "slow down", times=2)
    out = tmp_path / "m.parquet"
    assert run(images, out).failed == 5
    found = errors(out)
    assert found["cam0/0.png"] == "the object has vanished since it was listed"
    assert "the server forbids it (403" in found["cam0/2.png"]
    assert "the server answered 500" in found["cam1/1.png"]
    assert "after 3 retries" in found["cam1/1.png"]
    assert "not a readable video" in found["clip.mp4"]
    assert "the archive cannot be read to its end" in found["shard.tar"]
    text = b"".join(path.read_bytes() for path in out.iterdir()) + repr(found).encode()
    assert SECRET.encode() not in text
    assert b"127.0.0.1" not in text


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_archives_are_read_in_place(store: Store, kind: str, tmp_path: Path) -> None:
    url, file = store.bucket(), BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for number in range(4):
                packed.writestr(f"x/{number}.png", png(number))
            packed.writestr("pad", os.urandom(1 << 20))
    else:
        with tarfile.open(fileobj=file, mode=f"w:{kind[4:]}") as tar:
            for number in range(4):
                entry = tarfile.TarInfo(f"x/{number}.png")
                entry.size = len(png(number))
                tar.addfile(entry, BytesIO(png(number)))
    put(url, **{f"a/b.{kind}": file.getvalue(), "0.png": png(0)})
    out = tmp_path / "m.parquet"
    assert run(url, out, limit=2, chunk_size=2).images == 2
    store.requests.clear()
    assert (run(url, out).failed, keys(out)) == (
        0,
        ["0.png", *(f"a/b.{kind}/x/{number}.png" for number in range(4))],
    )
    if kind == "zip":  # its directory at the end, and a block with all images
        assert len([line for line in store.requests if line.endswith(".zip")]) < 9
    drawn = visualise(VizOptions(masks=out, out=tmp_path / "viz", min_score=0.0), report=[].append)
    assert (drawn.pictures, len(drawn.skipped)) == (5, 0), drawn.skipped
    store.requests.clear()
    assert run(url, out).images == 0
    assert not [line for line in store.requests if kind in line], "the archive is done"


def test_an_archive_whose_listing_broke_off_is_listed_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, file, out = store.bucket(), BytesIO(), tmp_path / "m.parquet"
    with zipfile.ZipFile(file, "w") as packed:
        for number in range(3):
            packed.writestr(f"{number}.png", png(number))
    put(url, **{"b.zip": file.getvalue()})
    members = archive._members

    def broken(path: str, sidecars: bool = False) -> Iterator[Any]:
        yield next(members(path, sidecars))
        raise OSError("the server answered 503")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_members", broken)
        assert (run(url, out).failed, keys(out)) == (1, ["b.zip", "b.zip/0.png"])
    assert run(url, out).images == 2
    assert keys(out) == ["b.zip", *(f"b.zip/{number}.png" for number in range(3))]


def test_videos_are_read_in_place(store: Store, tmp_path: Path) -> None:
    url, clip = store.bucket(), write_clip(tmp_path / "a.mp4", codec="libx264", b_frames=2)
    put(
        url,
        **{"a.mp4": clip.read_bytes(), "cam/b.mkv": write_clip(tmp_path / "b.mkv").read_bytes()},
    )
    plain, remote = tmp_path / "plain.parquet", tmp_path / "remote.parquet"
    run(clip, plain)
    assert run(url, remote, limit=8, chunk_size=4).images == 8
    assert run(url, remote).images == 4
    assert [key for key in keys(remote) if key.startswith("a")] == keys(plain)
    assert [row[-8:] for row in rows(remote)][:6] == [row[-8:] for row in rows(plain)]
    video = tmp_path / "drawn"
    drawn = visualise(VizOptions(masks=remote, video=video, min_score=0.0), report=[].append)
    assert (drawn.pictures, len(drawn.skipped)) == (12, 0), drawn.skipped


def test_a_store_that_cannot_be_listed_is_a_usage_error(store: Store, images: str) -> None:
    with pytest.raises(UsageError, match="cannot list s3://nobody: there is no such bucket"):
        open_source("s3://nobody")
    with pytest.raises(UsageError, match="no image below s3://bucket.*/nothing"):
        open_source(f"{images}/nothing")
    store.fail("GET", images.split("/")[2], "403", times=9)
    with pytest.raises(UsageError, match="cannot list .*forbids it .403.*credentials") as caught:
        open_source(images)
    assert SECRET not in str(caught.value)


def test_a_manifest_of_a_bucket_is_a_source(images: str, tmp_path: Path) -> None:
    manifest, out = tmp_path / "manifest.parquet", tmp_path / "m.parquet"
    assert make_manifest(images, manifest).images == 5
    assert run(manifest, out).failed == 0
    assert keys(out) == [f"{images}/{name}" for name in NAMES]


def test_many_requests_are_on_their_way_at_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    url = store.bucket()
    put(url, **{f"{i}.png": png(i) for i in range(8)})
    together = threading.Barrier(8, timeout=20)

    def wait(method: str, path: str) -> None:
        if method == "GET" and path.endswith(".png"):
            together.wait()  # breaks unless all eight are asked for before one is answered

    store.faults.append(wait)
    assert run(url, tmp_path / "m.parquet", workers=1).failed == 0


def test_without_obstore_the_command_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real: Callable[..., Any] = builtins.__import__

    def absent(name: str, *args: Any) -> Any:
        if name.partition(".")[0] in ("obstore", "huggingface_hub"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"s3:// needs obstore.*pip install 'segcli\[cloud\]'"):
        open_source("s3://bucket/x")
    with pytest.raises(UsageError, match="hf:// needs huggingface_hub.*pip install") as caught:
        open_source("hf://datasets/owner/name")
    assert caught.value.exit_code == ExitCode.USAGE


def manifest_bytes(**columns: list[Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=2)
    return file.getvalue()


def test_a_manifest_in_a_bucket_is_a_source(images: str, tmp_path: Path, store: Store) -> None:
    names = ["archive/cam0/0.png", f"{images}/cam1/1.png", "archive/gone.png"]
    root = images.removesuffix("/archive")
    put(root, **{"m.parquet": manifest_bytes(path=names, site=["n", "s", "n"])})
    out = tmp_path / "m.parquet"
    assert run(f"{root}/m.parquet", out).failed == 1
    found = [key.rpartition("archive/")[2] for key in keys(out)]
    assert sorted(found) == ["cam0/0.png", "cam1/1.png", "gone.png"]
    assert errors(out).keys() == {"archive/gone.png"}
    assert run(f"{root}/m.parquet", out).images == 0
    with pytest.raises(UsageError, match=r"m.parquet' has no column 'file'; it has path"):
        open_source(f"{root}/m.parquet", column="file")
    with pytest.raises(UsageError, match=r"cannot read the manifest 's3://.*/no.parquet': it does"):
        open_source(f"{root}/no.parquet")


def test_a_manifest_of_encoded_images_on_a_server(web: Web) -> None:
    data = manifest_bytes(image=[png(0), png(1)], key=["a", "b"])
    web.pages["/m.parquet"] = lambda handler: send(handler, 200, data)
    found = [(one.key, one.data) for one in open_source(f"{web.url}/m.parquet")]
    assert found == [("a", png(0)), ("b", png(1))]
