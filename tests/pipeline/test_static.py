"""Static frames: rows that name the frame that they repeat, wherever chunks are cut."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
import toy_data
from PIL import Image
from toy_data import rows

from segcli.errors import UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Summary
from segcli.pipeline.job import Chunk, commit
from segcli.pipeline.stages.static import StaticRule
from segcli.store import Settings
from segcli.store.part_file import read_part, write_part
from segcli.types import Record, Sample

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "video"))
import numbered  # noqa: E402

sys.path.pop(0)


def run(source: Path, out: Path, **options: Any) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "workers": 2, "replicas": 0}
    given |= {"skip_static": True} | options
    return predict(PredictOptions(source=str(source), out=out, **given), report=[].append)


def table(out: Path) -> dict[str, dict[str, Any]]:
    read = pyarrow.dataset.dataset(out).to_table().to_pylist()
    return {row["key"]: row for row in read if row["mask"] in (None, 0)}


def repeats(out: Path) -> dict[str, str]:
    return {key: row["repeats"] for key, row in table(out).items() if row["status"] == "static"}


@pytest.fixture
def still(tmp_path: Path) -> Callable[..., Path]:
    """still(name, seed, second): a picture with noise of its own, modified at that second."""
    count = iter(range(1000))

    def make(name: str, seed: int, second: float) -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = toy_data.picture(seed, (72, 128)).astype(float)
        pixels += np.random.default_rng(next(count)).normal(0, 2, pixels.shape)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
        os.utime(path, ns=(int(second * 1e9),) * 2)
        return tmp_path / "in"

    return make


@pytest.fixture
def stills(still: Callable[..., Path]) -> Path:
    """Two cameras, 20 minutes, one still a minute; a scene lasts for four of them."""
    for camera in ("gate", "yard"):
        for minute in range(20):
            folder = still(f"{camera}/{minute:02d}.png", minute // 4, 60 * minute)
    return folder


def test_a_static_frame_names_the_processed_frame_it_repeats(stills: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    summary = run(stills, out)
    found = repeats(out)
    # Stretches of five minutes begin at 0, 5, 10, 15; scenes at 0, 4, 8, 12, 16.
    processed = [0, 4, 5, 8, 10, 12, 15, 16]
    assert [m for m in range(20) if f"gate/{m:02d}.png" not in found] == processed
    assert found["gate/03.png"] == "gate/00.png"
    assert found["gate/11.png"] == "gate/10.png"
    assert found["yard/03.png"] == "yard/00.png"
    assert (summary.images, summary.static, summary.failed) == (40, 24, 0)
    row = table(out)["gate/03.png"]
    assert (row["height"], row["width"], row["masks"], row["mask"]) == (72, 128, None, None)
    assert 0 < row["view"]["light"] < 255
    assert row["view"]["hash"] != table(out)["gate/05.png"]["view"]["hash"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_rows_do_not_depend_on_the_cut_of_chunks(
    stills: Path, tmp_path: Path, size: int
) -> None:
    run(stills, tmp_path / "one.parquet")
    run(stills, tmp_path / "m.parquet", chunk_size=size)
    assert rows(tmp_path / "m.parquet") == rows(tmp_path / "one.parquet")


def test_the_rows_do_not_depend_on_kills(stills: Path, tmp_path: Path) -> None:
    """A killed run leaves some of its parts; the next one makes the others."""
    run(stills, tmp_path / "one.parquet")
    out = tmp_path / "m.parquet"
    run(stills, out, chunk_size=2)
    parts = sorted(out.glob("*.parquet"))
    for part in parts[1::2]:
        part.unlink()
    assert len(parts) > 3
    assert run(stills, out, chunk_size=3).images > 0
    assert rows(out) == rows(tmp_path / "one.parquet")


def test_frames_of_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbered, "picture", lambda i: _picture(i // 25))
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        numbered.write_clip(tmp_path / "in" / name, codec="libx264", options={"crf": "4"})
    out, again = tmp_path / "m.parquet", tmp_path / "again.parquet"
    run(tmp_path / "in", out, every="5f", static_age=2.0)
    found = repeats(out)
    frames = [f for f in range(0, 60, 5) if f"a.mp4#frame={f}" not in found]
    assert frames == [0, 20, 25, 40, 50]  # stretches at 0, 2, 4 s; scenes at 0, 2.5, 5 s
    assert all(key.partition("#")[0] == other.partition("#")[0] for key, other in found.items())
    run(tmp_path / "in", again, every="5f", static_age=2.0, chunk_size=3)
    assert rows(again) == rows(out)
    assert run(tmp_path / "in", again, every="5f", static_age=2.0).images == 0
    _lose(out, "a.mp4#frame=5")
    assert run(tmp_path / "in", out, every="5f", static_age=2.0).images == 1
    assert repeats(out).keys() == found.keys() - {"a.mp4#frame=5"}
    assert run(tmp_path / "in", out, every="5f", static_age=2.0).images == 0


def _lose(out: Path, key: str) -> None:
    """The static image `key` names an image that has no rows."""
    for part in out.iterdir():
        table, footer = read_part(part)
        at = table.column_names.index("repeats")
        field = table.schema.field(at)
        values = [
            "gone" if own == key else other
            for own, other in zip(table["key"].to_pylist(), table[at].to_pylist(), strict=True)
        ]
        write_part(part, table.set_column(at, field, pa.array(values, field.type)), footer)


def test_new_stills_are_compared_with_those_of_the_same_run(
    stills: Path, still: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "m.parquet"
    run(stills, out)
    still("gate/20.png", 4, 19.5 * 60)
    still("gate/21.png", 4, 19.7 * 60)
    summary = run(stills, out)
    assert (summary.images, summary.static) == (2, 1)
    assert repeats(out)["gate/21.png"] == "gate/20.png"


def test_the_settings_of_an_output_include_the_rule(stills: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(stills, out, limit=3)
    with pytest.raises(UsageError, match="static"):
        run(stills, out, skip_static=False)
    with pytest.raises(UsageError, match="static"):
        run(stills, out, static_threshold=8.0)
    plain = tmp_path / "plain.parquet"
    run(stills, plain, skip_static=False)
    assert repeats(plain) == {}
    assert all(row["view"] is None for row in table(plain).values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"static_threshold": 0.0}, "`static_threshold` 0: expected grey levels above 0"),
        ({"static_threshold": 256.0}, "below 256"),
        ({"skip_static": False, "static_threshold": 8.0}, "`static_threshold` needs `skip_static`"),
        ({"skip_static": False, "static_age": 60.0}, "`static_age` needs `skip_static`"),
        ({"static_age": 0.0}, "`static_age` 0: expected seconds, above 0"),
    ],
)
def test_wrong_options_are_refused(stills: Path, tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(stills, tmp_path / "m.parquet", **options)


def test_a_static_frame_fails_with_the_frame_it_repeats() -> None:
    class Writer:
        footer = SimpleNamespace(category_names=(), settings=Settings({}, {}))

        def write(self, records: Any, **_: Any) -> str:
            self.records = list(records)
            return "part"

    samples = [Sample(key, key) for key in "abcd"]
    a, b, c, d = samples
    writer = Writer()
    records = [
        Record(a, 4, 4, error="the model failed"),
        Record(b, 4, 4, repeats="a"),
        Record(d, 4, 4, repeats="c"),  # c was in a batch when the run was stopped
    ]
    outcome = commit(records, Chunk(samples), writer)  # type: ignore[arg-type]
    assert [r.sample.key for r in writer.records] == ["a", "b"]
    assert writer.records[1].repeats is None
    assert writer.records[1].error == "it repeats a, which failed: the model failed"
    assert outcome.undone == {"c", "d"}
    assert (outcome.counts.failed, outcome.counts.static) == (2, 0)


def test_images_that_fail_are_no_reference(stills: Path, tmp_path: Path) -> None:
    broken = stills / "gate/01.png"
    broken.write_bytes(broken.read_bytes()[:300])
    os.utime(broken, ns=(60 * 10**9,) * 2)
    out = tmp_path / "m.parquet"
    assert run(stills, out).failed == 1
    assert repeats(out)["gate/02.png"] == "gate/00.png"


def test_a_stretch_is_of_one_camera_or_clip_and_period() -> None:
    rule = StaticRule(4.0, 300.0)
    still = Sample("gate/2026-04-01/1.jpg", "", mtime_ns=601 * 10**9)
    assert rule.stretch(still) == ("gate", 2)
    stated = Sample("a/1.jpg", "", mtime_ns=None, carried={"camera": "gate"})
    assert rule.stretch(stated) == ("gate", None)
    frame = Sample("gate/1.mp4#frame=9", "", frame=9, time_s=299.9)
    assert rule.stretch(frame) == ("gate/1.mp4", 0)


def _picture(seed: int) -> np.ndarray:
    return toy_data.picture(seed, numbered.SIZE)
