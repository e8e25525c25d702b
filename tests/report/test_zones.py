"""The section of a report on zones."""

import json
import re
from pathlib import Path

BAD_NAME = "<img src=x onerror=alert(3)>"


def test_zones_have_a_table_and_lines_over_time(write, tmp_path: Path) -> None:
    assert 'id="zones"' not in write(gallery=0)[1]
    ring = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"name": BAD_NAME, "units": "share", "use": "label"},
    }
    path = tmp_path / "zones.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    # The seconds since 1970 of the four images are 0, 10 ** 9 and so on.
    _, page = write(zones=path, gallery=1, time_column="mtime_ns")
    assert BAD_NAME not in page
    (section,) = re.findall(r'<section id="zones".*?</section>', page, re.S)
    rows = re.findall(r"<tr>\s*<th.*?</tr>", section.split("<tbody>")[1], re.S)
    cells = [re.findall(r"<(?:bdi|td[^>]*)>([^<]+)<", row) for row in rows]
    name = "&lt;img src=x onerror=alert(3)&gt;"
    assert [name, "person", "4", "1", "1", "0.25"] in cells
    assert ["(none)", "car", "4", "1", "1", "0.25"] in cells
    assert "Masks per image by zone in every" in section
    assert len(re.findall("<polyline", section)) == 2 * 4  # an image a week at most, in four places
    assert "entries" not in section  # which needs tracks

    _, page = write(gallery=0, zones=path)
    assert "by zone in every" not in page  # the times of mere files
