"""Several sources in one run: parts are of one source each, so each can be resumed by itself."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_data import keys

import segcli
from segcli.errors import ImageError, UsageError
from segcli.pipeline.events import Summary
from segcli.store import read_roots, status
from segcli.viz import VizOptions, images_of, visualise


def run(*sources: object, out: Path, **options: Any) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    return segcli.predict([str(source) for source in sources], out=out, **given)


@pytest.fixture
def places(pictures: Callable[..., Path], tmp_path: Path) -> Path:
    for name, count in (("a", 3), ("b", 2)):
        pictures(count, name=f"in/{name}")
    with zipfile.ZipFile(tmp_path / "in/c.zip", "w") as file:
        file.write(tmp_path / "in/a/0000.png", "0000.png")
    return tmp_path / "in"


def test_mixed_sources_are_resumed_and_others_join(places: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    sources = [places / "a", places / "c.zip"]
    assert run(*sources, out=out, dry_run=True).planned == 4
    assert run(*sources, out=out, limit=2).images == 2
    assert run(*sources, out=out).images == 2
    assert run(*sources, out=out).earlier == 4
    assert run(*sources, places / "b", out=out).images == 2
    expected = ["a/0000.png", "a/0001.png", "a/0002.png", "b/0000.png", "b/0001.png"]
    assert keys(out) == [*expected, "c.zip/0000.png"]
    roots = {"a/": [f"{places}/a"], "b/": [f"{places}/b"], "": [str(places)]}
    assert read_roots(out) == roots
    assert status(out).sources == roots
    # Each is the same as a run with a prefix.
    assert run(f"b={places}/b", out=out).earlier == 2
    assert run(places / "b", out=out, key_prefix="b/").earlier == 2
    assert run(places / "a", places / "b", out=out, shard="0/2").images == 0


def test_viz_finds_the_images_of_all_sources(places: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(places / "a", f"y={places}/b", places / "c.zip", out=out)
    drawn = visualise(VizOptions(masks=out, out=tmp_path / "viz", min_score=0.0), report=[].append)
    assert (drawn.pictures, drawn.skipped) == (6, ())
    images = images_of(None, read_roots(out))
    assert images.path("y/0001.png") == places / "b/0001.png"
    assert "a/0002.png" in images.keys_of(places / "a/0002.png")
    with pytest.raises(ImageError, match="was it moved|no such file"):
        images.path("y/0009.png")
    shutil.rmtree(places / "b")
    with pytest.raises(UsageError, match="--images is needed: the images came from .*/a; .*/b"):
        images_of(None, read_roots(out))


def test_a_changed_image_and_a_moved_source(places: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(places / "a", places / "b", out=out)
    shutil.copy(places / "a/0001.png", places / "b/0000.png")
    assert run(places / "a", places / "b", out=out).redone == 1
    moved = tmp_path / "elsewhere/b"
    shutil.copytree(places / "b", moved)
    with pytest.raises(UsageError, match="was made from .*/in/b, now given .*elsewhere.b"):
        run(places / "a", moved, out=out)
    assert run(places / "a", moved, out=out, same_source=True).earlier == 5
    assert read_roots(out)["b/"] == sorted([f"{places}/b", str(moved)])
    assert read_roots(out)["a/"] == [f"{places}/a"]
    assert run(places / "a", moved, out=out).earlier == 5


def test_rows_of_files_that_are_gone_are_removed(places: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(places / "a", f"y={places}/b", out=out)
    (places / "b/0001.png").unlink()
    assert run(places / "a", f"y={places}/b", out=out).missing == 1
    run(places / "a", f"y={places}/b", out=out, prune_missing=True)
    assert keys(out) == ["a/0000.png", "a/0001.png", "a/0002.png", "y/0000.png"]
    with pytest.raises(UsageError, match="needs a folder as the source"):
        run(places / "a", places / "c.zip", out=out, prune_missing=True)


def test_keys_of_another_source_are_refused(places: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(places, out=out)
    with pytest.raises(UsageError, match="already has 'a/0000.png' from another source"):
        run(places / "a", places / "b", out=out)
