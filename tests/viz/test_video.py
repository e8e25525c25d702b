"""Frames of a video, drawn back into one with their true times."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segcli.errors import ImageError, OutputError, UsageError
from segcli.video.frames import read_frames
from segcli.viz import VizOptions, visualise
from segcli.viz.video import Writer

SIZE = (120, 160)
TIMES = [0.0, 0.1, 0.2, 0.5, 0.6, 1.4]  # s; not evenly spaced


def encoded(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """A video of grey frames, each lighter than the one before."""
    with Writer(path) as video:
        for number, time in enumerate(TIMES):
            video.add(np.full((*size, 3), 40 * number, np.uint8), time, Fraction(10))
    return path


def times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [frame.time for frame in file.decode(video=0)]


def test_times_survive(tmp_path):
    path = encoded(tmp_path / "a.mp4")
    assert times(path) == pytest.approx(TIMES, abs=1e-4)
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.name == "h264"


def test_a_video_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "sub/a.mp4"
    with Writer(path):
        pass  # no picture
    writer = Writer(path)
    writer.add(np.zeros((*SIZE, 3), np.uint8), 0.0, Fraction(10))
    writer.__exit__(RuntimeError, RuntimeError(), None)
    assert not path.exists()
    assert list(tmp_path.rglob("*.mp4")) == []
    with pytest.raises(UsageError, match=r"name it \*\.mp4"):
        encoded(tmp_path / "a.video")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*b\.mp4: "):
        encoded(tmp_path / "file/b.mp4")


def test_frames_are_read_by_their_number(tmp_path):
    path = encoded(tmp_path / "a.mp4")
    found = list(read_frames(str(path), [1, 4]))
    assert [(frame.index, round(frame.time_s, 3)) for frame in found] == [(1, 0.1), (4, 0.6)]
    assert [round(frame.pixels.mean() / 40) for frame in found] == [1, 4]


def test_odd_sides_are_padded(tmp_path):
    path = encoded(tmp_path / "a.mp4", (31, 45))
    assert next(read_frames(str(path), [0])).pixels.shape == (32, 46, 3)


def test_what_is_no_video_is_an_image_error(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ImageError, match="not a readable video"):
        list(read_frames(str(path), [0]))


@pytest.fixture
def footage(tmp_path, make_record, write):
    """(masks, root): frames 1, 3, 5 and 9 of cam/a.mp4; it has six."""
    root = (tmp_path / "footage").resolve()
    encoded(root / "cam/a.mp4")
    records = [
        make_record(f"cam/a.mp4#frame={n}", root, frame=n, time_s=TIMES[n] if n < 6 else 9.0)
        for n in (5, 1, 3, 9)
    ]
    return write(records, root), root


def test_frames_are_drawn_back_at_their_times(footage, tmp_path):
    masks, _ = footage
    target = tmp_path / "out.mp4"
    drawn = visualise(VizOptions(masks=masks, video=target), report=lambda _: None)
    assert drawn.pictures == 3
    ((key, reason),) = drawn.skipped
    assert key == "cam/a.mp4#frame=9"
    assert reason.startswith("the video ends before this frame")
    assert times(target) == pytest.approx([TIMES[1], TIMES[3], TIMES[5]], abs=1e-4)
    pixels = next(read_frames(str(target), [0])).pixels
    blue, grey = pixels[60, 80].astype(int), pixels[5, 5].astype(int)
    assert blue[2] - blue[0] > 60  # the person's colour over the grey
    assert np.ptp(grey) < 12


def test_frames_are_pictures_too(footage, tmp_path):
    masks, _ = footage
    visualise(VizOptions(masks=masks, out=tmp_path / "out"), report=lambda _: None)
    names = sorted(p.name for p in (tmp_path / "out/cam/a.mp4").iterdir())
    assert names == ["000001.jpg", "000003.jpg", "000005.jpg"]


def test_several_videos_need_a_folder(footage, tmp_path, make_record, write):
    _, root = footage
    encoded(root / "cam/b.mp4")
    keys = ("cam/a.mp4#frame=0", "cam/b.mp4#frame=0")
    masks = write([make_record(k, root, frame=0, time_s=0.0) for k in keys], root, "both.parquet")
    with pytest.raises(UsageError, match="the frames are of 2 videos"):
        visualise(VizOptions(masks=masks, video=tmp_path / "x.mp4"), report=lambda _: None)
    visualise(VizOptions(masks=masks, video=tmp_path / "all"), report=lambda _: None)
    assert sorted(p.name for p in (tmp_path / "all/cam").iterdir()) == ["a.mp4", "b.mp4"]


def test_a_video_of_another_size_is_named(footage, tmp_path):
    masks, root = footage
    encoded(root / "cam/a.mp4", (60, 80))
    drawn = visualise(VizOptions(masks=masks, out=tmp_path / "out"), report=lambda _: None)
    assert (drawn.pictures, len(drawn.skipped)) == (0, 4)
    assert "the frames are 80 x 60 px, the row says 160 x 120" in drawn.skipped[0][1]


def with_sound(path: Path, picture: Path, codec: str = "aac", kind: str | None = None) -> Path:
    """The pictures of a video with two seconds of a tone of one kind of sound."""
    layout, rate = "mono", 48_000 if codec == "libopus" else 16_000
    with av.open(str(picture)) as source, av.open(str(path), "w", format=kind) as target:
        shown = target.add_stream_from_template(source.streams.video[0])
        heard = target.add_stream(codec, rate=rate, layout=layout)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = shown
                target.mux(packet)
        wave = np.sin(np.arange(2 * rate) * 440 * 2 * np.pi / rate) * 8000
        tone = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout=layout)
        tone.sample_rate, tone.pts = rate, 0
        # Encoders take frames of their own length and kind.
        form = heard.codec_context.format.name
        resampler = av.AudioResampler(form, layout, rate, frame_size=heard.frame_size or 1024)
        for frame in [*resampler.resample(tone), *resampler.resample(None), None]:
            target.mux(heard.encode(frame))
    return path


def packets(path: Path, first: float = 0.0, last: float = 99.0) -> list[bytes]:
    """The encoded sound between two moments, s."""
    with av.open(str(path)) as file:
        return [
            bytes(packet)
            for packet in file.demux(audio=0)
            if packet.pts is not None
            and float((packet.pts + packet.duration) * packet.time_base) >= first
            and float(packet.pts * packet.time_base) < last
        ]


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_the_sound_goes_along_without_being_encoded_again(footage, tmp_path, codec):
    masks, root = footage
    with_sound(tmp_path / "heard.mp4", root / "cam/a.mp4", codec).replace(root / "cam/a.mp4")
    target = tmp_path / "out.mp4"
    told: list[str] = []
    visualise(VizOptions(masks=masks, video=target, key="*[135]"), report=told.append)
    assert times(target) == pytest.approx([TIMES[1], TIMES[3], TIMES[5]], abs=1e-4)
    # from the first picture (0.1 s) to the end of the last, shown for 1/1.5 s: 1.4 s + 0.65 s
    rate = 2 / (TIMES[5] - TIMES[1])
    expected = packets(root / "cam/a.mp4", TIMES[1], TIMES[5] + 1 / rate)
    assert len(expected) > 20
    assert packets(target) == expected
    with av.open(str(target)) as file:
        (heard,) = file.streams.audio
        assert heard.codec_context.name == codec.removeprefix("lib")
        first = next(file.demux(heard))
        assert float(first.pts * first.time_base) == pytest.approx(TIMES[1], abs=0.07)
    assert not [sentence for sentence in told if "sound" in sentence]


def test_sound_that_no_mp4_takes_is_left_away_and_told(footage, tmp_path):
    masks, root = footage
    made = with_sound(tmp_path / "heard.mkv", root / "cam/a.mp4", "wavpack", "matroska")
    made.replace(root / "cam/a.mp4")
    target = tmp_path / "out.mp4"
    told: list[str] = []
    visualise(VizOptions(masks=masks, video=target), report=told.append)
    assert f"{target}: without its sound: wavpack does not go into MP4" in told
    assert len(times(target)) == 3


def test_a_silent_video_stays_silent(footage, tmp_path):
    masks, _ = footage
    visualise(VizOptions(masks=masks, video=tmp_path / "out.mp4"), report=lambda _: None)
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(file.streams.audio) == 0


@pytest.mark.parametrize("name", ["v.txt", "v.avi", "-"])
def test_other_names_than_mp4_are_refused_before_drawing(name: str) -> None:
    with pytest.raises(UsageError, match=r"name a file \*\.mp4, or a folder"):
        VizOptions(masks=Path("m.parquet"), video=Path(name))
