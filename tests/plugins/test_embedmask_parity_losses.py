"""EmbedMask's targets, losses and gradients against recordings of the authors' implementation."""

from dataclasses import replace

import pytest
import torch
from embedmask_head import LEVELS, everywhere, head_model, run
from recordings import close, tensors, unpacked
from torch import nn

from segcli.types import Targets
from segcli_blocks import fcos
from segcli_blocks.losses import box_overlap, focal, lovasz_hinge
from segcli_embedmask import training
from segcli_embedmask.convert import renamed
from segcli_embedmask.masks import log_probability, upsampled


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "embedmask"


@pytest.fixture(scope="module")
def recorded(folder):
    return tensors(folder / "head_io.npz")


@pytest.fixture(scope="module")
def model(folder):
    return head_model(folder)


# Targets and losses.


def target(boxes, labels, masks, canvas):
    """Recorded targets as ours: labels from 0, boxes that end after their last pixel."""
    n, h, w = masks.shape
    whole = torch.zeros((n, *canvas), dtype=torch.bool)
    whole[:, :h, :w] = masks.bool()
    ours = boxes + torch.tensor([0, 0, 1.0, 1.0])
    return Targets(labels - 1, ours, whole, torch.zeros(n, dtype=torch.bool))


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


@pytest.mark.parametrize("name", ["default", "no_sample_in_mask", "no_center"])
def test_assignment(folder, model, name):
    given = tensors(folder / "assign.npz")
    canvas = given["padded_hw"].tolist()
    maps = [torch.zeros(1, 1, -(-canvas[0] // s), -(-canvas[1] // s)) for s in model.head.strides]
    points = model.points(maps)
    one = target(given["boxes_xyxy"], given["labels_gt"], unpacked(given, "masks"), canvas)
    truth = training.truth_of(one, points, training.Options(**VARIANTS[name]))
    assert torch.equal(truth.match, given[f"{name}_matched"])
    expected = torch.cat([given[f"{name}_labels_{level}"] for level in LEVELS])
    known = truth.labels[truth.match.clamp(min=0)].masked_fill(truth.match < 0, -1)
    assert torch.equal(known + 1, expected)
    if name == "default":
        distances = fcos.distances_to(points, truth.boxes, truth.match)
        wanted = torch.cat([given[f"default_reg_targets_{level}"] for level in LEVELS])
        close(distances[truth.match >= 0], wanted[truth.match >= 0])


@pytest.fixture
def targets(folder, recorded):
    given = tensors(folder / "loss.npz")
    canvas = recorded["padded_hw"].tolist()
    count = len(recorded["image_sizes_hw"])
    return given, [
        target(given[f"gt{b}_boxes_xyxy"], given[f"gt{b}_labels"], given[f"gt{b}_masks"], canvas)
        for b in range(count)
    ]


class Run:
    """The head and the losses with every raw output keeping its gradient."""

    def __init__(self, model, recorded, targets, options):
        self.maps, self.dense, self.pixels, self.points = run(model, recorded)
        shapes = [recorded[f"proposal_embed_{level}"].shape for level in LEVELS]
        raw = [everywhere(model, self.dense, self.points, i, s) for i, s in enumerate(shapes)]
        self.embedding, self.margin = [list(each) for each in zip(*raw, strict=True)]
        for kept in (*self.dense.logits, *self.dense.distances, *self.dense.centerness,
                     *self.embedding, *self.margin, self.pixels):  # fmt: skip
            kept.retain_grad()
        self.truths = [training.truth_of(t, self.points, options) for t in targets]
        self.losses = training.dense_losses(self.dense, self.points, self.truths, targets, options)
        flat = fcos.flat(self.dense.distances).detach()
        self.best = [
            training.best_proposals(flat[b], self.points, t) for b, t in enumerate(self.truths)
        ]
        self.taken = [index >= 0 for index in self.best]
        self.log_probability = [
            log_probability(grid, e[index[index >= 0]], m[index[index >= 0]])
            for grid, e, m, index in zip(
                upsampled(self.pixels), fcos.flat(self.embedding), fcos.flat(self.margin),
                self.best, strict=True,
            )
        ]  # fmt: skip
        self.losses["mask"] = training.mask_loss(
            self.log_probability, self.truths, self.taken, options
        )

    def values(self):
        return torch.stack([self.losses[n].detach() for n in NAMES])


def test_losses(model, recorded, targets):
    given, ours = targets
    found = Run(model, recorded, ours, training.Options())
    expected = torch.stack([given[n] for n in RECORDED])
    torch.testing.assert_close(found.values(), expected, rtol=1e-5, atol=0)
    positive = [t.match >= 0 for t in found.truths]
    assert int(sum(p.sum() for p in positive)) == int(given["num_pos"])
    for b, truth in enumerate(found.truths):
        assert torch.equal(truth.match, given["matched_idxes"][b])
        assert torch.equal(found.best[b], given["pos_proposal_index"][b])
        assert torch.equal(truth.masks.to(torch.uint8), given[f"im{b}_target_masks_s4"])
        close(found.log_probability[b].exp(), given[f"im{b}_mask_prob_s4"])
        each = training.per_instance(
            found.log_probability[b], truth.masks[found.taken[b]], truth.boxes, None
        )
        close(each, given[f"im{b}_lovasz_per_instance"])


@pytest.mark.parametrize("fixed", [False, True])
def test_model_gives_the_same_losses(model, recorded, targets, fixed, monkeypatch):
    """The whole path from maps to losses, as training goes it."""
    given, ours = targets
    maps = [recorded[level] for level in LEVELS]
    monkeypatch.setattr(model, "forward", lambda _: (*model.head(maps), model.points(maps)))
    monkeypatch.setattr(model, "options", replace(model.options, fixed_margin=fixed))
    losses = model.losses(None, ours)
    default = torch.stack([given[n] for n in RECORDED])
    expected = given["variant_fix_margin"] if fixed else default
    found = torch.stack([losses[n].detach() for n in NAMES])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_loss_variants(model, recorded, targets, name):
    given, ours = targets
    found = Run(model, recorded, ours, training.Options(**VARIANTS[name])).values()
    default = torch.stack([given[n] for n in RECORDED])
    torch.testing.assert_close(found, given.get(f"variant_{name}", default), rtol=1e-5, atol=0)


def test_gradients(model, recorded, targets):
    given, ours = targets
    found = Run(model, recorded, ours, training.Options())
    model.zero_grad()
    torch.stack(list(found.losses.values())).sum().backward()
    groups = {
        "": found.maps,
        "cls_logits_": found.dense.logits,
        "bbox_reg_": found.dense.distances,
        "centerness_": found.dense.centerness,
        "proposal_embed_": found.embedding,
        "proposal_margin_": found.margin,
    }
    for name, tensors_of in groups.items():
        for level, tensor in zip(LEVELS, tensors_of, strict=True):
            close(tensor.grad, given[f"grad_{name}{level}"], 1e-4)
    close(found.pixels.grad, given["grad_pixel_embed"], 1e-4)
    parameters = dict(model.head.named_parameters())
    names = renamed({k.removeprefix("gradparam_"): v for k, v in given.items() if "param_" in k})
    assert names
    for name, expected in names.items():
        close(parameters[name.removeprefix("head.")].grad, expected, 1e-4)


def test_mask_gradients(model, recorded, targets):
    given, ours = targets
    found = Run(model, recorded, ours, training.Options())
    found.losses["mask"].backward()
    close(found.maps[0].grad, given["grad_maskonly_p3"], 1e-4)
    close(found.pixels.grad, given["grad_maskonly_pixel_embed"], 1e-4)
    for i, level in enumerate(LEVELS):
        for name, tensors_of in (("embed", found.embedding), ("margin", found.margin)):
            key = f"grad_maskonly_proposal_{name}_{level}"
            if key in given:
                close(tensors_of[i].grad, given[key], 1e-4)


# The loss functions alone.


def test_lovasz(folder):
    given = tensors(folder / "units.npz")
    for name in ("mixed", "all_bg", "all_fg", "far"):
        p = given[f"lovasz_{name}_prob"].clone().requires_grad_()
        label = given[f"lovasz_{name}_label"].bool()
        loss = lovasz_hinge(training.logits_of(p).flatten()[None], label.flatten()[None])
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
