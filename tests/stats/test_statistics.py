"""Every number equals a plain pandas computation."""

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.stats import StatsOptions, statistics

MIN = 0.4


@pytest.fixture
def chosen(frame):
    return frame[frame["score"] >= MIN]


def of(found, name):
    return next(row for row in found.classes if row["category"] == name)


def test_counts_per_class(masks, frame, chosen):
    found = statistics(StatsOptions(masks=masks))
    assert found.min_score.lowest == MIN  # the model's default
    done = frame.loc[frame["status"] == "ok", "key"].nunique()
    assert found.run["done"] == done
    assert sum(row["masks"] for row in found.classes) == len(chosen)
    for name, rows in chosen.groupby("category"):
        row = of(found, name)
        per_image = rows.groupby("key").size()
        assert row["masks"] == len(rows)
        assert (row["images"], row["images_with"]) == (done, len(per_image))
        assert row["per_image"] == pytest.approx(len(rows) / done)
        assert row["image_share"] == pytest.approx(len(per_image) / done)
        assert row["per_image_with_mean"] == pytest.approx(per_image.mean())
        assert row["per_image_with_median"] == per_image.median()
        assert row["per_image_max"] == per_image.max()


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5, 0.75, 0.95])
def test_quantiles_per_class(masks, chosen, level):
    found = statistics(StatsOptions(masks=masks))
    columns = {
        "score": chosen["score"],
        "area": chosen["area"],
        "share": chosen["area"] / (chosen["height"] * chosen["width"]),
        "aspect": chosen["w"] / chosen["h"],
    }
    for name in ("person", "car", "bus"):
        for kind, values in columns.items():
            expected = values[chosen["category"] == name].astype(float).quantile(level)
            assert of(found, name)[f"{kind}_p{round(level * 100):02d}"] == pytest.approx(expected)


def test_sizes_and_borders(masks, chosen):
    found = statistics(StatsOptions(masks=masks))
    for name, rows in chosen.groupby("category"):
        row, area = of(found, name), rows["area"]
        assert row["small_share"] == pytest.approx((area < 1024).mean())
        assert row["medium_share"] == pytest.approx(((area >= 1024) & (area < 9216)).mean())
        assert row["large_share"] == pytest.approx((area >= 9216).mean())
        touches = (
            (rows["x"] <= 1)
            | (rows["y"] <= 1)
            | (rows["x"] + rows["w"] >= rows["width"] - 1)
            | (rows["y"] + rows["h"] >= rows["height"] - 1)
        )
        assert row["border_share"] == pytest.approx(touches.mean())


def test_bins(masks, chosen):
    found = statistics(StatsOptions(masks=masks))
    cars = chosen[chosen["category"] == "car"]
    x = ((cars["x"] + cars["w"] / 2) / cars["width"] * 10).astype(int)
    y = ((cars["y"] + cars["h"] / 2) / cars["height"] * 10).astype(int)
    assert found.bins[3]["cell"] == (x + 10 * y).value_counts().to_dict()
    scores = (cars["score"] * 20).astype(int)
    assert found.bins[3]["score_bin"] == scores.value_counts().to_dict()
    areas = np.floor(np.log10(cars["area"].astype(float)) * 4).astype(int)
    assert found.bins[3]["area_bin"] == areas.value_counts().to_dict()


def test_classes_in_one_image(masks, chosen):
    found = statistics(StatsOptions(masks=masks))
    sets = chosen.groupby("key")["category_id"].agg(set)
    pairs = {frozenset(pair): n for pair, n in found.together.items()}
    for a, b in ((1, 3), (1, 6), (3, 6)):
        assert pairs[frozenset((a, b))] == sum({a, b} <= s for s in sets)


