"""Runs over videos inside archives, and what draws their frames afterwards."""

import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow.dataset
import pytest

import segcli
import segcli.sources.archive
from segcli.pipeline.events import Summary
from segcli.viz import VizOptions, visualise


def run(source: Path, out: Path, **options: object) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    return segcli.predict(source, out=out, **given)


def add(archive: Path, name: str, data: bytes) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, data)
        return
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "a") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def footage(tmp_path: Path, clip: Path) -> Path:
    """The same clip in a folder and in archives, two of them in one."""
    folder = tmp_path / "footage"
    folder.mkdir()
    data = clip.read_bytes()
    (folder / "clip.mkv").write_bytes(data)
    for name in ("a.tar", "b.zip", "c.tar.gz"):
        add(folder / name, "cam1/0800.mkv", data)
    add(folder / "a.tar", "../../../up.mkv", data)
    return folder


def test_frames_have_the_rows_of_those_in_a_folder(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.parquet"
    summary = run(footage, out, workers=4)
    assert (summary.images, summary.failed) == (15, 0)
    columns = ["key", "frame", "time_s", "height", "category", "score", "area"]
    table = pyarrow.dataset.dataset(out).to_table(columns=columns)
    found: dict[str, list[object]] = {}
    for row in table.to_pylist():
        clip = row.pop("key").rpartition("#")[0]
        found.setdefault(clip, []).append(tuple(row.values()))
    names = ("b.zip/cam1/0800.mkv", "c.tar.gz/cam1/0800.mkv", "a.tar/../../../up.mkv")
    assert set(found) == {"clip.mkv", "a.tar/cam1/0800.mkv", *names}
    assert len({tuple(sorted(values, key=str)) for values in found.values()}) == 1
    # Nothing is opened again.
    with monkeypatch.context() as patch:
        patch.setattr(segcli.sources.archive, "_members", None)
        assert run(footage, out).earlier == 15
    # Archives may be sources themselves, and a run can go on inside a video.
    whole = tmp_path / "b.parquet"
    assert run(footage / "b.zip", whole, limit=2).images == 2
    assert run(footage / "b.zip", whole).images == 1

    drawn = tmp_path / "drawn"
    visualise(VizOptions(masks=out, video=drawn, out=tmp_path / "stills"), report=print)
    assert sorted(str(p.relative_to(drawn)) for p in drawn.rglob("*.mp4")) == [
        "a.tar/__/__/__/up.mp4",
        "a.tar/cam1/0800.mp4",
        "b.zip/cam1/0800.mp4",
        "c.tar.gz/cam1/0800.mp4",
        "clip.mp4",
    ]
    assert len([*(tmp_path / "stills").rglob("*.jpg")]) == 15
