"""The page as text: what stands in it, and what must not."""

import json
import re
from datetime import datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from segcli.errors import UsageError
from segcli.keypoints import Skeleton, recorded
from segcli.masks import rle
from segcli.report import ReportOptions, charts, write_report
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment, View

SIZE = (120, 160)


class Parsed(HTMLParser):
    """Tags with their attributes, and the text outside of style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("style", "script"):
            self.text += data


@pytest.mark.slow
def test_names_are_text_and_nothing_else(write):
    parsed = Parsed(write()[1])
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert all(a["src"].startswith("data:image/") for t, a in parsed.tags if t == "img")
    assert not [a for _, attributes in parsed.tags for a in attributes if a.startswith("on")]
    for name in ("<script>alert(1)</script>.jpg", '"><img src=x onerror=alert(2)>'):
        assert name in parsed.text
    assert "<i>images</i>" in parsed.text
    assert "<b>truncated</b>" in parsed.text
    assert "very-long-name-of-a-folder/" * 149 in parsed.text


def test_nothing_outside_is_named(write):
    _, page = write()
    assert not re.search(r"https?://|src=[\"']?//|@import|url\(", page)
    parsed = Parsed(page)
    (policy,) = [a["content"] for t, a in parsed.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not [a for _, a in parsed.tags if "style" in a]


def test_every_picture_has_an_alternative_text(write):
    _, page = write()
    alts = [a["alt"] for t, a in Parsed(page).tags if t == "img"]
    assert "both.png: 1 person, 1 car" in alts
    assert "none.png: nothing found" in alts


def test_the_numbers_are_those_of_stats(write):
    text = Parsed(write()[1]).text
    assert re.search(r"images done\s*4", text)
    assert re.search(r"masks\s*4", text)
    assert re.search(r"without a mask\s*1", text)
    assert re.search(r"failed\s*1", text)
    assert "masks with a score of at least 0.5" in text


def test_a_higher_score_and_a_condition(write):
    assert re.search(r"masks\s*2", Parsed(write(min_score=0.75)[1]).text)
    assert re.search(r"masks\s*1", Parsed(write(where="category = 'person'")[1]).text)


def test_filters_of_images_hold_for_numbers_and_pictures(write):
    done, page = write(key="*o*.png", where_image="masks > 0 or key = 'none.png'")
    assert done.cards == 2
    assert re.search(r"images done\s*2", Parsed(page).text)


def test_classes_in_one_image_are_counted(write):
    _, page = write(gallery=0)
    table = page[page.index('<table class="pairs">') :]
    lines = re.findall(r"<tr><th.*?</tr>", table[: table.index("</table>")])
    # person in one image, with a car; cars in two; the strange class alone
    cells = {
        re.findall(r"<bdi>(.*?)</bdi>", line)[0]: re.findall(r'<td class="(\w+)".*?>(\d+)<', line)
        for line in lines
    }
    assert cells["car"] == [("same", "2"), ("s4", "1"), ("s0", "0")]
    assert cells["person"] == [("s8", "1"), ("same", "1"), ("s0", "0")]
    assert 'class="pairs"' not in write(gallery=0, where="category = 'car'")[1]


def test_a_gallery_of_n(write):
    assert write(gallery=2)[0].cards == 2
    done, page = write(gallery=0)
    assert done.cards == 0
    assert "<dialog" not in page


def test_missing_images_are_named_and_the_page_is_written(write, tmp_path):
    (tmp_path / "images/car.png").unlink()
    done, _ = write()
    assert (done.cards, done.missing) == (3, 1)
    assert [key for key, _ in done.skipped] == ["car.png"]


def test_an_evaluation_is_shown(write, tmp_path):
    path = tmp_path / "eval.json"
    path.write_text(
        json.dumps(
            {
                "gt": "ann.json",
                "images": 4,
                "metrics": {"AP": 0.123, "APs": None},
                "categories": [{"name": "<u>car</u>", "ap": 0.5, "ap50": None, "objects": 7}],
            }
        )
    )
    text = Parsed(write(evaluation=path)[1]).text
    assert re.search(r"AP\s*0\.123", text)
    assert "<u>car</u>" in text
    path.write_text("[]")
    with pytest.raises(UsageError, match="is no evaluation"):
        write(evaluation=path)


def test_times_of_copied_files_make_no_series(write):
    assert 'id="time"' not in write()[1]


def test_names_with_times_are_said_to_make_a_series(tmp_path):
    facts = Settings({"source_root": "/archive"}, {"default_score": 0.5})
    path, told = tmp_path / "m.parquet", []
    with open_output(path, facts, carried={}, categories=(("car",), (3,))) as output:
        output.commit([Record(Sample(f"2026-04-0{n}.jpg", ""), *SIZE, ()) for n in range(1, 5)])
    write_report(ReportOptions(masks=path, out=tmp_path / "r.html", gallery=0), report=told.append)
    assert any("add --time-pattern %Y-%m-%d;" in sentence for sentence in told)


def test_footage_makes_a_series(tmp_path):
    frames = [
        Record(
            Sample(f"a.mp4#frame={n}", "", mtime_ns=10**18, frame=n, time_s=2.0 * n),
            *SIZE,
            [Segment(0, 0.9, (1.0, 1.0, 9.0, 9.0), 81, b"x")] * (n % 3),
        )
        for n in range(7)
    ]
    settings = Settings({"source_root": "/footage"}, {"default_score": 0.5})
    path, out = tmp_path / "m.parquet", tmp_path / "r.html"
    with open_output(path, settings, carried={}, categories=(("car",), (3,))) as output:
        output.commit(frames)
    write_report(ReportOptions(masks=path, out=out, gallery=0), report=lambda _: None)
    page = out.read_text()
    # 12 s in steps of 2 s; 0, 1, 2, 0, 1, 2, 0 masks
    assert "Masks per image in every 2 seconds; a line breaks" in page
    axis = re.search(r'<div class="yaxis faint">(.*?)</div>', page)[1]
    assert re.findall(r"<span>(.*?)</span>", axis) == ["2", "1", "0"]
    assert "0,100.0 167,50.0 333,0.0 500,100.0 667,50.0 833,0.0 1000,100.0" in page


def test_no_line_is_drawn_across_hours_without_footage(tmp_path):
    """Hourly stills, seconds late, of two days from 6 to 9 o'clock: one was found on each."""
    hours = [
        datetime(2026, 4, day, hour, 0, 3 * hour % 7) for day in (1, 2) for hour in range(6, 10)
    ]
    segment = Segment(0, 0.9, (1.0, 1.0, 9.0, 9.0), 81, b"x")
    records = [
        Record(Sample(f"{t:%Y%m%d_%H%M%S}.jpg", ""), *SIZE, [segment] if t.hour == 7 else [])
        for t in hours
    ]
    facts = Settings({"source_root": "/archive"}, {"default_score": 0.5})
    path, out = tmp_path / "m.parquet", tmp_path / "r.html"
    with open_output(path, facts, carried={}, categories=(("car",), (3,))) as output:
        output.commit(records)
    options = ReportOptions(masks=path, out=out, gallery=0, time_pattern="%Y%m%d_%H%M%S")
    write_report(options, report=lambda _: None)
    lines = re.findall(r'<polyline class="k3" points="(.*?)"', out.read_text())
    assert [len(line.split()) for line in lines] == [4, 4]
    assert [line.split()[1].split(",")[1] for line in lines] == ["0.0", "0.0"]


