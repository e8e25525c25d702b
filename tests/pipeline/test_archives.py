"""Runs over archives: rows equal those of the same images in a folder, and viz finds them again."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from toy_data import keys, rows

from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Summary
from segcli.viz import VizOptions, visualise


def run(source: Path, out: Path, **options: Any) -> Summary:
    """In this process, unless `replicas` says otherwise: starting one takes seconds."""
    given = {"model": "toy", "device": "cpu", "precision": "float32", "workers": 3, "replicas": 0}
    given |= options
    return predict(PredictOptions(source=str(source), out=out, **given), report=[].append)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_rows_are_those_of_the_images_in_a_folder(
    kind: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(9, ((48, 64), (64, 48)))
    archive = tmp_path / f"archives/a.{kind}"
    archive.parent.mkdir()
    files = sorted(folder.iterdir())
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in files:
                file.write(path, path.name)
    else:
        with tarfile.open(archive, f"w:{kind[4:]}") as file:
            for path in files:
                file.add(path, path.name)
    plain, packed = tmp_path / "plain.parquet", tmp_path / "packed.parquet"
    run(folder, plain)
    replicas = 1 if kind == "tar.gz" else 0  # a stream is read in the worker's process
    assert run(archive.parent, packed, limit=4, chunk_size=2, replicas=replicas).images == 4
    assert run(archive.parent, packed).images == 5
    assert run(archive.parent, packed).images == 0
    assert keys(packed) == [f"a.{kind}/{path.name}" for path in files]

    def masks(out: Path) -> list[tuple[Any, ...]]:
        return [(row[0].rpartition("/")[2], *row[-8:]) for row in rows(out)]

    assert masks(packed) == masks(plain)
    visualise(VizOptions(masks=packed, out=tmp_path / "viz", min_score=0.0), report=[].append)
    assert len(list((tmp_path / "viz").rglob("*.jpg"))) == 9


def test_fields_of_a_webdataset_ride_along(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder = pictures(4)
    for number, name in enumerate(("one.tar", "two.tar")):
        (tmp_path / "in").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / "in" / name, "w") as tar:
            for path in sorted(folder.iterdir())[2 * number : 2 * number + 2]:
                tar.add(path, path.name)
                data = json.dumps({"site": path.stem, "lux": number or "dark"}).encode()
                info = tarfile.TarInfo(f"{path.stem}.json")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    out = tmp_path / "m.parquet"
    run(tmp_path / "in", out, include=("one.tar/*",))
    run(tmp_path / "in", out)
    run(tmp_path / "in/one.tar", out)
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "src_site", "src_lux"])
    found = {tuple(row.values()) for row in table.to_pylist()}
    assert found == {
        ("one.tar/0000.png", "0000", "dark"),
        ("one.tar/0001.png", "0001", "dark"),
        ("two.tar/0002.png", "0002", "1"),
        ("two.tar/0003.png", "0003", "1"),
    }
