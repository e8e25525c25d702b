"""Every command reads what every way of making an output has made."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app
from segcli.keys import first_spelling, path_from_key
from segcli.pipeline import PredictOptions, predict
from segcli.plurals import counted
from segcli.store.footer import FOOTER_KEY
from segcli.store.part_file import read_part, write_part

TOY = Path(__file__).resolve().parent.parent / "toy"
IMAGES = 6
NAMES = ["0.png", "1.png", "2.png", "a/IMG (1) copy #2.png", "a/4.png", "empty.png"]

Outputs = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def _toy_family() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(TOY)
    known = os.environ.get("PYTHONPATH")  # for the workers of Ray
    patch.setenv("PYTHONPATH", os.pathsep.join([str(TOY), *([known] if known else [])]))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, one of them without any object, and a file that is none."""
    sys.path.insert(0, str(TOY))
    try:
        from toy_data import picture
    finally:
        sys.path.remove(str(TOY))
    folder = tmp_path_factory.mktemp("matrix") / "images"
    (folder / "a").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        pixels = picture(number)
        if name == "empty.png":
            pixels[:] = 90
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def run(*words: object, code: int = 0) -> str:
    """The output of a command that ends with `code`."""
    told = CliRunner().invoke(app, [str(word) for word in words])
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    assert told.exit_code == code, told.output
    return told.output


def _predict(source: Path, out: Path, **more: Any) -> None:
    options = {"model": "toy", "chunk_size": 2, **more}
    given = {"replicas": 0, **options}
    predict(PredictOptions(source=str(source), out=out, **given), report=lambda event: None)


def _plain(images: Path, out: Path) -> None:
    _predict(images, out)


def _shards(images: Path, out: Path) -> None:
    for index in range(2):
        _predict(images, out, shard=f"{index}/2")


def _partitioned(images: Path, out: Path) -> None:
    _predict(images, out, partition_by="camera")


def _rewritten(images: Path, out: Path) -> None:
    """A part rewritten: its failed image was done again, in vain."""
    _predict(images, out)
    with pytest.raises(Exception, match="not one of 1 image"):
        _predict(images, out, retry_failed=True)


def _manifest(images: Path, out: Path) -> None:
    """Rows with the columns of a manifest."""
    names = [*NAMES, "broken.png"]
    manifest = images / "manifest.parquet"
    pq.write_table(pa.table({"path": names, "gate": [f"gate {len(n)}" for n in names]}), manifest)
    _predict(manifest, out)


def _older(images: Path, out: Path) -> None:
    """As the first versions wrote it: no shard, no default score, `#` escaped in keys.

    Half of the parts are of today.
    """
    _predict(images, out)
    for part in sorted(out.iterdir())[::2]:
        rows, footer = read_part(part)
        recorded = {k: v for k, v in footer.settings.recorded.items() if k == "started"}
        write_part(
            part, rows, replace(footer, settings=replace(footer.settings, recorded=recorded))
        )
        keys = [first_spelling(path_from_key(key)) for key in rows["key"].to_pylist()]
        rows = rows.set_column(0, "key", pa.array(keys))
        values = json.loads(pq.read_metadata(part).metadata[FOOTER_KEY])
        del values["shard"]
        table = rows.replace_schema_metadata({FOOTER_KEY: json.dumps(values).encode()})
        pq.write_table(table, part)


def _imported(images: Path, out: Path) -> None:
    _predict(images, out.with_name("predicted.parquet"))
    found = out.with_name("found.json")
    run("export", out.with_name("predicted.parquet"), "--to", "coco", "--out", found)
    run("import", found, "--from", "coco", "--out", out, "--images", images)


def _ray(images: Path, out: Path) -> None:
    _predict(images, out, engine="ray", workers=1)


MAKERS = {
    maker.__name__.strip("_"): maker
    for maker in (_plain, _shards, _partitioned, _rewritten, _manifest, _older, _imported, _ray)
}
FAILED = {name: 0 if name == "imported" else 1 for name in MAKERS}
WAYS = [
    pytest.param(
        name,
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(not find_spec("ray"), reason="Ray, an extra, is not installed"),
        ]
        if name == "ray"
        else [],
    )
    for name in MAKERS
]


