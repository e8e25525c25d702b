"""Alert rules on cameras: stopped, frozen, covered, moved."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import AlertFired, UsageError
from segcli.stats import parse
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, View

NOW_S = time.time()
SCENE, OTHER = 0x00FF00FF00FF00FF, 0x0F0F0F0F0F0F0F0F


def records(camera: str, minutes: Iterable[int], *events: str, views: bool = True) -> list[Record]:
    """An image at each of so many minutes before now; an event begins with the 31st image."""
    rng = np.random.default_rng(0)
    made = []
    for number, minute in enumerate(minutes):
        name = f"{camera}/{number:03d}.jpg"
        sample = Sample(name, "", size_bytes=1, mtime_ns=int((NOW_S - 60 * minute) * 1e9))
        noise = 0.0 if "frozen" in events and number > 30 else float(rng.normal(0, 0.1))
        is_covered = "covered" in events and number > 30
        hashed = OTHER if "moved" in events and number > 30 else SCENE
        view = View(100 + noise, 1.0 if is_covered else 40 + noise, 9 + noise, hashed)
        made.append(Record(sample, 48, 64, (), view=view if views else None))
    return made


def write(path: Path, *cameras: list[Record]) -> Path:
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.4})
    with open_output(path, settings, carried={}, categories=(("person",), (1,))) as output:
        for some in cameras:
            output.commit(some)
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of every minute, but for one camera that stopped 5 hours ago for 2 hours."""
    hours = range(120, 0, -1)
    return write(
        tmp_path_factory.mktemp("cameras") / "m.parquet",
        records("gate", [*range(500, 420, -1), *range(300, 0, -1)]),
        records("yard", hours, "frozen"),
        records("door", hours, "covered"),
        records("hall", hours, "moved"),
        records("roof", [minute + 240 for minute in hours], views=False),
    )


def fired(out: Path, *rules: str) -> str:
    """The sentences of the rules; "" when none fires."""
    words = [word for rule in rules for word in ("--alert", rule)]
    try:
        done = CliRunner().invoke(app, ["stats", str(out), *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    except AlertFired as error:
        return str(error)
    return ""


def test_each_camera_that_something_happened_to_is_named(out: Path) -> None:
    assert fired(out, "camera: frozen > 1") == "camera: frozen > 1: 1.47 h now in yard"
    assert fired(out, "camera: frozen > 1.5", "camera: blurred > 0", "camera: light > 0") == ""
    covered, moved = fired(out, "camera: covered > 0.1", "camera: moved > 0").split("; ")
    assert covered == "camera: covered > 0.1: 1.47 h now in door"
    assert moved == "camera: moved > 0: 1 now in hall"


def test_a_camera_without_new_images_is_named(out: Path) -> None:
    (age,) = fired(out, "camera: age > 2").split("; ")
    assert age.endswith("now in roof")
    gaps = fired(out, "camera: gap > 1.9").split("; ")
    assert [line.rpartition(" ")[2] for line in gaps] == ["gate", "roof"]
    assert fired(out, "camera gate: age > 2") == ""
    assert fired(out, "camera gate: gap > 1.9", "person: count > 0").endswith("now in gate")


def test_an_image_from_the_future_does_not_hide_that_a_camera_has_stopped(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.parquet",
        records("gate", [-1000, 300], views=False),
        records("yard", [-1000, -60], views=False),
    )
    assert fired(path, "camera: age > 2").endswith("now in gate")


def test_a_camera_that_the_names_do_not_state_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", records("c1_", [5], views=False), records("yard", [5]))
    words = ["stats", str(path), "--time-pattern", "%(camera)_", "--alert"]
    with pytest.raises(UsageError, match=r"those with times are of: c1, unknown"):
        CliRunner().invoke(app, [*words, "camera gate: age > 2"], catch_exceptions=False)
    with pytest.raises(AlertFired, match="now in unknown"):
        CliRunner().invoke(app, [*words, "camera unknown: age < 2"], catch_exceptions=False)


def test_what_cannot_be_known_is_refused(out: Path) -> None:
    with pytest.raises(UsageError, match=r"of camera 'gat' .* of: door, gate.*did you mean 'gate'"):
        fired(out, "camera gat: age > 2")
    with pytest.raises(UsageError, match="frozen is known only .* --skip-static"):
        fired(out, "camera roof: frozen > 1")
    for rule in (
        "camera: age > 2",
        "camera gate: age > 2",
        "run: gap > 1",
        "person: count/hour < 1",
    ):
        words = ["stats", str(out), "--where-image", "mtime_ns < 0", "--alert", rule]
        with pytest.raises(UsageError, match="is counted; --where-image and --key leave out all"):
            CliRunner().invoke(app, words, catch_exceptions=False)
    with pytest.raises(UsageError, match="needs a number"):
        fired(out, "camera: gap > 2 * previous")
    with pytest.raises(UsageError, match="a camera has: age, gap, frozen"):
        parse("camera: foggy > 1")
    assert not parse("camera: count > 1").is_of_cameras  # a class may have this name


def test_times_of_names_are_of_the_time_zone_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()  # the module's may be many minutes old when the whole suite runs
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_s + 9 * 3600 - 1800))  # in Tokyo
    sample = Sample(f"gate/{stamp}.jpg", "", size_bytes=1, mtime_ns=int(now_s * 1e9))
    path = write(tmp_path / "m.parquet", [Record(sample, 48, 64)])
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        words = ["--time-pattern", "%Y%m%d-%H%M%S", "--alert", "camera: age > 1"]
        found = CliRunner().invoke(app, ["stats", str(path), *words, "--format", "json"])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.exit_code == 0, found.output
    (row,) = json.loads(found.output)["cameras"]
    assert row["camera"] == "gate"
    assert row["age"] == pytest.approx(0.5, abs=0.1)