def test_an_axis_ends_with_a_round_number():
    values = {0: 1, 0.03: 0.03, 0.31: 0.4, 1: 1, 2.4: 3, 7: 8, 99: 100, 101: 200}
    assert {value: charts._round_up(value) for value in values} == pytest.approx(values)
    assert charts._stretches({0: 1, 2: 0, 3: 1}, 4, 2) == ("0,50.0 0,50.0", "500,100.0 750,50.0")


def test_keypoints_are_drawn_over_the_mask(tmp_path):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros(SIZE, bool)
    mask[10:50, 10:50] = True
    points = ((19.5, 29.5, 0.8), (39.5, 29.5, 0.9))
    one = Segment(0, 0.9, (10.0, 10.0, 40.0, 40.0), 1600, rle.encode(mask), keypoints=points)
    skeletons = {"person": Skeleton(("a", "b"), ((0, 1),))}
    facts = {"default_score": 0.5, "keypoints": recorded(skeletons)}
    path, out = tmp_path / "m.parquet", tmp_path / "r.html"
    settings = Settings({"source_root": str(tmp_path)}, facts)
    with open_output(path, settings, carried={}, categories=(("person",), (1,))) as output:
        output.commit([Record(Sample("a.png", ""), *SIZE, [one])])
    write_report(ReportOptions(masks=path, out=out, gallery=1), report=lambda _: None)
    (outline,) = re.findall(r'<path class="k1".* d="(.*?)"/>', out.read_text())
    assert re.fullmatch(r"M[^M]+zM40 60L80 60M35 60a[^M]+M75 60a[^M]+", outline)


def test_camera_health_names_what_happened_to_a_camera(tmp_path):
    def record(minute, light, hash):
        mtime = (1_795_000_000 + 60 * minute) * 10**9
        sample = Sample(f"gate/{minute:03d}.jpg", "", size_bytes=1, mtime_ns=mtime)
        repeats = None if minute % 2 == 0 else f"gate/{minute - 1:03d}.jpg"
        view = View(light + 0.001 * minute, 30.0, 4.0, hash)
        return Record(sample, *SIZE, repeats=repeats, view=view)

    def page(name, records, **compared):
        path = tmp_path / name
        settings = Settings({"source_root": "in", **compared}, {"default_score": 0.5})
        with open_output(path, settings, carried={}, categories=(("person",), (1,))) as output:
            output.commit(records)
        out = tmp_path / "report.html"
        write_report(ReportOptions(masks=path, out=out, gallery=0), report=[].append)
        return Parsed(out.read_text()).text

    first = [record(minute, 100, 0) for minute in range(20)]
    second = [record(minute, 140, 2**62 - 1) for minute in range(60, 80)]
    text = page("a.parquet", first + second, static={})
    assert "Camera health" in text
    assert re.search(r"static\s*20\s", text)
    for words in ("no images", "the camera was moved"):
        assert re.search(rf"gate{words}" if words == "no images" else words, text)
    assert "the light changed" not in text  # an hour passed in between
    quiet = page("b.parquet", first, static={})
    assert "No gaps in time, frozen pictures" in quiet
    assert "Camera health" not in page("c.parquet", first)
