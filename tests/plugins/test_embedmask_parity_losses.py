"""EmbedMask's targets, losses and gradients against recordings of the authors' implementation."""

from dataclasses import replace

import pytest
import torch
from embedmask_head import LEVELS, head_of, model_with, replayed
from kit.parity import close, tensors, unpacked
from torch import nn

from segcli.types import Targets
from segcli_blocks import fcos, fcos_losses
from segcli_blocks.losses import box_overlap, focal, lovasz_hinge
from segcli_embedmask import losses as learning
from segcli_embedmask import targets as assignment
from segcli_embedmask.convert import renamed
from segcli_embedmask.heads import Head
from segcli_embedmask.masks import log_probability, upsampled

NAMES = ("class", "box", "centerness", "mask")
RECORDED = ("loss_cls", "loss_reg", "loss_centerness", "mask_loss")
VARIANTS = {
    "default": {},
    "no_sample_in_mask": {"in_mask": False},
    "no_center": {"radius": None},
    "boxpad0.1": {"padding": 0.1},
    "iou": {"overlap": "iou"},
    "linear_iou": {"overlap": "linear_iou"},
}


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "embedmask"


@pytest.fixture(scope="module")
def recorded(folder):
    return tensors(folder / "head_io.npz")


@pytest.fixture(scope="module")
def given(folder):
    return tensors(folder / "loss.npz")


@pytest.fixture(scope="module")
def targets(given, recorded):
    canvas = recorded["padded_hw"].tolist()
    return [
        target(given[f"gt{b}_boxes_xyxy"], given[f"gt{b}_labels"], given[f"gt{b}_masks"], canvas)
        for b in range(len(recorded["image_sizes_hw"]))
    ]


def target(boxes, labels, masks, canvas):
    """Recorded targets as ours: labels from 0, boxes that end after their last pixel."""
    n, h, w = masks.shape
    whole = torch.zeros((n, *canvas), dtype=torch.bool)
    whole[:, :h, :w] = masks.bool()
    ours = boxes + torch.tensor([0, 0, 1.0, 1.0])
    return Targets(labels - 1, ours, whole, torch.zeros(n, dtype=torch.bool))


