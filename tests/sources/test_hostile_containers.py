"""Damaged archives and videos: each gives samples or reasons, and no exception."""

from pathlib import Path

import pytest

from scripts.data.hostile import hostile, sound
from scripts.data.hostile_containers import containers
from segcli.errors import ImageError
from segcli.sources import clip_file, is_clip, open_source, read
from segcli.types import Sample
from segcli.video.every import parse_every
from segcli.video.frames import read_frames
from segcli.video.timeline import why_unreadable

COUNT, SEED = 60, 11  # scripts/soak does thousands


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    images = sound()
    return containers({name: images[name] for name in ("plain.jpg", "plain.png", "plain.qoi")})


def outcomes(path: Path) -> list[str]:
    """What becomes of the samples of a file, in order: "ok" or a reason."""
    found = []
    for sample in open_source(str(path), every=parse_every("3f")):
        try:
            if is_clip(sample):
                raise ImageError(why_unreadable(clip_file(sample)))
            found.append(_frame(sample) if sample.frame is not None else "ok" * bool(read(sample)))
        except ImageError as error:
            found.append(str(error))
    return found


def _frame(sample: Sample) -> str:
    (frame,) = read_frames(clip_file(sample), [sample.frame or 0])
    return frame.error or "ok"


def test_the_sound_ones_are_read(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
        found = outcomes(tmp_path / name)
        if name == "deep.zip":
            assert len(found) == 1
            assert "3 deep inside others" in found[0]
        else:
            assert set(found) == {"ok"}, name
            assert len(found) >= 4, name


def test_each_damaged_one_has_its_rows(tmp_path: Path, whole: dict[str, bytes]) -> None:
    damaged = 0
    for name, data in hostile(COUNT, SEED, whole):
        path = tmp_path / name
        path.write_bytes(data)
        found = outcomes(path)
        path.unlink()
        assert found, name
        assert all(found), name
        damaged += set(found) != {"ok"}
    assert damaged > COUNT / 4
