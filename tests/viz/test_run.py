"""viz from rows to files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.errors import UsageError
from segcli.images import decode
from segcli.viz import Style, VizOptions, visualise
from segcli.viz.save import in_order


@pytest.fixture
def viz(archive, tmp_path):
    """Calls visualise on the archive; returns what it did and the sentences it told."""
    masks, _ = archive()

    def call(**options):
        told: list[str] = []
        options.setdefault("out", tmp_path / "out")
        options["style"] = Style(**options.pop("style", {}))
        return visualise(VizOptions(masks=masks, **options), report=told.append), told

    return call


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.slow
def test_every_image_of_the_run_is_drawn(viz, tmp_path):
    drawn, told = viz()
    assert (drawn.pictures, drawn.masks, drawn.skipped) == (3, 3, ())
    assert files(tmp_path / "out") == ["none.png.jpg", "sub/one.png.jpg", "two.png.jpg"]
    assert told == ["masks with a score of at least 0.5, the model's default"]


def test_min_score_decides_which_masks(viz):
    assert viz(min_score=0.0)[0].masks == 4
    assert viz(min_score=0.7)[0].masks == 2


def test_blur_takes_every_mask_unless_a_score_is_given(viz):
    drawn, told = viz(style={"mode": "blur"})
    assert drawn.masks == 4
    assert told == ["--mode blur uses masks of every score; --min-score leaves out the weaker ones"]
    assert viz(style={"mode": "blur"}, min_score=0.7)[0].masks == 2


def test_where_leaves_only_images_with_such_masks(viz, tmp_path):
    drawn, _ = viz(where="category = 'car' and score > 0.7")
    assert (drawn.pictures, drawn.masks) == (1, 1)
    assert files(tmp_path / "out") == ["sub/one.png.jpg"]


def test_where_sees_boxes_and_comments(viz):
    assert viz(where="bbox.w > 60 -- wide ones")[0].masks == 2


@pytest.mark.parametrize("where", ["nonsense = 1", "score >", "category > 1.5 and", "key + key"])
def test_a_wrong_condition_is_explained(viz, where):
    with pytest.raises(UsageError, match=r"--where .* the columns are: key, status"):
        viz(where=where)


def test_key_is_a_pattern(viz, tmp_path):
    viz(key="sub/*")
    assert files(tmp_path / "out") == ["sub/one.png.jpg"]


def test_a_condition_on_images_keeps_those_without_masks(viz, tmp_path):
    viz(where_image="masks = 0 and regexp_matches(key, '^[a-z]{2,9}')")
    assert files(tmp_path / "out") == ["none.png.jpg"]
    with pytest.raises(UsageError, match="`where_image` 'score > 0'.*the columns are: key, status"):
        viz(where_image="score > 0")


def test_categories(viz):
    assert viz(categories=("person",))[0].masks == 1
    assert viz(categories=("Person",))[0].masks == 1
    with pytest.raises(UsageError, match="no mask is a 'cat'; there are masks of: car, person"):
        viz(categories=("cat",))


def test_a_sample_is_the_same_for_the_same_seed(viz, tmp_path):
    for out in "ab":
        viz(sample=2, seed=1, out=tmp_path / out)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert len(files(tmp_path / "a")) == 2
    chosen = set()
    for seed in range(6):
        viz(sample=1, seed=seed, out=tmp_path / f"s{seed}")
        chosen.update(files(tmp_path / f"s{seed}"))
    assert len(chosen) > 1


def test_nothing_that_fits_is_an_error(viz):
    with pytest.raises(UsageError, match="no image fits"):
        viz(key="nowhere/*")


def test_missing_moved_and_resized_images_are_named_and_counted(viz, archive, tmp_path):
    root = tmp_path / "images"
    (root / "two.png").unlink()
    (root / "sub/one.png").rename(root / "one.png")
    Image.new("RGB", (80, 60)).save(root / "none.png")
    drawn, told = viz()
    assert (drawn.pictures, drawn.missing) == (0, 2)
    reasons = dict(drawn.skipped)
    assert "no such file" in reasons["two.png"]
    assert "one.png has its name: was it moved" in reasons["sub/one.png"]
    assert "the image is 80 x 60 px, its row says 160 x 120" in reasons["none.png"]
    assert sum(sentence.startswith("skipped ") for sentence in told) == 3


def test_a_missing_image_is_looked_for_in_a_deep_folder_too(viz, tmp_path):
    (tmp_path / "images/two.png").unlink()
    made, folder = [], str(tmp_path / "images/d")
    while len(made) < 1100:  # deeper than Python's stack
        os.mkdir(folder)
        made.append(folder)
        folder += "/d"
    moved = Path(made[-1]) / "two.png"
    moved.touch()
    drawn, _ = viz()
    moved.unlink()
    for folder in reversed(made):  # pytest cannot: its own removal is recursive
        os.rmdir(folder)
    assert "d/two.png has its name" in dict(drawn.skipped)["two.png"]


def test_another_folder_of_images_can_be_given(viz, tmp_path):
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="--images is needed"):
        viz()
    assert viz(images=str(tmp_path / "moved"))[0].pictures == 3


def test_images_are_never_overwritten(viz, tmp_path):
    with pytest.raises(UsageError, match="contains the images"):
        viz(out=tmp_path / "images")
    with pytest.raises(UsageError, match="only parts"):
        viz(out=tmp_path / "masks.parquet/pictures")
    two = (tmp_path / "images/two.png").read_bytes()
    with pytest.raises(UsageError, match="is one of the images"):
        viz(out=None, sheet=tmp_path / "images/two.png")
    _, told = viz(out=tmp_path / "images/drawn")
    assert sum("is among the images" in sentence for sentence in told) == 1
    viz(out=None, sheet=tmp_path / "images/sheet.png")
    viz(out=None, sheet=tmp_path / "images/sheet.png")
    listing = tmp_path / "images/list.txt"
    listing.write_text("sub/one.png\ntwo.png\n")
    drawn, _ = viz(images=str(listing), out=tmp_path / "images", format="png")
    assert "is the image itself" in dict(drawn.skipped)["two.png"]
    with pytest.raises(UsageError, match="is one of the images"):
        viz(images=str(listing), out=None, sheet=tmp_path / "images/two.png")
    assert (tmp_path / "images/two.png").read_bytes() == two


def test_worst_images_of_an_evaluation(viz, tmp_path):
    report = tmp_path / "eval.json"
    report.write_text(json.dumps({"worst": [{"key": "sub/one.png", "missed": 3}]}))
    viz(worst=report)
    assert files(tmp_path / "out") == ["sub/one.png.jpg"]
    report.write_text('{"worst": []}')
    with pytest.raises(UsageError, match="nothing was missed"):
        viz(worst=report)
    report.write_text("{}")
    with pytest.raises(UsageError, match="lists no worst images"):
        viz(worst=report)


@pytest.mark.parametrize(
    ("kind", "name"), [("png", b"PNG"), ("webp", b"WEBP"), ("jpg", b"\xff\xd8\xff")]
)
def test_formats(viz, tmp_path, kind, name):
    viz(format=kind, style={"max_side": 64}, key="two.png")
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == ("two.png" if kind == "png" else f"two.png.{kind}")
    data = path.read_bytes()
    assert name in data[:12]
    assert decode(data, key=path.name).original_size == (48, 64)


def test_cutouts_are_one_file_per_object(viz, tmp_path, painted):
    viz(style={"mode": "cutout"})
    assert files(tmp_path / "out") == [
        "sub/one/000-car-0.80.png",
        "two/000-person-0.90.png",
        "two/001-car-0.60.png",
    ]
    with Image.open(tmp_path / "out/two/001-car-0.60.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (70, 40))
        np.testing.assert_array_equal(
            np.asarray(picture)[..., :3], painted.background()[60:100, 80:150]
        )


def test_a_sheet_alone_is_enough(viz, tmp_path):
    viz(out=None, sheet=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600
    assert not (tmp_path / "out").exists()


def test_frames_are_sorted_by_their_number():
    keys = ["b.jpg", "a.mp4#frame=12", "a.mp4#frame=9", "a.jpg"]
    assert sorted(keys, key=in_order) == ["a.jpg", "a.mp4#frame=9", "a.mp4#frame=12", "b.jpg"]


def test_options_that_cannot_work_together_are_refused(viz):
    with pytest.raises(UsageError, match="nothing to write"):
        viz(out=None)
    with pytest.raises(UsageError, match="transparency"):
        viz(style={"mode": "cutout"}, format="jpg")
    with pytest.raises(UsageError, match="give --gt"):
        viz(beside=True)
    with pytest.raises(UsageError, match="--sample 0"):
        viz(sample=0)
    with pytest.raises(UsageError, match="--max-side 0"):
        viz(style={"max_side": 0})
    with pytest.raises(UsageError, match=r"name it \.jpg, \.jpeg, \.png, \.webp"):
        viz(sheet=Path("sheet.gif"))
    with pytest.raises(UsageError, match="no row that was asked for is a frame"):
        viz(video=Path("x.mp4"))
