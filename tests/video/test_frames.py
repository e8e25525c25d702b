"""The frames that are asked for are those that come, from every container and any place in it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numbered import SIZE, picture, shown, write_clip

from segcli.errors import ImageError
from segcli.video.frames import read_frames
from segcli.video.timeline import looks_like_video, packets_of, read_timeline

CONTAINERS: dict[str, dict[str, Any]] = {
    "mp4": {"codec": "libx264", "b_frames": 3, "keyframe_every": 30, "frames": 130},
    "mov": {"codec": "libx264"},
    "mkv": {"codec": "libx264", "b_frames": 3},
    "avi": {},
    "ts": {"codec": "libx264", "b_frames": 2, "frames": 130},
    "mts": {"codec": "libx264", "format": "mpegts"},
    "webm": {"codec": "libvpx"},
    "mxf": {"codec": "mpeg2video", "rate": 25},
    "m4v": {},
    "3gp": {},
    "flv": {"codec": "flv1"},
    "wmv": {"codec": "wmv2"},
}


def indices(path: Path, wanted: Sequence[int], **options: Any) -> list[tuple[int, int | None]]:
    """(index, what the frame shows) of all that comes."""
    return [
        (frame.index, None if frame.pixels is None else shown(frame.pixels))
        for frame in read_frames(str(path), wanted, **options)
    ]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_each_frame_is_the_one_that_was_asked_for(suffix: str, tmp_path: Path) -> None:
    options = CONTAINERS[suffix]
    path = write_clip(tmp_path / f"clip.{suffix}", **options)
    count = options.get("frames", 60)
    timeline = read_timeline(str(path))
    assert len(timeline.times) == count
    assert timeline.ends is None
    steps = np.diff(timeline.times)
    assert steps == pytest.approx(1 / options.get("rate", 10), abs=2e-3)
    for wanted in (range(0, count, 7), [count - 3], range(5, 9), [0, count - 1]):
        assert indices(path, wanted) == [(index, index) for index in wanted]
    assert indices(path, range(count), threads=2) == [(index, index) for index in range(count)]


def test_motion_jpeg_without_a_container(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mjpeg", 20, codec="mjpeg", options={"strict": "unofficial"})
    assert indices(path, [0, 7, 19]) == [(0, 0), (7, 7), (19, 19)]


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 1, 2, 30, 31, 90]
    path = write_clip(tmp_path / "clip.mkv", 6, times=times, codec="libx264")
    assert read_timeline(str(path)).times == pytest.approx([t / 10 for t in times], abs=2e-3)
    assert indices(path, [3, 5]) == [(3, 3), (5, 5)]


def test_rotation_metadata_is_applied_once(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mp4", 3)
    turned = tmp_path / "turned.mp4"
    data = bytearray(plain.read_bytes())
    # The track header's display matrix: a quarter turn instead of the identity.
    at = data.index(b"tkhd") + 4 + 40
    one = (1 << 16).to_bytes(4, "big")
    minus, zero = (-(1 << 16)).to_bytes(4, "big", signed=True), bytes(4)
    data[at : at + 20] = zero + one + zero + minus + zero
    turned.write_bytes(data)
    upright = next(iter(read_frames(str(plain), [2]))).pixels
    found = next(iter(read_frames(str(turned), [2]))).pixels
    assert upright is not None
    assert found is not None
    assert found.shape[:2] == SIZE[::-1]
    assert np.array_equal(found, np.rot90(upright, -1))


def test_interlaced_frames_are_deinterlaced(tmp_path: Path) -> None:
    rows = np.zeros((*SIZE, 3), np.uint8)
    rows[::2, :40], rows[1::2, 40:80] = 255, 255  # something moved between the two fields
    with av.open(str(tmp_path / "i.mpg"), "w", format="mpeg") as file:
        stream = file.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(rows, format="rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(str(tmp_path / "i.mpg")) as file:
        raw = next(file.decode(video=0))
        if not raw.interlaced_frame:
            pytest.skip("this libav does not mark what it encodes as interlaced")
        combed = raw.to_ndarray(format="rgb24")
    pixels = next(iter(read_frames(str(tmp_path / "i.mpg"), [0]))).pixels
    assert pixels is not None

    def comb(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image[8:-8].astype(float), axis=0)).mean())

    assert comb(pixels) < comb(combed) / 3


@pytest.mark.parametrize(("suffix", "stated"), [("mkv", "6.0 s"), ("avi", "60 frames")])
def test_of_a_cut_file_the_frames_that_exist_come(suffix: str, stated: str, tmp_path: Path) -> None:
    codec = {"mkv": "libx264", "avi": "mpeg4"}[suffix]
    whole = write_clip(tmp_path / f"whole.{suffix}", codec=codec)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    timeline = read_timeline(str(cut))
    count = len(timeline.times)
    assert 10 < count < 60
    assert timeline.ends == f"the file states {stated}"
    *there, last = read_frames(str(cut), range(count + 1))
    # The last frame's own data may be cut in half.
    assert [shown(f.pixels) for f in there[:-1] if f.pixels is not None] == list(range(count - 1))
    assert last.error == (
        f"the video ends before this frame, at {timeline.times[-1]:.2f} s: {timeline.ends}"
    )


def test_damage_in_the_middle_is_marked_or_fails_up_to_the_next_keyframe(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 120, codec="libx264", keyframe_every=20)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(byte ^ 0x5A for byte in data[middle : middle + 60])
    path.write_bytes(data)
    frames = list(read_frames(str(path), range(120)))
    assert [frame.index for frame in frames] == list(range(120))
    hurt = [frame.index for frame in frames if frame.error or frame.damaged]
    assert hurt
    assert len(hurt) < 40
    fine = [f for f in frames if f.pixels is not None and not f.damaged]
    assert sum(shown(f.pixels) == f.index for f in fine if f.pixels is not None) == len(fine)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"hello world" * 100, "not a readable video"),
        ("noise.avi", bytes(range(256)) * 50, "not a readable video"),
    ],
)
def test_what_is_not_a_video_says_so(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=words):
        read_timeline(str(tmp_path / name))


def test_an_mp4_without_its_index_says_what_is_missing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:-600])  # the index is written last
    with pytest.raises(ImageError, match="still being written"):
        read_timeline(str(path))


def test_sound_alone_and_missing_streams(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(ImageError, match="only sound"):
        read_timeline(str(tmp_path / "sound.mp4"))
    path = write_clip(tmp_path / "clip.mp4", 3)
    with pytest.raises(ImageError, match="no video stream 1: the file has 1"):
        read_timeline(str(path), 1)


def test_typescript_is_not_a_transport_stream(tmp_path: Path) -> None:
    (tmp_path / "index.ts").write_text("export const answer = 42;")
    assert not looks_like_video(str(tmp_path / "index.ts"))
    assert looks_like_video(str(write_clip(tmp_path / "clip.ts", 3, codec="libx264")))


def test_real_footage(data: Path) -> None:
    clips = sorted((data / "footage").glob("*.mp4"))
    assert clips
    for clip in clips:
        timeline = read_timeline(str(clip))
        wanted = [0, len(timeline.times) // 2, len(timeline.times) - 1]
        frames = list(read_frames(str(clip), wanted))
        with av.open(str(clip)) as file:
            expected = {
                index: frame.to_ndarray(format="rgb24")
                for index, frame in enumerate(file.decode(video=0))
                if index in wanted
            }
        assert [frame.index for frame in frames] == wanted
        for frame in frames:
            assert frame.pixels is not None
            assert np.array_equal(frame.pixels, expected[frame.index])


def test_an_encrypted_clip_is_refused(tmp_path: Path) -> None:
    """Some decoders make pictures of encrypted data, too."""
    keys = {"encryption_key": 16 * "ab", "encryption_kid": 16 * "cd"}
    options = {"encryption_scheme": "cenc-aes-ctr", **keys}
    path = write_clip(tmp_path / "a.mp4", 12, codec="libx264", container_options=options)
    with pytest.raises(ImageError, match="is encrypted"):
        read_timeline(str(path))


def test_streams_that_appear_while_a_file_is_read_are_no_error(tmp_path: Path) -> None:
    """PyAV fails behind the last packet then, or does not, as the memory of the process may be."""

    class Growing:
        def demux(self, *streams: object) -> Iterator[str]:
            yield from ("first", "last")
            raise IndexError("list index out of range")

    assert [*packets_of(Growing())] == ["first", "last"]
    one, more = write_clip(tmp_path / "one.ts", 12), tmp_path / "more.ts"
    with av.open(more, "w") as file:
        streams = [file.add_stream("mpeg4", rate=10) for _ in range(6)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for stream in streams:
            frame = av.VideoFrame.from_ndarray(picture(0), format="rgb24")
            file.mux([*stream.encode(frame), *stream.encode()])
    one.write_bytes(20 * one.read_bytes() + more.read_bytes())
    assert len(read_timeline(str(one)).times) > 200
