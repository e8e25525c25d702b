"""EoMT against transformers: input, outputs, post-processing and losses; and that it learns."""

import sys
from dataclasses import replace

import pytest
import torch
from eomt_toy import SMALL, build
from kit.parity import masks_of
from overfitting import learn, two_images
from published import published_state

from segcli.errors import UsageError
from segcli.types import Batch, Resize, Targets
from segcli_eomt import FAMILY
from segcli_eomt.convert import renamed
from segcli_eomt.losses import Layer, class_terms, layer_losses
from segcli_eomt.targets import in_crowd, match, truth_of

INFO = replace(
    FAMILY.variants["large-640"],
    categories=tuple("abcde"),
    category_ids=tuple(range(5)),
    resize=Resize(128, 128),
)
ALL = {"min_score": 0.0, "max_masks": 1000}


@pytest.fixture(scope="module")
def model():
    """Random weights; queries that differ enough for objects of several sizes."""
    torch.manual_seed(0)
    made = build(INFO).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.zeros(2, 3, 128, 128, dtype=torch.uint8)
    pixels[0, :, :96] = torch.randint(0, 256, (3, 96, 128), generator=generator).byte()
    pixels[1, :, :, :64] = torch.randint(0, 256, (3, 128, 64), generator=generator).byte()
    return Batch(("a", "b"), pixels, ((96, 128), (128, 64)), ((192, 256), (256, 128)))


def test_the_input_is_that_of_transformers_processor(model, batch) -> None:
    """Padding is black, not the mean colour."""
    from transformers import EomtImageProcessor

    processor = EomtImageProcessor(
        size={"shortest_edge": 128, "longest_edge": 128}, do_pad=True, do_split_image=False
    )
    ours = model.prepare(batch)
    for made, pixels, (h, w) in zip(ours, batch.pixels, batch.content_sizes, strict=True):
        theirs = processor(pixels[:, :h, :w], return_tensors="pt")["pixel_values"][0]
        torch.testing.assert_close(made, theirs, atol=1e-5, rtol=1e-5)
    assert (ours[0, :, 100, 0] < -1.7).all()


@torch.no_grad()
def test_objects_are_those_of_transformers_post_processing(model, batch) -> None:
    """One object for each query there; here a query may answer with several categories."""
    from transformers import EomtImageProcessor

    raw = model.network(model.prepare(batch))
    processor = EomtImageProcessor(size={"shortest_edge": 128, "longest_edge": 128})
    answers = model.predict(batch, **ALL)
    for index, found in enumerate(answers):
        classes, logits = raw.class_queries_logits[index], raw.masks_queries_logits[index]
        probability = classes.softmax(1)[:, :-1]
        (upsampled,) = processor.unpad_image(
            torch.nn.functional.interpolate(logits[None], (128, 128), mode="bilinear"),
            [batch.image_sizes[index]],
            {"shortest_edge": 128, "longest_edge": 128},
        )
        masks = masks_of(found, content=batch.content_sizes[index], size=batch.image_sizes[index])
        seen = 0
        for score, label, field, mask in zip(
            found.scores, found.labels, found.fields, masks, strict=True
        ):
            query = int((logits - field).abs().amax((1, 2)).argmin())
            inside = upsampled[query] > 0
            mean = (upsampled[query].sigmoid() * inside).sum() / inside.sum().clamp(min=1e-6)
            assert abs(score - probability[query, label] * mean) < 0.03 * score
            assert (mask != inside).float().mean() < 0.02, "a step less: borders differ a little"
            seen += label == probability[query].argmax()
        assert seen >= SMALL.queries / 2


def test_candidates_are_the_best_pairs(model, batch) -> None:
    (found, _) = model.predict(batch, min_score=0.0, max_masks=3)
    (more, _) = model.predict(batch, **ALL)
    assert len(more.scores) == SMALL.queries * len(INFO.categories)
    torch.testing.assert_close(found.scores, more.scores[:3])


def test_a_canvas_of_another_size_is_scaled(model) -> None:
    pixels = torch.randint(0, 255, (1, 3, 200, 320)).byte()
    wide = Batch(("a",), pixels, ((100, 256),), ((100, 256),))
    (found, *_) = model.predict(wide, min_score=0, max_masks=2)
    assert found.extents[0].tolist() == [0, 0, 256, 256]
    square = model.prepare(wide)
    black = -model.normalize.statistics[0, :, 0, 0] / model.normalize.statistics[1, :, 0, 0]
    assert torch.equal(square[0, :, 50:], black[:, None, None].expand(3, 78, 128))
    assert (square[0, 0, 49] != black[0]).any()


