"""The promises of segcli/plugin.py, asked of every installed family and of the README's."""

import dataclasses
import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import eomt_toy
import keypoint_toy
import pytest
import rfdetr_toy
import single_map_toy
import torch

from segcli.errors import UsageError
from segcli.models.openvino_graph import converted, fixed_canvas, is_installed
from segcli.models.registry import families
from segcli.models.runtime import Compiled
from segcli.plugin import (
    Calibratable,
    Compilable,
    Family,
    Freezable,
    Fusible,
    Segmenter,
    Staged,
    Trainable,
)
from segcli.types import Batch, Instances, ModelInfo, Resize, Size, Targets
from segcli_blocks.backbone import Body
from segcli_blocks.rcnn.conventions import Conventions

README = Path(__file__).resolve().parent.parent / "plugins/README.md"
CANVAS = 128  # px, smallest canvas on which each level of a pyramid has a cell


def readme_family() -> Family:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope: dict[str, Family] = {}
    exec(code, scope)
    return scope["FAMILY"]


KEYPOINTS = "maskrcnn with keypoints"
SINGLE_MAP = {f"maskrcnn as {variant}": variant for variant in single_map_toy.BUILD}
FAMILIES = {
    **families(),
    "bright": readme_family(),
    KEYPOINTS: keypoint_toy.FAMILY,
    **{name: single_map_toy.family(variant) for name, variant in SINGLE_MAP.items()},
}
# Families whose smallest variant is too large for tests: the same parts, put together narrower.
NARROW = {
    "eomt": eomt_toy.build,
    "rfdetr": rfdetr_toy.build,
    KEYPOINTS: keypoint_toy.build,
    **{name: single_map_toy.BUILD[variant] for name, variant in SINGLE_MAP.items()},
}
every_family = pytest.mark.parametrize("name", sorted(FAMILIES))


def toy_info(name: str) -> ModelInfo:
    """The family's default variant, asked for small canvases."""
    info = next(iter(FAMILIES[name].variants.values()))
    return dataclasses.replace(info, resize=Resize(CANVAS, CANVAS))


def built(name: str, seed: int = 0) -> torch.nn.Module:
    """A model of random weights; of a two-stage detector's thousand proposals a few are enough to
    see whether it keeps its promises."""
    torch.manual_seed(seed)
    model = NARROW.get(name, FAMILIES[name].build)(toy_info(name))
    for module in model.modules():
        if isinstance(getattr(module, "conventions", None), Conventions):
            module.conventions = dataclasses.replace(
                module.conventions, proposals=(60, 60), region_samples=40
            )
    return model


@cache
def model_of(name: str) -> Segmenter:
    model = built(name)
    model.eval()
    return model


