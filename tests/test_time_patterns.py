"""Names that look like times: those that tools write, and those that only look so."""

from datetime import datetime, timedelta

import pytest

from segcli.errors import UsageError
from segcli.stats import StatsOptions, statistics
from segcli.store import Settings, open_output
from segcli.time_patterns import moment_of, recognised
from segcli.types import Record, Sample

TIMES = [datetime(2026, 4, 1, 8, 30) + timedelta(minutes=37, seconds=11) * n for n in range(12)]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("%Y%m%d_%H%M%S.jpg", "%Y%m%d_%H%M%S"),
        ("IMG_%Y%m%d_%H%M%S.jpg", "%Y%m%d_%H%M%S"),
        ("PXL_%Y%m%d_%H%M%S123.jpg", "%Y%m%d_%H%M%S"),
        ("cam1/%Y-%m-%dT%H-%M-%S.jpg", "%Y-%m-%dT%H-%M-%S"),
        ("%Y-%m-%d_%H.%M.%S.jpg", "%Y-%m-%d_%H.%M.%S"),
        ("%Y-%m-%dT%H:%M:%SZ.jpg", "%Y-%m-%dT%H:%M:%S"),
        ("Screenshot %Y-%m-%d at %H.%M.%S.png", "%Y-%m-%d at %H.%M.%S"),
        ("%Y_%m_%d_%H_%M_%S.jpg", "%Y_%m_%d_%H_%M_%S"),
        ("cam7_00_%Y%m%d%H%M%S.jpg", "%Y%m%d%H%M%S"),
        ("%Y/%m/%d/%H%M%S.jpg", "%Y/%m/%d/%H%M%S"),
        ("cam1/%Y-%m-%d/%H/%M-%S.jpg", "%Y-%m-%d/%H/%M-%S"),
        ("%Y-%m-%d/cam1_%H%M%S.jpg", "%Y-%m-%d/%(camera)_%H%M%S"),
        ("%Y%m%d_%H%M.jpg", "%Y%m%d_%H%M"),
        ("%d.%m.%Y %H-%M-%S.jpg", "%d.%m.%Y %H-%M-%S"),
        ("%y%m%d_%H%M%S.jpg", "%y%m%d_%H%M%S"),
        ("%Y%m%d_%H%M%S.mp4#frame=5", "%Y%m%d_%H%M%S"),
        ("100%%_%Y%m%d-%H%M%S.jpg", "%Y%m%d-%H%M%S"),
        ("%s.jpg", "%s"),
        ("cam1_%s123.jpg", "%s"),  # milliseconds
        ("%s123456789.png", "%s"),  # nanoseconds
    ],
)
def test_names_that_state_a_time_are_recognised(name, pattern):
    keys = [time.strftime(name.replace("%s", str(int(time.timestamp())))) for time in TIMES]
    assert recognised(keys, clock=True) == pattern
    seconds = 60 if pattern.endswith("%M") else 1
    if pattern != "%s":
        for key, time in zip(keys, TIMES, strict=True):
            assert abs(moment_of(pattern, key) - time) < timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (lambda n: f"{37191 * n:012d}.jpg", None),
        (lambda n: f"DSC_{n:04d}.jpg", None),
        (lambda n: f"photo_{n}_1920x1080.jpg", None),
        (lambda n: f"4{728171834 + 193817 * n}_ab.jpg", None),
        (lambda n: f"20260401_{n:04d}.jpg", "%Y%m%d"),  # a day, and a number that counts
        (lambda n: f"IMG-20260401-WA{n:04d}.jpg", "%Y%m%d"),
    ],
)
def test_numbers_that_are_no_times(names, pattern):
    keys = [names(n) for n in range(12)]
    assert recognised(keys, clock=True) is None
    assert recognised(keys, clock=False) == pattern


@pytest.fixture
def write(tmp_path):
    def made(keys):
        path = tmp_path / "masks.parquet"
        facts = Settings({"source_root": "/archive"}, {"default_score": 0.5})
        with open_output(path, facts, carried={}, categories=(("car",), (3,))) as output:
            output.commit([Record(Sample(key, "", mtime_ns=10**18), 10, 10, ()) for key in keys])
        return path

    return made


def test_a_pattern_is_proposed_and_works(write):
    masks = write([f"20260401_{hour:02d}3000.jpg" for hour in range(5)])
    found = statistics(StatsOptions(masks=masks, by="hour"))
    (note,) = found.notes
    assert "add --time-pattern %Y%m%d_%H%M%S; without it, the modification times" in note
    better = statistics(StatsOptions(masks=masks, by="hour", time_pattern="%Y%m%d_%H%M%S"))
    assert [row["group"] for row in better.groups] == [f"2026-04-01 {h:02d}:00" for h in range(5)]
    assert better.notes == ()
    assert statistics(StatsOptions(masks=masks, by="folder")).notes == ()


def test_a_pattern_that_fits_no_name_is_refused(write):
    masks = write([f"20260401_{hour:02d}3000.jpg" for hour in range(5)])
    with pytest.raises(
        UsageError,
        match=r"'%Y-%m-%d' gives no image .*a key of it is '20260401_0\d3000.jpg'; "
        r"--time-pattern %Y%m%d_%H%M%S fits",
    ):
        statistics(StatsOptions(masks=masks, time_pattern="%Y-%m-%d"))


def test_seconds_since_1970_in_sql_as_in_python(write):
    masks = write(["cam1_1775032200123.jpg", "cam1_99.jpg", "cam2_1775035800999.jpg"])
    found = statistics(StatsOptions(masks=masks, by="hour,camera", time_pattern="%(camera)_%s"))
    seen = [(row["hour"], row["camera"]) for row in found.groups if row["images"]]
    assert seen == [
        ("2026-04-01 08:00", "cam1"),
        ("2026-04-01 09:00", "cam2"),
        ("unknown", "unknown"),
    ]


def test_years_of_two_digits_are_of_this_century(write):
    masks = write(["260401_083000.jpg"])
    found = statistics(StatsOptions(masks=masks, by="hour", time_pattern="%y%m%d_%H%M%S"))
    assert [row["group"] for row in found.groups] == ["2026-04-01 08:00"]


def test_a_pattern_of_cameras_alone_leaves_the_times(write):
    masks = write(["cam1_a.jpg", "cam2_b.jpg"])
    found = statistics(StatsOptions(masks=masks, by="camera", time_pattern="%(camera)_"))
    assert found.run["time_from"] == {"files": 2}
    assert found.run["camera_from"] == {"names": 2}
