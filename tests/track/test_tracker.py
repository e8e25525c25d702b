"""What is followed from frame to frame, and the scores that measure it."""

import numpy as np
import pytest

from scripts.studies.track_scores import scores
from scripts.studies.tracking import SCENES, SIZE, Faults, Walker, line, measured
from segcli.masks import rle
from segcli.track import Rules
from segcli.track.motion import Axis
from segcli.track.tracker import Detection, Track, Tracker

PERFECT = Faults()


def box(
    x: float, y: float, w: int = 30, h: int = 60, *, number: int = 0, **more: bool
) -> Detection:
    mask = np.zeros(SIZE, bool)
    mask[int(y) : int(y) + h, int(x) : int(x) + w] = True
    text = rle.encode(mask)
    return Detection(number, 1, rle.to_box(text, *SIZE), text, more.get("strong", True))


class Followed:
    """A tracker, and the ids of (frame, mask)."""

    def __init__(self, rules: Rules | None = None, tracks: list[Track] | None = None) -> None:
        self.ids: dict[tuple[str, int], int] = {}
        self._numbers = iter(range(1, 99))
        self.tracker = Tracker(
            rules or Rules(), lambda: next(self._numbers), self.ids.__setitem__, tracks or []
        )

    def step(self, frame: int, *masks: Detection, per_second: float = 10) -> list[int | None]:
        key = str(frame)
        self.tracker.step(key, frame / per_second, SIZE, masks)
        return self.at(frame, len(masks))

    def at(self, frame: int, count: int) -> list[int | None]:
        return [self.ids.get((str(frame), number)) for number in range(count)]


def test_a_mask_gets_its_id_when_it_is_seen_again() -> None:
    followed = Followed()
    assert followed.step(0, box(10, 50)) == [None]
    assert followed.step(1, box(14, 50)) == [1]
    assert followed.at(0, 1) == [1]


def test_weak_masks_continue_tracks_and_begin_none() -> None:
    followed = Followed()
    followed.step(0, box(10, 50), box(300, 50, number=1, strong=False))
    followed.step(1, box(14, 50), box(300, 50, number=1, strong=False))
    assert followed.step(2, box(18, 50, strong=False), box(300, 50, number=1, strong=False)) == [
        1,
        None,
    ]


def test_weak_masks_alone_keep_no_track_alive() -> None:
    followed = Followed(Rules(max_gap=1))
    followed.step(0, box(10, 50))
    followed.step(1, box(10, 50))
    found = [followed.step(frame, box(10, 50, strong=False)) for frame in range(2, 15)]
    assert found == [[1]] * 10 + [[None]] * 3


def test_an_object_is_expected_where_it_was_going() -> None:
    followed = Followed()
    for frame in range(6):
        followed.step(frame, box(10 + 8 * frame, 50))
    # One that stands where it was last, and itself, seven frames later.
    assert followed.step(13, box(50, 50), box(114, 50, number=1)) == [None, 1]


def test_an_object_that_is_away_for_longer_is_another_one() -> None:
    followed = Followed(Rules(max_gap=1))
    followed.step(0, box(10, 50))
    followed.step(1, box(10, 50))
    followed.step(13, box(10, 50))
    assert followed.step(14, box(10, 50)) == [2]


def test_fast_objects_are_matched_by_grown_boxes() -> None:
    followed = Followed()
    followed.step(0, box(10, 50))
    assert followed.step(1, box(50, 50)) == [1]  # its boxes do not meet


def test_a_second_mask_of_an_object_begins_no_track() -> None:
    followed = Followed()
    for frame in range(4):
        found = followed.step(frame, box(10, 50), box(12, 50, number=1))
    assert found == [1, None]


def test_frames_that_repeat_one_let_no_time_pass() -> None:
    followed = Followed(Rules(max_gap=1))
    followed.step(0, box(10, 50))
    followed.step(1, box(10, 50))
    for frame in range(2, 60):
        followed.tracker.repeat("1", str(frame), frame / 10)
    assert followed.step(60, box(10, 50)) == [1]


def test_tracks_survive_json() -> None:
    first = Followed()
    for frame in range(3):
        first.step(frame, box(10 + 5 * frame, 50), box(200, 100, number=1))
    again = [Track.from_json(track.to_json()) for track in first.tracker.tracks]
    assert again == first.tracker.tracks


def test_the_filter_finds_a_constant_velocity() -> None:
    axis = Axis.begun(0, 20, 20)
    for step in range(1, 40):
        axis.see(3.0 * step, 20 + 3.0 * step, 0.1, 20)
    assert axis.velocity == pytest.approx(30, abs=0.5)
    assert axis.expected(0.5) == pytest.approx(10 + 3 * 39 + 15, abs=1)


def test_an_object_that_is_half_hidden_is_where_its_other_edge_says() -> None:
    axis = Axis.begun(100, 140, 40)
    axis.see(100, 140, 0.1, 40)
    axis.see(100, 115, 0.1, 40)
    assert axis.position == pytest.approx(120, abs=1)


@pytest.mark.parametrize("stride", [1, 5])
@pytest.mark.parametrize("scene", ["crossing", "cars"])
def test_scenes_without_faults_have_no_switches(scene: str, stride: int) -> None:
    found = measured(SCENES[scene], PERFECT, stride=stride)
    assert (found.switches, found.tracks) == (0, found.objects)
    assert found.idf1 > 0.97


def test_false_and_missed_detections_cost_no_identity() -> None:
    walkers = [Walker(line(40, 60, 28)), Walker(line(360, 180, -28))]
    found = measured(walkers, Faults(missed=0.2, false=0.5, jitter=0.03))
    assert found.switches == 0
    assert found.idf1 > 0.85


def test_scores_of_cases_counted_by_hand() -> None:
    same, none = np.eye(2), np.zeros((2, 0))
    perfect = scores([((1, 2), (7, 8), same)] * 4)
    assert (perfect.hota, perfect.ass_a, perfect.idf1, perfect.switches) == (1, 1, 1, 0)
    # Half of the frames are missed: DetA = AssA = 4/8, and IDF1 = 2 * 4 / (8 + 4).
    half = scores([((1, 2), (7, 8), same), ((1, 2), (), none)] * 2)
    assert (half.hota, half.idf1) == pytest.approx((0.5, 8 / 12))
    # The ids are exchanged in the middle: each pair has 2 of 4 + 4 - 2 frames.
    swapped = scores([((1, 2), (7, 8), same)] * 2 + [((1, 2), (8, 7), same)] * 2)
    assert (swapped.ass_a, swapped.hota) == pytest.approx((1 / 3, (1 / 3) ** 0.5))
    assert (swapped.idf1, swapped.switches) == (0.5, 2)


def test_what_has_no_number_yet_is_given_up_sooner() -> None:
    followed = Followed(Rules(max_gap=2))
    followed.step(0, box(10, 50))
    followed.step(1)
    assert followed.step(15, box(10, 50)) == [None]
    slow = Followed(Rules(max_gap=2))
    slow.step(0, box(10, 50), per_second=0.5)
    assert slow.step(1, box(10, 50), per_second=0.5) == [1]  # nothing is missing in between
