"""Damage that FFmpeg's reader passes over in silence is noticed, and nothing else is."""

import random
from pathlib import Path
from typing import Any

import pytest
from numbered import write_clip

from segcli.errors import ImageError
from segcli.sources import open_source
from segcli.video.every import parse_every
from segcli.video.matroska import damaged_at
from segcli.video.timeline import read_timeline, why_unreadable

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "matroska": ("clip.mkv", {"codec": "libx264"}),
    "webm": ("clip.webm", {"codec": "libvpx"}),
    "live": ("clip.mkv", {"codec": "libx264", "container_options": {"live": "1"}}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_lost_frames_are_noticed(kind: str, tmp_path: Path) -> None:
    name, options = KINDS[kind]
    path = write_clip(tmp_path / name, 80, **options)
    whole = path.read_bytes()
    assert damaged_at(str(path)) is None
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert damaged_at(str(path)) is None, "a cut file is not damaged inside"
    chance = random.Random(3)
    lost = noticed = 0
    for _ in range(20):
        data = bytearray(whole)
        at = chance.randrange(len(data) // 4, len(data) * 9 // 10)
        data[at : at + 64] = chance.randbytes(64)
        path.write_bytes(data)
        timeline = read_timeline(str(path))
        if len(timeline.times) < 80:
            lost += 1
            noticed += timeline.damage is not None or timeline.ends is not None
        else:
            assert timeline.damage is None
    assert lost > 10, "else this test shows nothing"
    assert noticed >= lost - 1, "random bytes can be an element"


def test_a_damaged_file_is_one_more_row_with_the_place(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", 80, codec="libx264")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    samples = list(open_source(str(path), every=parse_every("5f")))
    assert (samples[-1].key, samples[-1].frame) == ("clip.mkv", None)
    assert all(sample.frame is not None for sample in samples[:-1])
    reason = why_unreadable(str(path))
    assert reason.startswith("frames before ")
    assert "are missing: the file is damaged from byte" in reason
    at = int(reason.rpartition("byte ")[2].split()[0].replace(",", ""))
    assert middle - 200 <= at <= middle + 64


@pytest.mark.parametrize("data", [b"", b"\x1a", b"\x1a\x45\xdf\xa3" + b"\xff" * 20, bytes(64)])
def test_what_is_no_matroska_file(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mkv").write_bytes(data)
    assert damaged_at(str(tmp_path / "x.mkv")) is None
    with pytest.raises(ImageError):
        read_timeline(str(tmp_path / "x.mkv"))
