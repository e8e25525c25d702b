"""scripts/data/make_scenes.py: the same bytes again, and masks that tell the truth."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from scripts.data.make_scenes import CLASSES, LEAST_VISIBLE, Difficulty, arrange, main, make_scene
from scripts.data.scene_drawing import compose
from segcli.masks import rle

CROWD = Difficulty(overlap=0.8, objects=8, scale=0.35)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Four small scenes on disk."""
    out = tmp_path_factory.mktemp("scenes")
    assert main(["--out", str(out), "--count", "4", "--size", "96", "--seed", "3"]) == 0
    return out


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_command_gives_the_same_bytes(scenes, tmp_path) -> None:
    main(["--out", str(tmp_path / "again"), "--count", "4", "--size", "96", "--seed", "3"])
    assert files_of(tmp_path / "again") == files_of(scenes)
    assert len(files_of(scenes)) == 5


def test_a_scene_depends_on_its_number_and_seed_alone(scenes, tmp_path) -> None:
    main(["--out", str(tmp_path / "fewer"), "--count", "2", "--size", "96", "--seed", "3"])
    main(["--out", str(tmp_path / "other"), "--count", "2", "--size", "96", "--seed", "4"])
    name = "images/00001.jpg"
    assert (tmp_path / "fewer" / name).read_bytes() == (scenes / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() != (scenes / name).read_bytes()


def test_annotations_are_whole(scenes) -> None:
    content = json.loads((scenes / "annotations.json").read_text())
    assert [c["name"] for c in content["categories"]] == list(CLASSES)
    ids = {c["id"] for c in content["categories"]}
    covered = {i["id"]: np.zeros((96, 96), int) for i in content["images"]}
    for annotation in content["annotations"]:
        mask = rle.decode(annotation["segmentation"]["counts"].encode(), 96, 96)
        y, x = np.nonzero(mask)
        assert LEAST_VISIBLE <= mask.sum() == annotation["area"]
        assert annotation["bbox"] == [
            x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1
        ]  # fmt: skip
        assert 0 < annotation["visible"] <= 1
        assert annotation["category_id"] in ids
        covered[annotation["image_id"]] += mask
    assert max(c.max() for c in covered.values()) == 1, "a pixel belongs to one object"
    for image in content["images"]:
        with Image.open(scenes / "images" / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"]) == (96, 96)


def test_repainting_an_object_changes_what_its_mask_covers() -> None:
    rng = np.random.default_rng(0)
    things = arrange(rng, 128, CROWD)
    ground = np.full((128, 128, 3), 128, np.float32)
    pixels, owner = compose(ground, things)
    tried = 0
    for index, thing in enumerate(things):
        if thing.label < 0 or (owner == index).sum() < LEAST_VISIBLE:
            continue
        other = [*things[:index], replace(thing, paints=thing.paints + 1), *things[index + 1 :]]
        changed = np.abs(compose(ground, other)[0] - pixels).sum(2) > 1
        mask = owner == index
        assert changed[mask].mean() > 0.9
        # Outlines are soft for a pixel, also those of two nearer objects that meet: a hairline.
        beyond = changed[~binary_dilation(mask, iterations=2)].sum()
        assert beyond <= 0.02 * mask.sum()
        tried += 1
    assert tried >= 4


def test_no_object_is_empty_even_in_a_crowd_of_specks() -> None:
    specks = Difficulty(overlap=1.0, objects=30, scale=0.03)
    scene = make_scene(1, 0, size=64, difficulty=specks)
    assert len(scene.masks) == len(scene.labels) == len(scene.visible)
    assert scene.masks.shape[1:] == scene.pixels.shape[:2] == (64, 64)
    assert all(scene.masks.sum((1, 2)) >= LEAST_VISIBLE)


def test_a_higher_level_is_more_crowded(tmp_path) -> None:
    found = []
    for level in ("0", "1"):
        out = tmp_path / level
        main(["--out", str(out), "--count", "6", "--size", "96", "--difficulty", level])
        found.append(json.loads((out / "annotations.json").read_text())["info"]["measured"])
    easy, hard = found
    assert hard["objects_per_image"] > 2 * easy["objects_per_image"]
    assert hard["centre_in_another_box"] > easy["centre_in_another_box"]
    assert hard["visible"] < easy["visible"]


def test_scenes_of_some_classes_only(tmp_path) -> None:
    given = ["--count", "3", "--size", "96", "--classes", "ring", "car"]
    main(["--out", str(tmp_path), *given])
    content = json.loads((tmp_path / "annotations.json").read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    assert sorted(names.values()) == ["car", "ring"]
    assert {a["category_id"] for a in content["annotations"]} <= set(names)