def batch_of(*contents: Size, canvas: Size = (CANVAS, CANVAS), seed: int = 1) -> Batch:
    """Images of noise with a bright and a red square, each of its content size, on one canvas."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.zeros(len(contents), 3, *canvas, dtype=torch.uint8)
    for image, (height, width) in zip(pixels, contents, strict=True):
        image[:, :height, :width] = torch.randint(
            0, 160, (3, height, width), dtype=torch.uint8, generator=generator
        )
        image[:, : height // 2, : width // 2] = 250
        image[0, height // 2 : height, width // 2 : width] = 250
        image[1:, height // 2 : height, width // 2 : width] = 10
    names = tuple(f"{number}.jpg" for number in range(len(contents)))
    return Batch(names, pixels, contents, tuple((2 * h, 2 * w) for h, w in contents))


@torch.no_grad()
def predict(name: str, batch: Batch, **options) -> list[Instances]:
    chosen = {"min_score": 0.0, "max_masks": 7, **options}
    return model_of(name).predict(batch, **chosen)


def assert_well_formed(found: Instances, info: ModelInfo) -> None:
    n = len(found.scores)
    assert found.scores.dtype == torch.float32
    assert found.scores.shape == found.labels.shape == (n,)
    assert found.labels.dtype == torch.int64
    assert found.fields.dtype == torch.float32
    assert found.fields.ndim == 3
    assert len(found.fields) == n
    assert found.extents.shape == (n, 4)
    assert found.boxes is None or found.boxes.shape == (n, 4)
    assert found.mask_scores is None or found.mask_scores.shape == (n,)
    assert (found.keypoints is None) == (info.keypoints is None)
    if found.keypoints is not None:
        assert found.keypoints.shape == (n, len(info.keypoints), 3)
        assert found.keypoints.isfinite().all()
        assert ((found.keypoints[..., 2] >= 0) & (found.keypoints[..., 2] <= 1)).all()
    assert all(0 <= score <= 1 for score in found.scores.tolist())
    assert all(0 <= label < len(info.categories) for label in found.labels.tolist())
    assert found.fields.isfinite().all()
    assert found.extents.isfinite().all()


@every_family
def test_family_describes_its_variants(name) -> None:
    family = FAMILIES[name]
    assert family.name == name.partition(" ")[0]
    for variant, info in family.variants.items():
        assert (info.family, info.variant) == (family.name, variant)
        assert len(info.categories) == len(info.category_ids) > 0
        assert len(set(info.category_ids)) == len(info.category_ids)
        assert info.stride >= 1
        assert 0 <= info.default_score <= 1
    assert set(family.published) <= set(family.variants)


BROWSER_ONLY = ("1drv.ms", "drive.google.com", "pan.baidu.com", "sharepoint.com")
PUBLISHED = {
    f"{name}/{variant}": published
    for name, family in FAMILIES.items()
    for variant, published in family.published.items()
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_published_checkpoint_is_described_as_a_program_needs_it(model) -> None:
    published = PUBLISHED[model]
    url = urlsplit(published.url)
    assert url.scheme == "https"
    assert url.hostname
    assert published.url.isascii()
    assert not re.search(r"\s", published.url)
    # A domain that has expired, which anybody may buy.
    assert not url.hostname.endswith("openmmlab.com")
    if url.hostname.endswith(BROWSER_ONLY):
        assert published.by_hand
    assert published.licence
    assert published.source
    assert published.non_commercial == bool(re.search("non-commercial|BY-NC", published.licence))
    assert published.ap is None or 10 < published.ap < 60
    assert published.keypoint_ap is None or 40 < published.keypoint_ap < 80
    assert published.size is None or published.size > 10_000_000
    assert re.fullmatch(r"([0-9a-f]{8,64})?", published.sha256)
    assert re.fullmatch(r"([0-9a-f]{6,32})?", published.md5)
    is_file = re.search(r"\.(pth|pkl|safetensors|bin)$", published.file) is not None
    assert is_file == (not published.by_hand)
    if published.by_hand:
        return
    if url.hostname == "huggingface.co":  # where /blob/ is a page about the file
        assert re.match(r"/[\w.-]+/[\w.-]+/resolve/", url.path)
    else:  # the hub sends a checksum itself
        assert published.sha256 or published.md5
    if found := re.search(r"model_final_([0-9a-f]{6})\.pkl$", published.file):
        assert published.md5.startswith(found[1])
    if found := re.search(r"-([0-9a-f]{8})\.pth$", published.file):
        assert published.sha256.startswith(found[1])


def test_no_two_models_share_a_published_file() -> None:
    urls = [published.url for published in PUBLISHED.values() if not published.by_hand]
    assert len(urls) > 15
    assert len(set(urls)) == len(urls)


@pytest.mark.slow
@every_family
def test_every_variant_can_be_built(name) -> None:
    for info in FAMILIES[name].variants.values():
        with torch.device("meta"):  # shapes alone: the largest takes no time
            model = FAMILIES[name].build(info)
        assert isinstance(model, torch.nn.Module)
        assert isinstance(model, Segmenter)
        assert model.info == info
        assert model.state_dict()


@pytest.mark.slow
@every_family
@pytest.mark.parametrize(
    "contents", [((CANVAS, CANVAS),), ((CANVAS, 90), (70, CANVAS), (1, 1))], ids=["one", "three"]
)
def test_as_many_answers_as_images(name, contents) -> None:
    answers = predict(name, batch_of(*contents))
    assert len(answers) == len(contents)
    for found in answers:
        assert_well_formed(found, toy_info(name))


@pytest.mark.slow
@every_family
def test_an_image_of_zeros_and_the_smallest_canvas(name) -> None:
    stride = toy_info(name).stride if toy_info(name).stride > 1 else CANVAS
    for canvas in ((CANVAS, CANVAS), (stride, stride)):
        batch = batch_of(canvas, canvas=canvas)
        for pixels in (batch.pixels, torch.zeros_like(batch.pixels)):
            (found,) = predict(name, dataclasses.replace(batch, pixels=pixels))
            assert_well_formed(found, toy_info(name))


@pytest.mark.slow
@every_family
def test_nothing_found_is_an_answer(name) -> None:
    for options in ({"min_score": 1.1}, {"max_masks": 0}):
        (found,) = predict(name, batch_of((CANVAS, CANVAS)), **options)
        assert_well_formed(found, toy_info(name))
        assert len(found.scores) == 0


@pytest.mark.slow
@every_family
def test_min_score_and_max_masks_are_kept(name) -> None:
    batch = batch_of((CANVAS, CANVAS))
    (everything,) = predict(name, batch, max_masks=50)
    assert len(everything.scores) > 0, "random weights should find something at a score of 0"
    (two,) = predict(name, batch, max_masks=2)
    assert len(two.scores) == min(2, len(everything.scores))
    assert two.scores.max() == everything.scores.max()
    middle = everything.scores.median().item()
    (upper,) = predict(name, batch, max_masks=50, min_score=middle)
    assert len(upper.scores) > 0
    assert (upper.scores >= middle).all()


@pytest.mark.slow
@every_family
def test_categories_are_filtered(name) -> None:
    batch = batch_of((CANVAS, CANVAS))
    (everything,) = predict(name, batch, max_masks=50)
    wanted = everything.labels[everything.scores.argmax()].item()
    (only,) = predict(name, batch, categories=frozenset({wanted}))
    assert len(only.scores) > 0
    assert set(only.labels.tolist()) == {wanted}
    (none,) = predict(name, batch, categories=frozenset())
    assert len(none.scores) == 0


@pytest.mark.slow
@every_family
def test_an_answer_does_not_depend_on_its_batch_mates(name) -> None:
    batch = batch_of((CANVAS, 90), (70, CANVAS), (CANVAS, CANVAS))
    together = predict(name, batch)
    for index, found in enumerate(together):
        alone = Batch(
            batch.keys[index : index + 1],
            batch.pixels[index : index + 1],
            batch.content_sizes[index : index + 1],
            batch.image_sizes[index : index + 1],
        )
        (single,) = predict(name, alone)
        assert_close(single, found)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(families()))  # the README's leaves that out, and says so
def test_what_lies_beyond_the_content_does_not_matter(name) -> None:
    batch = batch_of((90, 70))
    noisy = batch.pixels.clone()
    noisy[:, :, 90:] = 200
    noisy[:, :, :, 70:] = 200
    (found,) = predict(name, batch)
    (other,) = predict(name, dataclasses.replace(batch, pixels=noisy))
    assert_close(found, other)


def assert_close(one: Instances, other: Instances) -> None:
    """Equal but for rounding; instances of nearly equal score may change places."""
    assert len(one.scores) == len(other.scores)
    torch.testing.assert_close(one.scores, other.scores, atol=1e-4, rtol=0)
    for label, score, field in zip(one.labels, one.scores, one.fields, strict=True):
        same = (other.labels == label) & ((other.scores - score).abs() < 1e-4)
        assert any((field - mate).abs().max() < 1e-3 for mate in other.fields[same])


def targets_of(count: int) -> Targets:
    """`count` squares of the first category, and no crowd."""
    masks = torch.zeros(count, CANVAS, CANVAS, dtype=torch.bool)
    boxes = torch.zeros(count, 4)
    for index in range(count):
        low, high = 8 + 16 * index, 56 + 16 * index
        masks[index, low:high, low:high] = True
        boxes[index] = torch.tensor([low, low, high, high], dtype=torch.float32)
    return Targets(
        labels=torch.zeros(count, dtype=torch.int64),
        boxes=boxes,
        masks=masks,
        crowd=torch.zeros(count, dtype=torch.bool),
    )


def trainable(name: str) -> Trainable:
    model = built(name)
    if not isinstance(model, Trainable):
        pytest.skip(f"{name} does not learn")
    model.train()
    return model


@pytest.mark.slow
@every_family
def test_losses_are_finite_and_reach_every_parameter(name) -> None:
    model = trainable(name)
    batch = batch_of((CANVAS, CANVAS), (CANVAS, 100))
    losses = model.losses(batch, [targets_of(2), targets_of(1)])
    assert losses
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    learned = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert [key for key, parameter in learned.items() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in learned.values())


@pytest.mark.slow
@every_family
def test_losses_without_targets_have_the_same_names(name) -> None:
    model = trainable(name)
    batch = batch_of((CANVAS, CANVAS), (CANVAS, 100))
    names = model.losses(batch, [targets_of(2), targets_of(1)]).keys()
    empty = model.losses(batch, [targets_of(0), targets_of(0)])
    assert empty.keys() == names
    assert all(loss.isfinite() for loss in empty.values())
    sum(empty.values()).backward()


def network(name: str, hook: type) -> torch.nn.Module:
    """A model of its own, in eval mode; the test is skipped when the family lacks the hook."""
    model = built(name)
    if not isinstance(model, hook):
        pytest.skip(f"{name} is not {hook.__name__}")
    model.eval()
    return model


@every_family
@pytest.mark.slow
def test_fused_weights_answer_as_before(name) -> None:
    batch = batch_of((CANVAS, CANVAS))
    fused = network(name, Fusible)
    fused.fuse(torch.float32)  # so that only the folded norms can change an answer
    (found,) = fused.predict(batch, min_score=0.0, max_masks=7)
    (expected,) = predict(name, batch)
    assert_close(found, expected)


@every_family
def test_another_runtime_can_compute_the_static_part(name) -> None:
    model = model_of(name)
    if not isinstance(model, Compilable):
        pytest.skip(f"{name} is not Compilable")
    batch = batch_of((CANVAS, CANVAS), (70, CANVAS))
    shapes = []

    def compiled(x: torch.Tensor) -> list[torch.Tensor]:
        """Image by image, as segcli.models.runtime.Compiled does it."""
        shapes.append(tuple(x.shape))
        each = [model.static(image[None]) for image in x]
        return [torch.cat(outputs) for outputs in zip(*each, strict=True)]

    expected = model.predict(batch, min_score=0.0, max_masks=7)
    model.compiled = compiled
    try:
        found = model.predict(batch, min_score=0.0, max_masks=7)
    finally:
        model.compiled = None
    assert shapes == [(2, 3, *(fixed_canvas(model) or (CANVAS, CANVAS)))]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


@pytest.mark.skipif(not is_installed(), reason="OpenVINO is not installed (extra openvino)")
@every_family
@pytest.mark.slow
def test_openvino_computes_the_static_part_as_torch_does(name) -> None:
    model = model_of(name)
    if not isinstance(model, Compilable):
        pytest.skip(f"{name} is not Compilable")
    compiled = Compiled(converted(model), "float32")
    canvas = fixed_canvas(model)
    for seed, size in enumerate([canvas] if canvas else [(128, 128), (128, 256)]):
        x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            expected = model.static(x)
        for y, other in zip(compiled(x), expected, strict=True):
            assert (y - other).abs().max() < 1e-3 * other.std().clamp(min=1e-3)
    batch = batch_of((CANVAS, CANVAS), (70, CANVAS))
    model.compiled = compiled
    try:
        answers = model.predict(batch, min_score=0.0, max_masks=7)
    finally:
        model.compiled = None
    for found in answers:
        assert_well_formed(found, toy_info(name))


@every_family
def test_fused_weights_work_in_bfloat16(name) -> None:
    fused = network(name, Fusible)
    fused.fuse(torch.bfloat16)
    assert any(parameter.dtype == torch.bfloat16 for parameter in fused.parameters())
    batch = batch_of((CANVAS, CANVAS), (70, CANVAS))
    with torch.autocast("cpu", torch.bfloat16):
        answers = fused.predict(batch, min_score=0.0, max_masks=7)
    for found in answers:
        assert_well_formed(found, toy_info(name))
        assert len(found.scores) > 0


@every_family
@pytest.mark.slow
def test_a_calibrated_model_still_works(name) -> None:
    model = network(name, Calibratable)
    batch = batch_of((CANVAS, CANVAS), (CANVAS, 100))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.calibrate(batch)
    after = model.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    body = [key for key in before if ".body." in key]
    assert all(torch.equal(after[key], before[key]) for key in body), "the body is pretrained"
    for found in model.predict(batch, min_score=0.0, max_masks=7):
        assert_well_formed(found, toy_info(name))
    model.train()
    assert all(loss.isfinite() for loss in model.losses(batch, [targets_of(2)] * 2).values())


@every_family
def test_a_frozen_stem_is_a_small_part(name) -> None:
    model = network(name, Freezable)
    before = {key: p.numel() for key, p in model.named_parameters() if p.requires_grad}
    model.freeze_stem()
    after = {key: p.numel() for key, p in model.named_parameters() if p.requires_grad}
    assert set(after) <= set(before)
    assert sum(after.values()) > 0.8 * sum(before.values())
    frozen = set(before) - set(after)
    assert all(".body." in f".{key}" for key in frozen)


@every_family
def test_frozen_stages_are_those_of_the_body(name) -> None:
    model = network(name, Staged)
    if not any(isinstance(part, Body) for part in model.modules()):
        with pytest.raises(UsageError, match="has no stages"):
            model.freeze_stages(0)
        return
    model.freeze_stages(0)
    every = {key for key, _ in model.named_parameters()}
    before = {key for key, p in model.named_parameters() if p.requires_grad}
    model.freeze_stages(2)
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(".body." in f".{key}" for key in frozen)
    assert any(".body." in f".{key}" for key in every - frozen)
    assert before - frozen == every - frozen
    with pytest.raises(UsageError, match="cannot be frozen"):
        model.freeze_stages(99)


@pytest.mark.slow
@every_family
def test_state_dict_makes_an_equal_model(name) -> None:
    other = built(name, seed=5)
    other.load_state_dict(model_of(name).state_dict())
    other.eval()
    batch = batch_of((CANVAS, CANVAS))
    with torch.no_grad():
        (found,) = other.predict(batch, min_score=0.0, max_masks=7)
    assert_close(found, predict(name, batch)[0])


@pytest.mark.parametrize("name", sorted(families()))
def test_convert_refuses_another_models_checkpoint(name) -> None:
    family = FAMILIES[name]
    for state in ({}, {"no.such.weight": torch.zeros(1)}):
        with pytest.raises(UsageError, match=r"no\.such\.weight|missing|expected"):
            family.convert(state, next(iter(family.variants.values())))
