"""The page on which zones are drawn: as text, and in headless Chromium."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from segcli.cli.zones import zones
from segcli.errors import UsageError
from segcli.zones import read_zones
from segcli.zones.page import read_frame

VIDEO = Path(__file__).resolve().parent.parent / "video"
sys.path.insert(0, str(VIDEO))
from numbered import write_clip  # noqa: E402

sys.path.remove(str(VIDEO))

BAD_NAME = '</script><img src=x onerror="alert(1)">'


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    path = tmp_path / "frame <b>.png"
    Image.fromarray(np.full((240, 320, 3), 90, np.uint8)).save(path)
    return path


def existing(folder: Path) -> Path:
    path = folder / "known.json"
    hole = [[140, 100], [180, 100], [180, 140], [140, 140], [140, 100]]
    square = [[100, 60], [220, 60], [220, 180], [100, 180], [100, 60]]
    properties = {
        "name": BAD_NAME, "units": "px", "frame": [320, 240], "use": "drop", "colour": "red",
    }  # fmt: skip
    geometry = {"type": "Polygon", "coordinates": [square, hole]}
    feature = {"type": "Feature", "properties": properties, "geometry": geometry}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def write(*words: Any) -> str:
    app = typer.Typer()
    app.command()(zones)
    done = CliRunner().invoke(app, [*map(str, words), "--no-open"], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stderr


@pytest.fixture
def page(chromium: Any, frame: Path, tmp_path: Path) -> Any:
    out = tmp_path / "zones.html"
    assert "draw zones and save them as zones.json" in write(frame, "--out", out)
    context = chromium.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.noted = []
    page.on("console", lambda message: page.noted.append(message.text))
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith(("data:", "blob:")) else page.noted.append(r.url),
    )
    page.goto(out.as_uri())
    yield page
    context.close()


def click(page: Any, x: float, y: float, **options: Any) -> None:
    """At a share of the frame."""
    box = page.locator("#svg").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"], **options)


def saved(page: Any, path: Path) -> Path:
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(path)
    return path


def corners(path: tuple[tuple[float, float], ...]) -> list[list[float]]:
    return [[round(x, 1), round(y, 1)] for x, y in path]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Playwright's own pipes
def test_drawing_in_a_browser(page: Any, tmp_path: Path) -> None:
    assert page.locator("#save").is_disabled()
    page.locator("#camera").fill("gate")
    page.locator("#polygon").click()
    for x, y in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.5), (0.8, 0.8)):
        click(page, x, y)
    for _ in range(2):
        page.keyboard.press("Backspace")
    click(page, 0.5, 0.8)
    click(page, 0.2, 0.2)  # the first corner closes the polygon
    page.keyboard.type("forecourt")  # the field of the name has the focus
    page.locator("#use").select_option("keep")
    page.locator("#share").fill("0.3")
    page.locator("#line").click()
    click(page, 0.1, 0.9)
    click(page, 0.1, 0.1, click_count=2)  # a double click is the last corner and the end
    page.locator("#name").fill("door")
    first = read_zones(saved(page, tmp_path / "a.json"))
    yard, door = first.zones
    assert (yard.name, yard.camera, yard.use, yard.share) == ("forecourt", "gate", "keep", 0.3)
    assert corners(yard.polygons[0][0]) == [[0.2, 0.2], [0.8, 0.2], [0.5, 0.8]]
    assert (door.name, corners(door.line)) == ("door", [[0.1, 0.9], [0.1, 0.1]])

    page.locator("#turn").click()
    page.locator("#units").select_option("px")
    page.locator("#list button").first.click()
    box = page.locator("#svg").bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 0.7 * box["height"])  # beyond the opposite side
    page.mouse.up()
    second = read_zones(saved(page, tmp_path / "b.json"))
    yard, door = second.zones
    assert second.content["features"][0]["properties"]["frame"] == [320, 240]
    assert corners(yard.polygons[0][0])[2] == [0.5, 0.1]
    assert corners(door.line) == [[0.1, 0.1], [0.1, 0.9]]
    assert [url.rsplit("/", 1)[-1] for url in page.noted] == ["zones.html"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mistakes_are_named_and_not_saved(page: Any, tmp_path: Path) -> None:
    page.locator("#polygon").click()
    for x, y in ((0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)):
        click(page, x, y)
    page.keyboard.press("Enter")
    assert page.locator("#bad").inner_text() == "the outline of zone 1 crosses or touches itself"
    assert page.locator("#save").is_disabled()
    page.locator("#delete").click()
    page.locator("#load").set_input_files(existing(tmp_path))
    name = page.locator("#list bdi")
    name.wait_for()
    assert name.inner_text() == BAD_NAME
    loaded = read_zones(saved(page, tmp_path / "c.json"))
    before = read_zones(existing(tmp_path))
    (zone,) = loaded.zones
    assert (zone.name, zone.use) == (BAD_NAME, "drop")
    assert corners(zone.polygons[0][1]) == corners(before.zones[0].polygons[0][1])
    assert loaded.content["features"][0]["properties"]["colour"] == "red"
    page.locator("#name").fill("") if page.locator("#edit").is_visible() else name.click()
    page.locator("#name").fill("")
    assert page.locator("#bad").inner_text() == "a zone has no name"


def test_the_page_has_the_zones_that_are_given_and_runs_no_names(
    frame: Path, tmp_path: Path
) -> None:
    out, known = tmp_path / "page.html", existing(tmp_path)
    assert "known.json" in write(frame, "--out", out, "--zones", known, "--camera", "<i>")
    html = out.read_text()
    assert BAD_NAME not in html
    assert "<i>" not in html.split("</script>")[0].split("<body")[1].split("Camera")[0]
    assert 'data-file="known.json"' in html
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", html)


def test_a_frame_is_an_image_or_the_first_of_a_video(tmp_path: Path) -> None:
    bad = tmp_path / "a.jpg"
    with pytest.raises(UsageError, match=r"a.jpg: No such file.*; expected an image or a video"):
        read_frame(bad)
    bad.write_bytes(b"no image")
    with pytest.raises(UsageError, match="choose another image or a video"):
        read_frame(bad)
    with pytest.raises(UsageError, match="Is a directory; expected an image or a video"):
        read_frame(tmp_path)
    frame = read_frame(write_clip(tmp_path / "clip.mkv", 3, codec="libx264"))
    assert frame.pixels.shape[:2] == frame.original_size
    (bad.with_suffix(".mp4")).write_bytes(b"no video")
    with pytest.raises(UsageError, match=r"a.mp4: .*; choose another image or a video"):
        read_frame(bad.with_suffix(".mp4"))