def test_the_run(masks, frame, chosen):
    run = statistics(StatsOptions(masks=masks)).run
    assert run["failed"] == 6
    assert run["failures"] == [
        {
            "reason": "truncated image: N bytes missing",
            "images": 6,
            "example": "cam1/cam1_20261118-030100.jpg",
        }
    ]
    assert run["failures"][0]["reason"].count("N") == 1  # the numbers differ from image to image
    assert run["empty"] == run["done"] - chosen["key"].nunique()
    assert (run["last"] - run["first"]).total_seconds() == 1800 * 59


def test_min_score_and_where(masks, frame):
    found = statistics(StatsOptions(masks=masks, min_score=0.8, where="area > 5000 or bbox.w > 99"))
    rows = frame[(frame["score"] >= 0.8) & ((frame["area"] > 5000) | (frame["w"] > 99))]
    expected = dict(rows["category"].value_counts())
    assert {row["category"]: row["masks"] for row in found.classes} == expected


def test_rates_are_over_the_images_that_pass(masks, frame):
    """A filter of masks leaves the images as they are; filters of images do not."""
    chosen = {"key": "cam1/*", "where_image": "height > 480 or src_site = 'south'"}
    found = statistics(StatsOptions(masks=masks, **chosen))
    passed = frame[
        frame["key"].str.startswith("cam1/")
        & ((frame["height"] > 480) | (frame["src_site"] == "south"))
    ]
    done = passed.loc[passed["status"] == "ok", "key"].nunique()
    failed = passed.loc[passed["status"] == "failed", "key"].nunique()
    assert 0 < done < 60
    assert failed
    assert (found.run["done"], found.run["failed"]) == (done, failed)
    counts = passed[passed["score"] >= MIN]["category"].value_counts()
    assert {r["category"]: r["masks"] for r in found.classes} == counts.to_dict()
    for row in found.classes:
        assert row["per_image"] == pytest.approx(counts[row["category"]] / done)
    day = statistics(StatsOptions(masks=masks, by="folder", **chosen))
    assert {(r["group"], r["images"]) for r in day.groups} == {("cam1", done)}


def test_a_filter_of_images_knows_no_masks(masks):
    with pytest.raises(UsageError, match="`where_image` 'score > 0.5' is not a condition over the"):
        statistics(StatsOptions(masks=masks, where_image="score > 0.5"))
    (note,) = statistics(StatsOptions(masks=masks, where="key GLOB 'cam1/*'")).notes
    assert "--where-image leaves out images" in note
    assert statistics(StatsOptions(masks=masks, where="score > 0.5 and height > 9")).notes == ()
    found = statistics(StatsOptions(masks=masks, key="cam9/*"))
    assert found.run["done"] == 0
    (note,) = found.notes
    assert "passes --key 'cam9/*'; a key of it is 'cam0/cam0_20261118-" in note


def modified(frame):
    """When the files were modified, as a column of pandas."""
    import pandas as pd

    return pd.to_datetime(frame["mtime_ns"]).dt


@pytest.mark.parametrize(
    ("by", "group"),
    [
        ("folder", lambda f: f["key"].str.split("/").str[0]),
        ("camera", lambda f: f["key"].str.split("/").str[0]),
        ("day", lambda f: modified(f).strftime("%Y-%m-%d")),
        ("hour", lambda f: modified(f).strftime("%Y-%m-%d %H:00")),
        ("hour-of-day", lambda f: modified(f).strftime("%H:00")),
        ("column:src_site", lambda f: f["src_site"].fillna("unknown")),
        ("src_site", lambda f: f["src_site"].fillna("unknown")),
    ],
)
def test_groups(masks, frame, by, group):
    found = statistics(StatsOptions(masks=masks, by=by))
    frame = frame.assign(group=group(frame))
    images = frame[frame["status"] == "ok"].groupby("group")["key"].nunique()
    rows = frame[frame["score"] >= MIN].groupby(["group", "category"])
    empty = [row for row in found.groups if row["category"] is None]
    assert {r["group"] for r in empty} == set(images.index) - {name for name, _ in rows.groups}
    assert all((r["masks"], r["images_with"], r["per_image"]) == (0, 0, 0) for r in empty)
    assert all(r["images"] == images[r["group"]] for r in empty)
    assert len(found.groups) - len(empty) == len(rows)
    for row in found.groups:
        if row in empty:
            continue
        part = rows.get_group((row["group"], row["category"]))
        assert row["images"] == images[row["group"]]
        assert (row["masks"], row["images_with"]) == (len(part), part["key"].nunique())
        assert row["per_image"] == pytest.approx(len(part) / images[row["group"]])
        assert row["score_p50"] == pytest.approx(part["score"].median())
        assert row["area_p50"] == part["area"].median()


