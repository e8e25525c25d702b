"""The partition of an image is a function of its key."""

import pytest

from segcli.errors import UsageError
from segcli.partitions import Partitions, date_of


@pytest.mark.parametrize(
    ("key", "date"),
    [
        ("gate/2026-11-27/0800.jpg", "2026-11-27"),
        ("2026/11/27/gate/0800.jpg", "2026-11-27"),
        ("gate/20261127_080000.jpg", "2026-11-27"),
        ("gate/20261127080000.jpg", "2026-11-27"),
        ("export_2027-01-02/gate_2026.11.27.jpg", "2026-11-27"),
        ("2026-11-26/2026-11-27/a.jpg", "2026-11-27"),
        ("gate/20261127_2359-20261128_0000.mp4", "2026-11-27"),
        ("gate/20260230/a.jpg", None),  # 30 February
        ("2026/11/2712.jpg", None),  # a number that counts
        ("2026-11/27/a.jpg", None),
        ("gate/a.jpg", None),
        ("gate/120261127.jpg", None),
    ],
)
def test_dates_in_keys(key: str, date: str | None) -> None:
    found = date_of(key)
    assert (None if found is None else found.isoformat()) == date
    folder = f"date={date or '__HIVE_DEFAULT_PARTITION__'}"
    assert Partitions(("date",)).folder(key) == folder


@pytest.mark.parametrize(
    ("key", "camera"),
    [
        ("gate/2026-11-27/a.jpg", "gate"),
        ("site 1/gate/a.jpg", "site 1%2Fgate"),
        ("50%/a.jpg", "50%25"),
        ("a=b:c'd\"e#f?g*h[i]/a.jpg", "a%3Db%3Ac%27d%22e%23f%3Fg%2Ah%5Bi%5D"),
        ("Tür/a.jpg", "Tür"),
        ("a.jpg", "."),
        ("ü" * 130 + "/a.jpg", "__HIVE_DEFAULT_PARTITION__"),  # no folder has a name so long
    ],
)
def test_cameras_are_escaped_as_hive_does(key: str, camera: str) -> None:
    assert Partitions(("camera",)).folder(key) == f"camera={camera}"


def test_frames_of_a_clip_are_in_one_partition() -> None:
    both = Partitions.parse("date,camera", None)
    folders = {both.folder(f"gate_20261127_2350.mp4#frame={n}") for n in (0, 20261128)}
    assert folders == {"date=2026-11-27/camera=gate"}


def test_a_pattern_decides_what_it_states() -> None:
    by = Partitions.parse("camera,date", "%d%m%Y-c%(camera)-")
    assert by.folder("x/27112026-c7-1.jpg") == "camera=7/date=2026-11-27"
    assert by.folder("x/20261127.jpg") == "camera=x/date=__HIVE_DEFAULT_PARTITION__"
    clock = Partitions.parse("date", "_%H%M%S")
    assert clock.folder("2026-11-27/gate_081500.jpg") == "date=2026-11-27"


@pytest.mark.parametrize("text", ["", "day", "date,date", "date, camera", "date;camera"])
def test_unknown_partitions_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected date, camera or date,camera"):
        Partitions.parse(text, None)


def test_settings_state_the_partitions() -> None:
    by = Partitions.parse("date,camera", "%Y%m%d")
    assert Partitions.of(by.facts()) == by
    assert Partitions.of({"min_score": 0.5}) is None