def truths_and_layer():
    torch.manual_seed(0)
    masks = (torch.rand(3, 8, 8) > 0.5).repeat_interleave(16, 1).repeat_interleave(16, 2)
    targets = [
        Targets(torch.tensor(labels), torch.zeros(len(labels), 4), masks[part],
                torch.zeros(len(labels)).bool())
        for labels, part in (([2, 0], slice(2)), ([4], slice(2, 3)))
    ]  # fmt: skip
    layer = Layer(torch.randn(2, 12, 6), torch.randn(2, 12, 32, 32))
    return layer, targets, [truth_of(target, 128) for target in targets]


def test_losses_are_those_of_transformers(monkeypatch) -> None:
    """With the same pairs of queries and targets, and the same random points."""
    from transformers.models.eomt.modeling_eomt import EomtLoss

    from segcli_eomt.variants import config

    layer, targets, truths = truths_and_layer()
    pairs = [(torch.tensor([4, 1]), torch.tensor([1, 0])), (torch.tensor([3]), torch.tensor([0]))]
    settings = config(SMALL, classes=5)
    theirs = EomtLoss(settings, {})
    monkeypatch.setattr(theirs.matcher, "forward", lambda *_, **__: pairs)
    torch.manual_seed(3)
    expected = theirs(
        layer.masks, layer.classes, [t.masks.float() for t in targets], [t.labels for t in targets]
    )
    torch.manual_seed(3)
    ours = layer_losses(layer, truths, pairs, SMALL.points)
    for name, key, weight in (
        ("class", "cross_entropy", 2), ("mask", "mask", 5), ("dice", "dice", 5),
    ):  # fmt: skip
        torch.testing.assert_close(ours[name], expected[f"loss_{key}"] * weight)


def test_targets_get_the_queries_that_suit_them() -> None:
    layer, targets, (truth, _) = truths_and_layer()
    wanted = torch.nn.functional.interpolate(targets[0].masks[None].float(), (32, 32))[0]
    masks = layer.masks[0].clone()
    masks[[7, 5]] = 20 * wanted - 10
    queries, indices = match(layer.classes[0], masks, truth, 400)
    assert dict(zip(indices.tolist(), queries.tolist(), strict=True)) == {0: 7, 1: 5}


def test_crowds_and_unannotated_categories_teach_nothing() -> None:
    masks = torch.zeros(2, 128, 128, dtype=torch.bool)
    masks[0, :64, :64] = True
    masks[1, 64:, 64:] = True
    target = Targets(
        torch.tensor([0, 1]), torch.zeros(2, 4), masks, torch.tensor([False, True]),
        torch.tensor([True, True, False]),
    )  # fmt: skip
    truth = truth_of(target, 128)
    assert truth.labels.tolist() == [0]
    drawn = torch.full((3, 32, 32), -5.0)
    drawn[0, :16, :16] = drawn[1, 16:, 16:] = drawn[2, :16, 16:] = 5.0
    assert in_crowd(drawn, truth).tolist() == [False, True, False]
    logits = torch.zeros(3, 4, requires_grad=True)
    loss, weight = class_terms(logits, drawn, truth, (torch.tensor([0]), torch.tensor([0])))
    assert weight.tolist() == pytest.approx([1.0, 0.0, 0.1])
    loss.sum().backward()
    assert (logits.grad[0] != 0).all()
    assert (logits.grad[1:, 2] == 0).all()
    assert (logits.grad[1:, :2] > 0).all()


def test_transformers_names_load_and_others_are_refused() -> None:
    with torch.device("meta"):
        theirs = build(INFO).network.state_dict()
        ours = build(INFO).state_dict()
    assert renamed(theirs).keys() == ours.keys()
    with pytest.raises(UsageError, match=r"not the weights of eomt/large-640: \d+ tensors missing"):
        FAMILY.convert(published_state("embedmask_R50"), FAMILY.variants["large-640"])


def test_a_missing_package_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"needs the package transformers.*segcli\[hf\]"):
        FAMILY.build(INFO)


@pytest.mark.slow
def test_learns_two_images(data) -> None:
    torch.manual_seed(0)
    pair, names = two_images(data, 128)
    info = replace(INFO, categories=names, category_ids=tuple(range(len(names))))
    assert learn(build(info), pair, steps=400, rate=1e-3) == 1.0
