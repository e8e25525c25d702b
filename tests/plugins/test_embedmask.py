"""EmbedMask's own parts, its published names, and that it learns."""

import math
from dataclasses import replace

import pytest
import torch
from overfitting import learn, two_images
from published import assert_loads, published_state
from test_maskrcnn_lite import published as imagenet_state
from torch import nn
from torchvision.models import mobilenet_v2

from segcli.errors import UsageError
from segcli.plugin import Fusible
from segcli.types import Batch, Targets
from segcli_blocks import fcos, fcos_losses
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.fcos_losses import Assigned
from segcli_blocks.normalize import Normalize
from segcli_blocks.resnet import ResNet
from segcli_blocks.windows import Windows
from segcli_embedmask import FAMILY, losses
from segcli_embedmask.heads import Head
from segcli_embedmask.masks import OUTSIDE, extents_of, log_probability, windows
from segcli_embedmask.model import EmbedMask, Options
from segcli_embedmask.targets import best_proposals, quarter


def test_a_window_holds_the_box_and_two_cells_around() -> None:
    pixels = torch.zeros(2, 8, 8)  # a grid of 16 x 16 cells
    boxes = torch.tensor([[20.0, 24.0, 31.0, 27.0]])  # cells 5..7, 6
    fields, where = windows(pixels, torch.zeros(1, 2), torch.ones(1, 2), boxes)
    assert where.first.tolist() == [[3, 4]]
    assert where.shape == fields.shape[1:] == (4, 6)
    assert (fields == 0).all()


def test_windows_of_unequal_boxes_are_filled_up() -> None:
    boxes = torch.tensor([[20.0, 24.0, 31.0, 27.0], [20.0, 24.0, 39.0, 27.0]])
    fields, where = windows(torch.zeros(2, 8, 8), torch.zeros(2, 2), torch.ones(2, 2), boxes)
    assert where.shape == (4, 8)
    assert (fields[0, :, 6:] == OUTSIDE).all()
    assert (fields[0, :, :6] == 0).all()
    assert (fields[1] == 0).all()


def test_a_window_at_the_edge_repeats_it() -> None:
    pixels = torch.arange(4.0).expand(1, 4, 4).clone()
    boxes = torch.tensor([[0.0, 12.0, 31.0, 15.0]])
    fields, where = windows(pixels, torch.zeros(1, 1), torch.ones(1, 1), boxes)
    assert where.first.tolist() == [[-1, 1]]
    assert fields.shape == (1, 4, 10)
    assert fields[0, 0, 0] == fields[0, 0, 1] == 0
    assert fields[0, 0, -1] == fields[0, 0, -2] == -9


def test_no_detections_give_no_windows() -> None:
    nothing = torch.zeros(0, 2)
    fields, where = windows(torch.zeros(2, 4, 4), nothing, nothing, torch.zeros(0, 4))
    assert len(fields) == 0
    assert extents_of(where, (30, 30), (60, 60)).shape == (0, 4)


def test_extents_follow_the_rounded_up_size() -> None:
    where = Windows(torch.tensor([[2, 1]]), torch.tensor([[6, 4]]), (3, 4), (8, 8))
    assert extents_of(where, (32, 32), (64, 64)).tolist() == [[8, 4, 24, 16]]
    # 32 canvas px of content 30 are 35.2 original px, stretched to 36: a cell is 4.0909 px.
    cell = 36 * 30 / 33 / 8
    found = extents_of(where, (30, 30), (33, 33))[0].tolist()
    assert found == pytest.approx([2 * cell, cell, 6 * cell, 4 * cell])


def test_log_probability_by_hand() -> None:
    grid = torch.tensor([[[0.0, 2.0]], [[0.0, 1.0]]])  # D = 2, one row of two cells
    found = log_probability(grid, torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 2.0]]))
    assert found.tolist() == [[[-2.0, -2.0]]]


def test_quarter_looks_at_the_inner_pixels() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, 0, :], masks[0, :, 3] = True, True  # only the rim of cells
    masks[1, 2, 5] = True
    assert quarter(masks).tolist() == [
        [[False, False], [False, False]],
        [[False, True], [False, False]],
    ]


def test_near_boxes_widen_by_a_share() -> None:
    found = losses.near_boxes(torch.tensor([[4.0, 4.0, 8.0, 6.0]]), (12, 16), 0.25)
    rows, columns = found[0].any(1).nonzero()[:, 0], found[0].any(0).nonzero()[:, 0]
    assert columns.tolist() == list(range(2, 10))  # 4 - 1 - 1 .. 8 + 1 + 1
    assert rows.tolist() == list(range(3, 8))  # 4 - 0.5 - 1 .. 6 + 0.5 + 1


def test_sure_background_costs_a_finite_loss() -> None:
    assert losses.logits_of(torch.tensor([0.0, 1.0])).isfinite().all()


def test_each_object_is_drawn_by_its_best_box() -> None:
    points = fcos.points_of([torch.zeros(1, 1, 4, 4)], (8,), ())
    boxes = torch.tensor([[0.0, 0.0, 15.0, 15.0], [0.0, 16.0, 31.0, 31.0]])
    match = torch.full((16,), -1)
    match[[0, 1, 5]] = 0
    truth = Assigned(boxes, torch.tensor([0, 0]), torch.zeros(2, 8, 8).bool(), match)
    exact = fcos_losses.distances_to(points, boxes, match)
    worse = exact.clone()
    worse[[0, 5]] += 0.5
    assert best_proposals(worse, points, truth).tolist() == [1, -1]
    assert best_proposals(exact, points, truth).tolist() == [0, -1]  # the first of equals


