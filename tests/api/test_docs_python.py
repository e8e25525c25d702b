"""docs/python.md runs, and prints what it shows."""

import doctest
import shutil
from pathlib import Path

import pytest
import skimage

PAGE = Path(__file__).resolve().parents[2] / "docs/python.md"
PHOTOGRAPHS = (
    Path(skimage.__file__).parent / "data/astronaut.png",
    Path(skimage.__file__).parent / "data/motorcycle_left.png",
    Path(skimage.__file__).parent / "data/coffee.png",
)


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for path in PHOTOGRAPHS:
        shutil.copy(path, tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()
    examples = doctest.DocTestParser().get_doctest(page, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 15
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(examples, out=told.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)
