"""Rules for cron."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.stats import Statistics, alerts, parse


def statistics(masks=100, hours=5):
    run = {
        "done": 45,
        "failed": 5,
        "empty": 3,
        "first": datetime(2026, 1, 1, 0),
        "last": datetime(2026, 1, 1, hours),
    }
    row = counted("person", masks, 45)
    return Statistics(Path("masks.parquet"), 0.5, run, [row], ("person", "cat"))


def counted(category, masks, images):
    more = {"images": images, "images_with": 20, "score_p50": 0.8, "area_p50": 900}
    return {"category": category, "masks": masks, "per_image": masks / images} | more


def by_day(**persons):
    """Ten images on each day; None: without any mask."""
    groups = [
        {"group": day} | counted("person" if n else None, n or 0, 10) for day, n in persons.items()
    ]
    found = statistics(sum(n or 0 for n in persons.values()))
    return replace(found, by=("day",), titles=("group",), groups=groups)


@pytest.mark.parametrize(
    ("rule", "fires"),
    [
        ("person: count < 101", True),
        ("person: count < 100", False),
        ("person: count <= 1e2", True),
        ("person: count/hour >= 20", True),
        ("person: count/image > 2.3", False),
        ("person:images>19", True),
        ("person: score < 0.7", False),
        ("person: area > 100", True),
        ("cat: count < 1", True),
        ("run: failed/image > 0.05", True),
        ("run: failed > 5", False),
        ("run: empty/image > 0.1", False),
        ("run: images < 51", True),
    ],
)
def test_rules(rule, fires):
    assert bool(alerts([parse(rule)], statistics(), None)) == fires


def test_a_rule_on_what_the_run_did_not_look_for_is_refused():
    with pytest.raises(
        UsageError, match=r"no class 'pesron'; it has: person.*did you mean 'person'"
    ):
        alerts([parse("pesron: count > 10")], statistics(), None)


def test_a_median_of_nothing_is_said_to_be_one():
    (said,) = alerts([parse("cat: score < 0.6")], statistics(), None)
    assert said == "cat: score < 0.6: 0 now (there is no mask of it)"


def test_large_numbers_are_written_out():
    (said,) = alerts([parse("person: count > 9")], statistics(123456), None)
    assert said == "person: count > 9: 123,456 now"


def test_a_rule_compares_with_the_previous_output():
    rule = parse("person: count/hour < 0.2 * previous")
    said = alerts([rule], statistics(10), statistics(100))
    assert said == ["person: count/hour < 0.2 * previous: 2 now, limit 4"]
    assert alerts([rule], statistics(30), statistics(100)) == []
    assert alerts([parse("person: count < previous")], statistics(99), statistics(100))


def test_without_a_previous_output_the_rule_is_no_rule():
    with pytest.raises(UsageError, match="--compare DIR"):
        alerts([parse("person: count < previous")], statistics(), None)


def test_a_rate_needs_time():
    with pytest.raises(UsageError, match="do not span any time"):
        alerts([parse("person: count/hour < 1")], statistics(hours=0), None)


@pytest.mark.parametrize(
    ("rule", "fires"),
    [
        ("person: count < 31", ["count < 31: 29 now in mon", "0 now in wed"]),
        ("person: count/image > 3", ["count/image > 3: 3.1 now in tue"]),
        ("person: images < 20", ["images < 20: 0 now in wed"]),
        ("person: score < 0.9", ["0.8 now in mon", "0.8 now in tue"]),  # nothing has no median
        ("cat: count > 0", []),
    ],
)
def test_a_rule_holds_for_each_group(rule, fires):
    said = alerts([parse(rule)], by_day(mon=29, tue=31, wed=None), None)
    assert len(said) == len(fires)
    assert all(part in line for part, line in zip(fires, said, strict=True))


def test_groups_compare_with_the_same_groups_before():
    rule = parse("person: count < 0.5 * previous")
    now, before = by_day(mon=29, tue=10, new=1), by_day(mon=30, tue=30, gone=5)
    said = alerts([rule], now, before)
    assert [line.split(": ")[-1] for line in said] == [
        "10 now in tue, limit 15",
        "0 now in gone, limit 2.5 (there are no images of it)",
    ]
    with pytest.raises(UsageError, match="no group in common.*mon.*against.*sun"):
        alerts([rule], by_day(mon=29), by_day(sun=30))


@pytest.mark.parametrize("rule", ["person: count/hour < 3", "run: failed > 0"])
def test_what_no_group_has_is_refused(rule):
    with pytest.raises(UsageError, match="holds for each group.*leave out --by"):
        alerts([parse(rule)], by_day(mon=29), None)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "person",
        "person: count",
        "person: count < ",
        "person: count < x",
        "person: count < 1 + 1",
        "person: weight < 1",
        "run: score < 1",
        "person: count < 1e",
    ],
)
def test_what_is_no_rule_is_explained(rule):
    with pytest.raises(UsageError, match="--alert"):
        parse(rule)