def test_a_new_head_halves_probability_at_distance_two() -> None:
    head = Head(8, 1, width=8, depth=1)
    margin = head.proposal_margin.bias.detach().exp()
    assert (margin * 2**2).tolist() == pytest.approx([math.log(2)] * 16)


@pytest.mark.parametrize(
    ("variant", "keys"), [("r50-fpn", "embedmask_R50"), ("r101-fpn", "embedmask_R101")]
)
def test_published_checkpoints_load(variant: str, keys: str) -> None:
    state, converted = assert_loads(FAMILY, variant, keys)
    assert len(state) == len(converted)
    theirs = state["backbone.body.stem.conv1.weight"]
    assert torch.equal(converted["backbone.body.conv1.weight"], theirs.flip(1))  # BGR to RGB


def test_a_prefix_of_parallel_training_is_ignored() -> None:
    state = {f"module.{k}": v for k, v in published_state("embedmask_R50").items()}
    assert FAMILY.convert(state, FAMILY.variants["r50-fpn"])


def test_another_familys_checkpoint_is_refused() -> None:
    state = published_state("condinst_MS_R_50_1x")
    with pytest.raises(
        UsageError, match=r"not the weights of embedmask/r50-fpn: \d+ tensors missing"
    ):
        FAMILY.convert(state, FAMILY.variants["r50-fpn"])


def test_an_older_generation_is_refused_by_its_shape() -> None:
    state = published_state("embedmask_R50")
    name = "rpn.head.proposal_margin_pred.weight"
    state[name] = state[name][:1]
    with pytest.raises(UsageError, match="proposal_margin"):
        FAMILY.convert(state, FAMILY.variants["r50-fpn"])


@pytest.mark.parametrize(
    ("variant", "state"),
    [
        ("mobilenet", lambda: mobilenet_v2(weights=None).state_dict()),
        ("lite2", lambda: imagenet_state(EfficientNetLite(2))),
    ],
)
def test_an_imagenet_body_begins_a_light_variant(variant, state) -> None:
    info = FAMILY.variants[variant]
    model = FAMILY.build(info)
    converted = FAMILY.convert(state(), info)
    missing, surplus = model.load_state_dict(converted, strict=False)
    assert not surplus
    assert not any(name.startswith("backbone.body.") for name in missing)


def test_the_light_variant_is_small() -> None:
    model = FAMILY.build(FAMILY.variants["mobilenet"])
    assert sum(v.numel() * 2 for v in model.state_dict().values()) <= 10_000_000


def toy(classes: int) -> EmbedMask:
    """A narrow model with ordinary norms, which learns fast."""
    info = FAMILY.variants["r50-fpn"]
    names = tuple(str(i) for i in range(classes))
    return EmbedMask(
        replace(info, categories=names, category_ids=tuple(range(classes))),
        backbone=p3_to_p7(ResNet(18, nn.BatchNorm2d, width=16), 32),
        head=Head(32, classes, width=32, depth=2),
        normalize=Normalize((127.5,) * 3, (64.0,) * 3),
        options=Options(sizes=(32, 64, 128, 256)),
    )


@pytest.mark.slow
def test_learns_two_images(data) -> None:
    torch.manual_seed(0)
    pair, names = two_images(data, 128)
    assert learn(toy(len(names)), pair, steps=400, rate=2e-3) == 1.0


def test_what_is_not_annotated_teaches_nothing() -> None:
    """Class logits of a category that is not annotated, and in a crowd, get no gradient."""
    torch.manual_seed(0)
    model = toy(2)
    batch = two_squares()
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, :, :32] = True
    crowd = Targets(
        torch.tensor([0]), torch.tensor([[0.0, 0, 32, 64]]), mask, torch.tensor([True]),
        torch.tensor([True, False]),
    )  # fmt: skip
    dense, pixels, points = model(batch)
    for level in dense.logits:
        level.retain_grad()
    model.forward = lambda _: (dense, pixels, points)
    model.losses(batch, [crowd, crowd])["class"].backward()
    finest = dense.logits[0].grad[0]
    assert not finest[1].any()
    assert not finest[0, :, :4].any()
    assert finest[0, :, 4:].all()


def two_squares() -> Batch:
    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    pixels[:, :, 8:24, 8:24] = 200
    return Batch(("a", "b"), pixels, ((64, 64),) * 2, ((64, 64),) * 2)


@torch.inference_mode()
def test_rewritten_for_bfloat16_it_sees_the_same() -> None:
    torch.manual_seed(0)
    info = FAMILY.variants["mobilenet"]
    model = FAMILY.build(info).eval()
    pixels = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)
    batch = Batch(("a",), pixels, ((128, 128),), ((128, 128),))
    dense, embeddings, _ = model(batch)
    assert isinstance(model, Fusible)
    model.fuse(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        rewritten, fused_embeddings, _ = model(batch)
    assert any(p.dtype == torch.bfloat16 for p in model.parameters())
    pairs = zip(
        (*rewritten.logits, *rewritten.distances, fused_embeddings),
        (*dense.logits, *dense.distances, embeddings),
        strict=True,
    )
    for found, expected in pairs:
        assert (found.float() - expected).abs().mean() < 0.03 * expected.abs().mean()
