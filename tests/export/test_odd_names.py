"""Whatever images and categories are called, every format's own reader reads the export."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from segcli.export import FORMATS, Choices, select
from segcli.keys import key_from_path
from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

ODD = [
    "plain", "ctrl\x01\x1f", "new\nline", "tab\tand\rreturn", "quotes\"'`", "<&>", "a]]>b",
    "<!--", "comma, colon: dash - #hash", "emoji \U0001f600", "non-BMP \U0001d518", "nai\u0308f",
    "\u05d0\u202e", "back\\slash", "%20 {} [x] * ? ~", "\x85\u2028\u2029", "\x7f\x9f",
    "\ufffe\uffff", " space ", "null", "12", "- x", "!tag", "&anchor", "@", "|", "y", "1e3",
    "x" * 251, "\u4eba" * 83,
]  # fmt: skip
BYTES = os.fsdecode(b"not text \xff")
FILES = [*(f"cam 1/{name}.jpg" for name in ODD), f"{BYTES}.jpg"]
NAMES = [name for name in ODD if name.strip()]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of each name, with one mask of the category of that name."""
    path = tmp_path_factory.mktemp("odd") / "ma<s>k\n.parquet"
    mask = np.zeros((8, 10), bool)
    mask[2:6, 3:7] = True
    segments = [Segment(i, 0.9, (3, 2, 4, 4), 16, rle.encode(mask)) for i in range(len(NAMES))]
    records = [
        Record(Sample(key_from_path(file), ""), 8, 10, [segments[i % len(NAMES)]])
        for i, file in enumerate(FILES)
    ]
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.5})
    categories = (NAMES, range(1, len(NAMES) + 1))
    with open_output(path, settings, carried={}, categories=categories) as opened:
        opened.commit(records)
    return path


def export(output: Path, to: str, out: Path, **choices: Any) -> list[str]:
    selection = select(output)
    tally = FORMATS[to](selection, out, Choices(**choices))
    assert (tally.images, tally.masks) == (len(FILES), len(FILES))
    return tally.sentences()


def text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def xml(name: str) -> str:
    """As XML 1.0 can hold it: section 2.2 lists the characters."""
    kept = (c if c >= " " or c in "\t\n\r" else "\ufffd" for c in text(name))
    return "".join("\ufffd" if c in "\ufffe\uffff" else c for c in kept)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools
def test_coco(output: Path, tmp_path: Path) -> None:
    (lost,) = export(output, "coco", tmp_path / "a.json")
    assert lost.startswith("1 image name has bytes that are not text")
    assert not export(output, "coco-results", tmp_path / "r.json")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(tmp_path / "a.json")
        found = truth.loadRes(str(tmp_path / "r.json"))
    assert sorted(i["file_name"] for i in truth.imgs.values()) == sorted(map(text, FILES))
    assert [c["name"] for c in truth.loadCats(truth.getCatIds())] == NAMES
    assert all(truth.annToMask(one).sum() == 16 for one in found.anns.values())


def test_yolo(output: Path, tmp_path: Path) -> None:
    missing, *lost = export(output, "yolo", tmp_path)
    assert missing.startswith(f"{len(FILES)} images are not in images/")
    assert not lost
    names = yaml.safe_load((tmp_path / "data.yaml").read_bytes())["names"]
    assert names == dict(enumerate(NAMES))
    for i, file in enumerate(FILES):
        label = tmp_path / "labels" / f"{os.path.splitext(file)[0]}.txt"
        number, *sides = label.read_text().split()
        assert (int(number), len(sides)) == (i % len(NAMES), 8)


def test_labelme(output: Path, tmp_path: Path) -> None:
    _, lost = export(output, "labelme", tmp_path)
    assert lost == "1 name of files was longer than 255 bytes and was shortened"
    documents = [json.loads(path.read_bytes()) for path in tmp_path.rglob("*.json")]
    found = {one["imagePath"]: one["shapes"][0]["label"] for one in documents}
    assert found == {os.path.basename(f): NAMES[i % len(NAMES)] for i, f in enumerate(FILES)}


def test_geojson(output: Path, tmp_path: Path) -> None:
    lost = export(output, "geojson", tmp_path)
    assert "2 names of files were longer than 255 bytes and were shortened" in lost
    features = [json.loads(p.read_bytes())["features"][0] for p in tmp_path.rglob("*.geojson")]
    found = {one["properties"]["image"]: one["properties"]["category"] for one in features}
    assert found == {text(file): NAMES[i % len(NAMES)] for i, file in enumerate(FILES)}


def test_cvat(output: Path, tmp_path: Path) -> None:
    assert len(export(output, "cvat", tmp_path / "a.xml")) == 2
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert [one.text for one in root.iter("name")] == [output.name, *map(xml, NAMES)]
    images = {one.get("name"): one[0].get("label") for one in root.iter("image")}
    assert images == {xml(file): xml(NAMES[i % len(NAMES)]) for i, file in enumerate(FILES)}


@pytest.mark.parametrize("kind", ["classes", "instances", "binary"])
def test_png(output: Path, tmp_path: Path, kind: str) -> None:
    export(output, "png", tmp_path, png=kind)
    paths = [path for path in tmp_path.rglob("*.png") if path.is_file()]
    assert len(paths) == len(FILES)
    for path in paths:
        with Image.open(path) as image:
            assert np.count_nonzero(np.array(image)) == 16
