"""The checks for a GPU, as far as a machine without one can tell."""

import json
from importlib import import_module, metadata
from importlib.metadata import PathDistribution

from scripts.gpu_check.__main__ import LIMITS_S
from scripts.gpu_check.checkout import metadata_folder
from scripts.gpu_check.report import Report


def test_every_check_can_be_imported() -> None:
    for name in LIMITS_S:
        assert callable(import_module(f"scripts.gpu_check.{name}").check)


def test_a_checkout_has_the_entry_points_of_an_installation(tmp_path) -> None:
    (info,) = metadata_folder(tmp_path).iterdir()
    made = {(e.group, e.name, e.value) for e in PathDistribution(info).entry_points}
    installed = {
        (e.group, e.name, e.value)
        for e in metadata.distribution("segcli").entry_points
        if e.group.startswith("segcli.")
    }
    assert made == installed
    assert len(made) > 10


def test_results_are_on_disk_after_each_figure(tmp_path) -> None:
    report = Report(tmp_path)
    report.begin("one")
    report.add("images/s", 12.3456)
    assert json.loads((tmp_path / "results.json").read_text())["one"]["figures"] == {
        "images/s": 12.3456
    }
    report.add("table", "a\nb")
    report.end("Traceback: no device")
    report.begin("two")
    report.end(None)
    assert report.failed == 1
    text = (tmp_path / "results.md").read_text()
    assert "| images/s | 12.3 |" in text
    assert "```\na\nb\n```" in text
    assert "**Failed:**\n\n```\nTraceback: no device\n```" in text
    assert text.index("## one") < text.index("## two")
