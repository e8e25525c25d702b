"""Plots as files: what is in them, and that nothing in a name breaks them."""

import xml.etree.ElementTree as ET
from datetime import datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from segcli.stats import Statistics, StatsOptions, statistics

HUES = {1: "#0077ff", 3: "#00e6b0", 6: "#ddee77"}
NAMES = ("areas", "classes", "positions", "scores", "together")


def texts(path):
    return {e.text for e in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}


@pytest.fixture(scope="module")
def plots():
    from segcli.stats import plots  # loads matplotlib, which takes two seconds

    return plots


@pytest.fixture(scope="module")
def hue():
    return HUES.__getitem__


@pytest.mark.slow
def test_every_plot_is_a_png_and_an_svg(plots, masks, tmp_path, hue):
    found = statistics(StatsOptions(masks=masks))
    written = plots.write_plots(found, tmp_path / "plots", hue)
    assert sorted({p.stem for p in written}) == list(NAMES)
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == sorted(p.name for p in written)
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
                assert min(picture.size) > 200
    counts = {f"{row['masks']:,}" for row in found.classes}
    shown = texts(tmp_path / "plots/classes.svg")
    assert {"Masks per class", "person", "car", "bus"} | counts <= shown
    pair = next(iter(found.together.values()))
    assert str(pair) in texts(tmp_path / "plots/together.svg")


@pytest.mark.slow
def test_an_svg_has_a_dark_dress_the_colours_of_the_classes_and_no_date(
    plots, masks, tmp_path, hue
):
    found = statistics(StatsOptions(masks=masks))
    for folder in ("one", "other"):
        plots.write_plots(found, tmp_path / folder, hue)
    svg = (tmp_path / "one/classes.svg").read_text()
    assert svg.count("prefers-color-scheme:dark") == 1
    assert all(colour in svg for colour in HUES.values())
    assert svg == (tmp_path / "other/classes.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["hour", "weekday", "folder"])
def test_groups_are_drawn_too(plots, masks, tmp_path, hue, by):
    found = statistics(StatsOptions(masks=masks, by=by))
    assert "groups" in {p.stem for p in plots.write_plots(found, tmp_path, hue)}
    shown = texts(tmp_path / "groups.svg")
    assert f"Masks per image, by {by}" in shown
    assert {"hour": "11-18 12", "weekday": "3 Wednesday", "folder": "cam1"}[by] in shown


def test_no_line_is_drawn_across_hours_without_footage(plots):
    """A value that is not a number parts the line."""
    hour = timedelta(hours=1)
    start = datetime(2026, 4, 1, 8)
    points = [(start, 1.0), (start + hour, 2.0), (start + 5 * hour, 3.0)]
    times, values = plots._with_gaps(points, hour)
    assert times == [start, start + hour, start + 2 * hour, start + 5 * hour]
    np.testing.assert_array_equal(values, [1, 2, np.nan, 3])


def test_a_panel_for_each_camera_with_an_axis(plots, masks, tmp_path, hue):
    found = statistics(StatsOptions(masks=masks, by="hour,camera"))
    figure = plots._groups(found, hue)
    assert [axes.get_title() for axes in figure.axes] == ["cam0", "cam1"]
    assert {axes.get_ylabel() for axes in figure.axes} == {"masks per image"}
    (line, *_) = figure.axes[1].lines
    assert np.isnan(line.get_ydata()).any()  # cam1 lacks the hours of its failed images


@pytest.mark.slow
def test_strange_names_and_many_classes(plots, masks, tmp_path):
    few = statistics(StatsOptions(masks=masks))
    rows = [
        few.classes[0] | {"category": name, "category_id": number}
        for number, name in enumerate(["$x_{$", "a\nb", "<b>&", "x" * 300, *map(str, range(9))])
    ]
    bins = {number: few.bins[few.classes[0]["category_id"]] for number in range(len(rows))}
    many = Statistics(few.masks, few.min_score, few.run, rows, bins=bins)
    plots.write_plots(many, tmp_path, lambda number: "#123456")
    shown = texts(tmp_path / "classes.svg")
    assert "Masks per class, the 12 most frequent of 13" in shown
    assert "<b>&" in shown
    assert "7" in shown
    assert "8" not in shown


def test_nothing_found_makes_no_plot(plots, masks, tmp_path, hue):
    assert (
        plots.write_plots(statistics(StatsOptions(masks=masks, min_score=1.0)), tmp_path, hue) == []
    )
