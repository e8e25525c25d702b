"""Which frames --every chooses."""

import pytest

from segcli.errors import UsageError
from segcli.video.every import Every, parse_every
from segcli.video.file import VideoFile
from segcli.video.timeline import Timeline


def chosen(text: str, times: list[float], keyframes: list[int] | None = None) -> list[int]:
    timeline = Timeline(VideoFile("x.mp4"), times, list(range(len(times))), keyframes or [0])
    return list(parse_every(text).choose(timeline))


def test_every_nth_frame_begins_with_the_first() -> None:
    assert chosen("3f", [0.1 * i for i in range(8)]) == [0, 3, 6]


def test_seconds_count_from_the_first_frame() -> None:
    times = [5 + i / 10 for i in range(25)]
    assert chosen("1s", times) == [0, 10, 20]
    assert chosen("500ms", times) == [0, 5, 10, 15, 20]


def test_a_frame_rate_that_does_not_divide_a_second_does_not_drift() -> None:
    times = [i / 12.5 for i in range(12 * 60)]
    picked = chosen("1s", times)
    assert len(picked) == 58
    assert all(0 <= times[i] - number < 1 / 12.5 for number, i in enumerate(picked))


def test_gaps_of_a_variable_frame_rate_give_one_frame_each() -> None:
    assert chosen("1s", [0, 0.1, 0.2, 5.5, 5.6, 6.0, 6.1]) == [0, 3, 5]


def test_a_clock_that_jumps_back_goes_on_choosing() -> None:
    assert chosen("1s", [100.0, 100.5, 101.0, 3.0, 3.5, 4.0]) == [0, 2, 3, 5]


def test_keyframes_include_the_first_frame() -> None:
    assert chosen("keyframe", [0, 1, 2, 3, 4], [1, 3]) == [0, 1, 3]
    assert chosen("keyframe", []) == []


@pytest.mark.parametrize("text", ["", "0f", "5", "0s", "1h", "-1s", "f", "keyframes", "nan s"])
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="expected 5f"):
        parse_every(text)


def test_units() -> None:
    assert parse_every("2m") == Every(seconds=120)
    assert parse_every(".5s") == Every(seconds=0.5)
