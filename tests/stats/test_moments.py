"""When and with what an image was taken: columns, names, EXIF, files."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from PIL import Image

from segcli.errors import UsageError
from segcli.manifest import make_manifest
from segcli.stats import StatsOptions, statistics
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

FILE_TIME = int(datetime(2026, 11, 18, 9, 30, tzinfo=UTC).timestamp()) * 10**9
ONE = Segment(0, 0.9, (1.0, 1.0, 9.0, 9.0), 81, b"x")


def groups(found):
    """Group -> masks, without gaps in time."""
    return {row["group"]: row["masks"] for row in found.groups if row["images"]}


@pytest.fixture
def write(tmp_path):
    """Writes rows of one mask each; `columns` name -> (type, values)."""

    def made(keys, *, root="/archive", prefix="", columns=None, **more):
        columns = columns or {}
        settings = Settings({"source_root": str(root)}, {"default_score": 0.5}, prefix)
        path = tmp_path / "masks.parquet"
        carried = {name: kind for name, (kind, _) in columns.items()}
        records = [
            Record(
                Sample(
                    key,
                    "",
                    mtime_ns=FILE_TIME,
                    carried={name: values[i] for name, (_, values) in columns.items()},
                    **more,
                ),
                20,
                30,
                [ONE],
            )
            for i, key in enumerate(keys)
        ]
        with open_output(path, settings, carried=carried, categories=(("car",), (3,))) as output:
            output.commit(records)
        return path

    return made


@pytest.fixture
def photographs(tmp_path):
    """a.jpg (a Nikon, 3 May), sub/b.jpg (a Canon, 4 May) and c.png (nobody knows)."""
    root = (tmp_path / "photographs").resolve()
    (root / "sub").mkdir(parents=True)
    for name, make, model, taken in (
        ("a.jpg", "NIKON", "NIKON D70", "2024:05:03 10:20:30"),
        ("sub/b.jpg", "Canon", "EOS 5D", "2024:05:04 23:59:59"),
    ):
        exif = Image.Exif()
        exif[0x010F], exif[0x0110], exif[0x0132] = make, model, taken
        Image.new("RGB", (30, 20)).save(root / name, exif=exif)
    Image.new("RGB", (30, 20)).save(root / "c.png")
    return root


KEYS = ["a.jpg", "sub/b.jpg", "c.png", "gone.jpg"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.string(), ["2024-05-03 10:20:30", "2024:05:04 23:00:00", "no time", None]),
        (
            pa.timestamp("us"),  # in the output as the manifest has it
            [1714731630 * 10**6, 1714863600 * 10**6, None, None],
        ),
        (pa.timestamp("ms", tz="UTC"), [1714731630_000, 1714863600_000, None, None]),
        (pa.int64(), [1714731630, 1714863600, None, None]),
        (pa.float64(), [1714731630.5, 1714863600.0, None, None]),
    ],
    ids=str,
)
def test_a_column_has_the_time(write, kind, values):
    masks = write(KEYS, columns={"when": (kind, values)})
    found = statistics(StatsOptions(masks=masks, by="hour", time_column="src_when"))
    assert groups(found) == {"2024-05-03 10:00": 1, "2024-05-04 23:00": 1, "unknown": 2}
    assert found.run["time_from"] == {"column src_when": 2, "unknown": 2}
    assert found.run["first"] == datetime(2024, 5, 3, 10, 20, 30, found.run["first"].microsecond)


def test_a_time_beyond_the_year_9999_is_unknown(write):
    """Milliseconds and nanoseconds since 1970 that are read as seconds."""
    values = [1714731630_000, 1714731630 * 10**9, 1714731630]
    masks = write(KEYS[:3], columns={"when": (pa.int64(), values)})
    found = statistics(StatsOptions(masks=masks, by="day", time_column="src_when"))
    assert groups(found) == {"2024-05-03": 1, "unknown": 2}


def test_a_column_of_something_else_is_refused(write):
    masks = write(KEYS, columns={"good": (pa.bool_(), [True] * 4)})
    with pytest.raises(UsageError, match="'src_good' is BOOLEAN; expected a time"):
        statistics(StatsOptions(masks=masks, time_column="src_good"))


def test_frames_add_their_time_in_the_video(write):
    keys = [f"v.mp4#frame={n}" for n in range(3)]
    columns = {"begins": (pa.string(), ["2024-05-03 10:59:00"] * 3)}
    masks = write(keys, columns=columns, frame=1, time_s=90.0)
    for options, hour in (({}, "09:00"), ({"time_column": "src_begins"}, "11:00")):
        found = statistics(StatsOptions(masks=masks, by="hour-of-day", **options))
        assert groups(found) == {hour: 3}


def test_without_anything_better_it_is_the_files_time(write):
    found = statistics(StatsOptions(masks=write(KEYS), by="hour"))
    assert groups(found) == {"2026-11-18 09:00": 4}
    assert found.run["time_from"] == {"files": 4}
    assert found.run["camera_from"] == {"folders": 4}


def test_exif_of_the_images_and_the_files_time_for_the_rest(write, photographs):
    masks = write(KEYS, root=photographs)
    days = statistics(StatsOptions(masks=masks, by="day", images=str(photographs)))
    assert groups(days) == {"2024-05-03": 1, "2024-05-04": 1, "2026-11-18": 2}
    assert days.run["time_from"] == {"EXIF": 2, "files": 2}
    cameras = statistics(StatsOptions(masks=masks, by="camera", images=str(photographs)))
    assert groups(cameras) == {"NIKON D70": 1, "Canon EOS 5D": 1, ".": 2}
    assert cameras.run["camera_from"] == {"EXIF": 2, "folders": 2}


def test_exif_is_found_under_a_prefix_and_where_the_archive_lies_now(write, photographs):
    masks = write([f"site/{key}" for key in KEYS], root="/elsewhere", prefix="site")
    days = statistics(StatsOptions(masks=masks, by="day", images=str(photographs)))
    assert groups(days) == {"2024-05-03": 1, "2024-05-04": 1, "2026-11-18": 2}


def test_a_manifest_saves_reading_the_files(write, photographs, tmp_path):
    masks = write(KEYS, root=photographs)
    manifest = tmp_path / "manifest.parquet"
    make_manifest(str(photographs), manifest)
    for path in photographs.rglob("*.jpg"):
        path.write_bytes(b"")  # nothing to be read any more
    cameras = statistics(StatsOptions(masks=masks, by="camera", images=str(manifest)))
    assert groups(cameras) == {"NIKON D70": 1, "Canon EOS 5D": 1, ".": 2}
    days = statistics(StatsOptions(masks=masks, by="day", images=str(manifest)))
    assert groups(days) == {"2024-05-03": 1, "2024-05-04": 1, "2026-11-18": 2}


def test_a_run_over_a_manifest_has_its_times_and_cameras(write):
    taken = ["2024:05:03 10:20:30", "0000:00:00 00:00:00", None, "2024:05:03 11:00:00"]
    columns = {
        "taken": (pa.string(), taken),
        "camera": (pa.string(), ["Canon EOS 5D", None, "  ", "NIKON D70"]),
    }
    masks = write(KEYS, columns=columns)
    days = statistics(StatsOptions(masks=masks, by="day"))
    assert groups(days) == {"2024-05-03": 2, "2026-11-18": 2}
    assert days.run["time_from"] == {"files": 2, "src_taken": 2}
    cameras = statistics(StatsOptions(masks=masks, by="camera"))
    assert groups(cameras) == {"Canon EOS 5D": 1, "NIKON D70": 1, "sub": 1, ".": 1}


def test_a_pattern_without_seconds_and_an_impossible_day(write):
    masks = write(["c1-20240503-10.jpg", "c1-20240231-10.jpg", "c2.jpg"])
    pattern = "%(camera)-%Y%m%d-%H"
    found = statistics(StatsOptions(masks=masks, by="hour", time_pattern=pattern))
    assert groups(found) == {"2024-05-03 10:00": 1, "unknown": 2}
    cameras = statistics(StatsOptions(masks=masks, by="camera", time_pattern=pattern))
    assert groups(cameras) == {"c1": 2, "unknown": 1}
    assert cameras.run["camera_from"] == {"names": 2, "unknown": 1}