def test_one_group_of_everything_says_what_the_classes_say(masks):
    """The same words mean the same in both tables."""
    found = statistics(StatsOptions(masks=masks, by="status"))
    classes = {row["category"]: row for row in found.classes}
    assert len(found.groups) == len(classes) == 3
    for row in found.groups:
        shared = row.keys() & classes[row["category"]].keys()
        assert {"images", "images_with", "masks", "per_image", "score_p50", "area_p50"} <= shared
        for name in shared:
            assert row[name] == pytest.approx(classes[row["category"]][name]), name


def test_several_groups(masks, frame):
    found = statistics(StatsOptions(masks=masks, by="hour-of-day, column:src_site"))
    frame = frame.assign(
        hour=modified(frame).strftime("%H:00"),
        site=frame["src_site"].fillna("unknown"),
    )
    counts = frame[frame["score"] >= MIN].groupby(["hour", "site", "category"]).size().to_dict()
    assert found.titles == ("hour-of-day", "src_site")
    seen = {
        (row["hour-of-day"], row["src_site"], row["category"]): row["masks"]
        for row in found.groups
        if row["category"]
    }
    assert seen == counts
    images = frame[frame["status"] == "ok"].groupby(["hour", "site"])["key"].nunique()
    for row in found.groups:
        assert row["images"] == images[row["hour-of-day"], row["src_site"]]


def test_weekdays_are_in_order(masks):
    found = statistics(StatsOptions(masks=masks, by="weekday"))
    assert [g["group"] for g in found.groups][:1] == ["3 Wednesday"]


def test_a_pattern_gives_time_and_camera(masks, frame):
    pattern = "/%(camera)_%Y%m%d-%H%M%S"
    found = statistics(StatsOptions(masks=masks, by="hour-of-day", time_pattern=pattern))
    hours = frame[frame["score"] >= MIN]["key"].str.extract(r"-(\d\d)")[0] + ":00"
    assert {g["group"] for g in found.groups} == set(hours)
    cameras = statistics(StatsOptions(masks=masks, by="camera", time_pattern=pattern))
    assert {g["group"] for g in cameras.groups} == {"cam0", "cam1"}


def test_what_does_not_match_the_pattern_is_unknown(masks):
    pattern = "cam0_%Y%m%d-"
    found = statistics(StatsOptions(masks=masks, by="day", time_pattern=pattern))
    assert {g["group"] for g in found.groups} == {"2026-11-18", "unknown"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"by": "colour"}, "expected category, folder, camera"),
        ({"by": "hour,colour"}, "--by 'colour'"),
        ({"by": ""}, "--by ''"),
        ({"time_pattern": "%Q", "by": "day"}, "%Q is unknown; known are"),
        ({"time_pattern": "plain", "by": "day"}, "one of them at least"),
        ({"time_column": "when"}, "--time-column 'when'"),
        ({"where": "nonsense"}, "--where 'nonsense'"),
    ],
)
def test_wrong_options_are_explained(masks, wrong, said):
    with pytest.raises(UsageError, match=said):
        statistics(StatsOptions(masks=masks, **wrong))


def test_nothing_above_the_score(masks):
    found = statistics(StatsOptions(masks=masks, min_score=1.0))
    assert (found.classes, found.together, found.bins) == ([], {}, {})
    assert found.run["empty"] == found.run["done"]