@pytest.fixture(scope="module")
def outputs(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """outputs(way) -> the output that was made that way, made once."""
    made: dict[str, Path] = {}

    def make(way: str) -> Path:
        if way not in made:
            out = tmp_path_factory.mktemp(way) / "masks.parquet"
            MAKERS[way](images, out)
            made[way] = out
        return made[way]

    return make


@pytest.fixture(scope="module")
def truth(outputs: Outputs) -> Path:
    """What the plain run found, as ground truth in COCO's format."""
    path = outputs("plain").with_name("truth.json")
    run("export", outputs("plain"), "--to", "coco", "--out", path)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    found = pq.read_table(path).to_pylist()
    return sorted(found, key=lambda row: (row["key"], row["mask"] or 0))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_compact(way: str, outputs: Outputs, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "masks.parquet"
    shutil.copytree(outputs(way), path)
    before, parts = rows(path), len(list(path.rglob("*.parquet")))
    told = run("compact", path)
    after = 2 if way == "partitioned" else 1  # the cameras are the top folder and "a"
    assert told.startswith(f"{counted(parts, 'part')} -> {after}, {IMAGES + FAILED[way]} images")
    assert rows(path) == before
    assert parts > 1 or way == "imported"
    if way in ("plain", "shards", "older", "rewritten"):
        events: list[Any] = []
        predict(
            PredictOptions(source=str(images), out=path, model="toy", replicas=0),
            report=events.append,
        )
        assert (events[-1].images, events[-1].earlier) == (0, IMAGES + 1)


@pytest.mark.parametrize("way", WAYS)
def test_verify(way: str, outputs: Outputs) -> None:
    told = run("verify", outputs(way))
    assert f" {IMAGES + FAILED[way]} images ({FAILED[way]} failed), " in told


def test_a_repaired_output_gets_the_same_rows(
    outputs: Outputs, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "masks.parquet"
    shutil.copytree(outputs("plain"), path)
    before, part = rows(path), min(path.iterdir())
    os.truncate(part, part.stat().st_size // 2)
    assert f"{part.name} cannot be read" in run("verify", path, code=2)
    run("verify", path, "--repair")
    assert not part.exists()
    _predict(images, path)
    assert rows(path) == before
    run("verify", path)


@pytest.mark.parametrize("way", WAYS)
def test_stats(way: str, outputs: Outputs) -> None:
    told = json.loads(run("stats", outputs(way), "--format", "json", "--compare", outputs("plain")))
    plain = json.loads(run("stats", outputs("plain"), "--format", "json"))
    assert told["run"]["done"] == IMAGES
    assert told["run"]["empty"] == plain["run"]["empty"] >= 1
    assert told["run"]["failed"] == FAILED[way]
    masks = [(row["category"], row["masks"]) for row in told["classes"]]
    assert masks == [(row["category"], row["masks"]) for row in plain["classes"]]
    run("stats", outputs(way), "--by", "folder")


@pytest.mark.parametrize("way", WAYS)
def test_viz(way: str, outputs: Outputs, truth: Path, tmp_path: Path) -> None:
    words = ["viz", outputs(way), "--out", tmp_path / "out", "--sheet", tmp_path / "s.png"]
    run(*words)
    drawn = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.jpg")
    )
    assert drawn == sorted(f"{name}.jpg" for name in NAMES)
    run(*words, "--gt", truth, "--beside")


@pytest.mark.parametrize("way", WAYS)
def test_report(way: str, outputs: Outputs, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    told = run("report", outputs(way), "--out", page)
    assert f"{IMAGES} pictures" in told
    assert "IMG (1) copy" in page.read_text()


@pytest.mark.parametrize("way", WAYS)
def test_eval(way: str, outputs: Outputs, truth: Path, tmp_path: Path) -> None:
    found = tmp_path / "eval.json"
    run("eval", "--pred", outputs(way), "--gt", truth, "--json", found)
    metrics = json.loads(found.read_text())["metrics"]
    assert metrics["AP"] == pytest.approx(1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "form", ["coco", "coco-results", "yolo", "labelme", "cvat", "png", "geojson"]
)
def test_export(way: str, form: str, outputs: Outputs, tmp_path: Path) -> None:
    told = run("export", outputs(way), "--to", form, "--out", tmp_path / "exported")
    plain = run("export", outputs("plain"), "--to", form, "--out", tmp_path / "plain")
    assert told.split(" masks")[0] == plain.split(" masks")[0]
