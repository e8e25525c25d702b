"""The page of `eval --html` in a real browser."""

from pathlib import Path

import pytest

from segcli.evaluate import Choices, evaluate
from segcli.evaluate.diagnosis import diagnose
from segcli.evaluate.html_report import write_page
from segcli.evaluate.json_report import as_json
from segcli.evaluate.plots import draw

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Playwright's own pipes
GOLDEN = Path(__file__).resolve().parents[1] / "golden/eval/cocoapi"
LONG = "/".join(["a-long-name-of-a-folder"] * 12)


def test_a_phone_scrolls_down_only(chromium, tmp_path) -> None:
    """With long names everywhere; wide tables scroll by themselves."""
    result = evaluate(
        GOLDEN / "instances_val2014_100.json",
        GOLDEN / "instances_val2014_fakesegm100_results.json",
        choices=Choices(),
    )
    diagnosis = diagnose(result, min_score=0.5)
    content = as_json(result, diagnosis=diagnosis, comparison=None) | {"pred": LONG, "gt": LONG}
    content["worst"][0]["key"] = LONG
    page = tmp_path / "eval.html"
    write_page(page, content, matching=[f"not found: {LONG}"], pictures=draw(result, diagnosis))
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    shown = context.new_page()
    shown.goto(page.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    assert shown.locator("table").count() >= 4
    context.close()
