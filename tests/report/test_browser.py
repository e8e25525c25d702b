"""The page in a real browser: headless Chromium."""

import pytest

from segcli.report import ReportOptions, write_report

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Playwright's own pipes


@pytest.fixture
def page(chromium, report_file):
    """The report, opened from disk; whatever the page asks for or complains of is noted."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.noted = []
    page.on("console", lambda message: page.noted.append(message.text))
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on("dialog", lambda dialog: (page.noted.append("alert"), dialog.dismiss()))
    page.on(
        "request",
        lambda r: None if r.url.startswith("data:") else page.noted.append(r.url.split("/")[-1]),
    )
    page.goto(report_file.as_uri())
    yield page
    context.close()


def shown(page) -> list[str]:
    """Keys of the pictures that can be seen."""
    return page.eval_on_selector_all(
        ".card", "cards => cards.filter(c => c.offsetParent).map(c => c.dataset.key)"
    )


def masks(page) -> int:
    return page.eval_on_selector_all(
        ".card path", "p => p.filter(x => getComputedStyle(x).display !== 'none').length"
    )


def test_it_opens_without_complaint_and_asks_for_nothing(page):
    page.wait_for_timeout(300)
    assert page.noted == ["report.html"]  # itself; no console, no error, no alert, no request
    assert len(shown(page)) == 4
    assert page.locator("#shown").inner_text() == "4 masks in 4 pictures"
    page.locator("#cards").scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert page.noted == ["report.html"]
    assert page.locator("#cards img").count() == 4


def test_a_class_can_be_switched_off(page):
    page.locator("[data-class='3']").uncheck(force=True)
    assert masks(page) == 2
    assert "car.png" not in shown(page)
    assert "both.png" in shown(page)
    page.locator("#none").click()
    assert shown(page) == []
    assert page.locator("#nothing").is_visible()
    page.locator("#all").click()
    assert len(shown(page)) == 4


def test_the_slider_filters_by_score(page):
    assert masks(page) == 4
    slider = page.locator("#score")
    slider.fill("0.75")
    assert (masks(page), shown(page)) == (2, ["<script>alert(1)</script>.jpg", "both.png"])
    assert page.locator("#score-out").inner_text() == "0.75"
    numbers = page.locator("[data-count]")
    assert numbers.all_inner_texts() == ["0", "1", "1"]  # cars, people, the strange class
    slider.fill("0.25")
    assert masks(page) == 5  # the weak ones come along
    assert numbers.all_inner_texts() == ["3", "1", "1"]


def test_the_slider_begins_at_the_score_of_each_class(chromium, masks_by_class, tmp_path):
    options = ReportOptions(masks=masks_by_class, out=tmp_path / "r.html")
    write_report(options, report=lambda sentence: None)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(options.out.as_uri())
    assert masks(page) == 2  # a car of 0.7, and the strange class from 0.5 on
    assert page.locator("#score-out").inner_text() == "its class's"
    page.locator("#score").fill("0.55")
    assert masks(page) == 4
    assert page.locator("#score-out").inner_text() == "0.55"
    context.close()


def test_the_lightbox_by_keyboard(page):
    first = page.locator(".card .open").first
    first.focus()
    page.keyboard.press("Enter")
    box = page.locator("#box")
    assert box.is_visible()
    assert page.locator("#box-name").inner_text() == "<script>alert(1)</script>.jpg"
    page.keyboard.press("ArrowRight")
    assert page.locator("#box-name").inner_text() == "both.png"
    assert "person 0.90" in page.locator("#box-list").inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # around the end
    assert page.locator("#box-place").inner_text() == "4 of 4"
    page.keyboard.press("Escape")
    assert not box.is_visible()
    assert page.evaluate("document.activeElement.className") == "open"
    assert page.noted == ["report.html"]


def test_the_lightbox_walks_what_is_filtered(page):
    page.locator("[data-class='6']").uncheck(force=True)
    page.locator(".card:not([hidden]) .open").first.click()
    assert page.locator("#box-place").inner_text() == "1 of 2"
    page.locator("#close").click()
    assert not page.locator("#box").is_visible()


def test_tables_sort(page):
    def column(number: int) -> list[str]:
        return page.locator(f"#classes tbody tr > :nth-child({number})").all_inner_texts()

    assert column(3) == ["2", "1", "1"]
    page.get_by_role("button", name="masks", exact=True).click()
    assert column(3) == ["1", "1", "2"]
    assert page.locator("#classes th[aria-sort]").inner_text().startswith("masks")
    page.get_by_role("button", name="class", exact=True).click()
    assert column(1)[1:] == ["car", "person"]


def test_injected_names_run_nothing(page):
    page.wait_for_timeout(200)
    assert "alert" not in page.noted
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("#classes").get_by_text('"><img src=x onerror=alert(2)>').count() == 1
    # and what runs after all is stopped by the policy
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(9)>')")
    page.wait_for_timeout(200)
    assert "alert" not in page.noted


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page, scheme):
    page.emulate_media(color_scheme=scheme)
    ratios = page.evaluate(CONTRAST)
    assert ratios
    assert min(ratios.values()) >= 4.5, ratios


def test_the_focus_follows_the_page(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#gallery"


def test_printing_leaves_the_controls_away(page):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 990})  # A4 with margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert not page.locator(".filters").is_visible()
    assert page.locator("#classes").is_visible()


CONTRAST = """() => {
  const channels = (c) => c.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const s of ["h1", ".faint", ".tiles dt", ".tiles .bad dd", "nav a", "thead th button",
                   "tbody td", ".name", ".count", ".pill small", "figcaption", ".facts dt"]) {
    const e = document.querySelector(s);
    if (!e) continue;
    const a = light(channels(getComputedStyle(e).color)), b = light(behind(e));
    found[s] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return found;
}"""