@pytest.mark.parametrize("name", ["default", "no_sample_in_mask", "no_center"])
def test_assignment(folder, name):
    given = tensors(folder / "assign.npz")
    canvas = given["padded_hw"].tolist()
    maps = [torch.zeros(1, 1, -(-canvas[0] // s), -(-canvas[1] // s)) for s in Head.strides]
    points = model_with(Head(8, 1, width=8, depth=1), 1).points(maps)
    one = target(given["boxes_xyxy"], given["labels_gt"], unpacked(given, "masks"), canvas)
    truth = assignment.truth_of(one, points, assignment.Learning(**VARIANTS[name]))
    assert torch.equal(truth.match, given[f"{name}_matched"])
    expected = torch.cat([given[f"{name}_labels_{level}"] for level in LEVELS])
    known = truth.labels[truth.match.clamp(min=0)].masked_fill(truth.match < 0, -1)
    assert torch.equal(known + 1, expected)
    if name == "default":
        distances = fcos_losses.distances_to(points, truth.boxes, truth.match)
        wanted = torch.cat([given[f"default_reg_targets_{level}"] for level in LEVELS])
        close(distances[truth.match >= 0], wanted[truth.match >= 0])


def values(losses):
    return torch.stack([losses[name].detach() for name in NAMES])


@pytest.mark.parametrize("name", [*VARIANTS, "fix_margin"])
def test_losses(recorded, given, targets, name, monkeypatch):
    model = replayed(recorded, monkeypatch)
    learning = assignment.Learning(**VARIANTS.get(name, {}))
    model.options = replace(model.options, learning=learning, fixed_margin=name == "fix_margin")
    default = torch.stack([given[key] for key in RECORDED])
    expected = given.get(f"variant_{name}", default)
    found = values(model.losses(None, targets))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_what_the_mask_loss_is_made_of(recorded, given, targets, monkeypatch):
    model = replayed(recorded, monkeypatch)
    with torch.no_grad():
        dense, pixels, points = model(None)
    truths = [assignment.truth_of(t, points, assignment.Learning()) for t in targets]
    assert sum(int((t.match >= 0).sum()) for t in truths) == int(given["num_pos"])
    grid = upsampled(pixels)
    for b, truth in enumerate(truths):
        assert torch.equal(truth.match, given["matched_idxes"][b])
        assert torch.equal(truth.masks.to(torch.uint8), given[f"im{b}_target_masks_s4"])
        best = assignment.best_proposals(fcos.flat(dense.distances)[b], points, truth)
        assert torch.equal(best, given["pos_proposal_index"][b])
        own = best[best >= 0]
        embedding, margin = model.proposals(dense, points, torch.full_like(own, b), own)
        found = log_probability(grid[b], embedding, margin)
        close(found.exp(), given[f"im{b}_mask_prob_s4"])
        each = learning.per_instance(found, truth.masks[best >= 0], truth.boxes, None)
        close(each, given[f"im{b}_lovasz_per_instance"])


def test_gradients_of_the_outputs(recorded, given, targets, monkeypatch):
    model = replayed(recorded, monkeypatch)
    torch.stack(list(model.losses(None, targets).values())).sum().backward()
    head = model.head
    groups = {
        "cls_logits": head.dense.logits,
        "bbox_reg": head.dense.distances,
        "centerness": head.dense.centerness,
        "proposal_embed": head.embedding,
        "proposal_margin": head.margin,
    }
    for name, leaves in groups.items():
        for level, leaf in zip(LEVELS, leaves, strict=True):
            close(leaf.grad, given[f"grad_{name}_{level}"], 1e-4)
    close(head.pixel.grad, given["grad_pixel_embed"], 1e-4)


def test_gradients_of_the_mask_loss(recorded, given, targets, monkeypatch):
    model = replayed(recorded, monkeypatch)
    model.losses(None, targets)["mask"].backward()
    close(model.head.pixel.grad, given["grad_maskonly_pixel_embed"], 1e-4)
    for i, level in enumerate(LEVELS):
        for name, leaves in (("embed", model.head.embedding), ("margin", model.head.margin)):
            key = f"grad_maskonly_proposal_{name}_{level}"
            if key in given:
                close(leaves[i].grad, given[key], 1e-4)


def test_gradients_of_maps_and_parameters(folder, recorded, given, targets, monkeypatch):
    """The whole path from maps to losses, as training goes it, with the recorded weights."""
    model = model_with(head_of(folder), recorded["cls_logits_p3"].shape[1])
    maps = [recorded[level].clone().requires_grad_() for level in LEVELS]
    monkeypatch.setattr(model, "forward", lambda _: (*model.head(maps), model.points(maps)))
    losses = model.losses(None, targets)
    expected = torch.stack([given[key] for key in RECORDED])
    torch.testing.assert_close(values(losses), expected, rtol=1e-5, atol=0)
    torch.stack(list(losses.values())).sum().backward()
    for level, leaf in zip(LEVELS, maps, strict=True):
        close(leaf.grad, given[f"grad_{level}"], 1e-4)
    parameters = dict(model.head.named_parameters())
    names = renamed({k.removeprefix("gradparam_"): v for k, v in given.items() if "param_" in k})
    assert names
    for name, gradient in names.items():
        close(parameters[name.removeprefix("head.")].grad, gradient, 1e-4)


# The loss functions alone.


def test_lovasz(folder):
    given = tensors(folder / "units.npz")
    for name in ("mixed", "all_bg", "all_fg", "far"):
        p = given[f"lovasz_{name}_prob"].clone().requires_grad_()
        label = given[f"lovasz_{name}_label"].bool()
        loss = lovasz_hinge(learning.logits_of(p).flatten()[None], label.flatten()[None])
        loss.sum().backward()
        close(loss, given[f"lovasz_{name}_loss"])
        close(p.grad, given[f"lovasz_{name}_grad"], 1e-4)


def test_box_overlap(folder):
    given = tensors(folder / "units.npz")
    for kind in ("iou", "linear_iou", "giou"):
        p = given["iou_pred_ltrb"].clone().requires_grad_()
        weight = given["iou_weight"]
        loss = (box_overlap(p, given["iou_target_ltrb"], kind) * weight).sum()
        loss.backward()
        close(loss, given[f"iou_{kind}_loss"])
        close(p.grad, given[f"iou_{kind}_grad"], 1e-4)


def test_focal(folder):
    given = tensors(folder / "units.npz")
    logits = given["focal_logits"].clone().requires_grad_()
    classes = logits.shape[1]
    wanted = nn.functional.one_hot(given["focal_targets"].long(), classes + 1)[:, 1:]
    loss = focal(logits, wanted).sum()
    loss.backward()
    close(loss, given["focal_loss_sum"])
    close(logits.grad, given["focal_grad"], 1e-4)
