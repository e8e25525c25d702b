"""PointRend against recordings of detectron2's project."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kit.parity import close, masks_of, tensors, unpacked, weights, within
from kit.two_stage import batch_of, recorded_heads
from published import assert_loads
from torch import Tensor, nn

from segcli.types import Batch, Targets
from segcli_blocks.rcnn.losses import box_losses, mask_targets
from segcli_blocks.rcnn.mask_head import at_class
from segcli_blocks.rcnn.sampler import Regions, matched_regions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_pointrend import FAMILY
from segcli_pointrend import model as pointrend
from segcli_pointrend.convert import renamed
from segcli_pointrend.points import PUBLISHED, least_certain, sampled, training_points
from segcli_pointrend.variants import CONVENTIONS, assemble

# By the recording's README: they do not follow from its arrays.
SIZES, PER_LEVEL = (16, 32, 48, 64, 96), 200

Recording = dict[str, Tensor]


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return tensors(reference / "pointrend/infer.npz")


@pytest.fixture(scope="module")
def trained(reference: Path) -> Recording:
    return tensors(reference / "pointrend/train.npz")


@pytest.fixture(scope="module")
def narrow(reference: Path, recording: Recording) -> TwoStage:
    """The heads of the recording, at its width."""
    state = renamed(weights(reference / "pointrend/state_dict.safetensors"))
    points = len(state["roi_heads.mask_head.point_head.fc1.weight"])
    limits = {"sizes": SIZES, "per_level": PER_LEVEL}
    return recorded_heads(assemble, recording, state, CONVENTIONS, **limits, point_width=points)


@pytest.fixture
def batch(recording: Recording) -> Batch:
    rgb = recording["image_bgr_u8"].flip(0)
    canvas = tuple(4 * side for side in recording["fpn_p2"].shape[-2:])
    return batch_of(tuple(rgb.shape[1:]), canvas, tuple(recording["out_size_hw"].tolist()), rgb)


@torch.inference_mode()
def test_boxes_equal_the_recording(narrow, batch, recording) -> None:
    _, scored = narrow.first_stage(batch)
    (proposals,) = narrow.rpn.propose(scored, batch.content_sizes)
    within(proposals, recording["proposals_xyxy"], 1e-3)
    logits, deltas = narrow.roi_heads.classify(narrow.backbone.maps, [recording["proposals_xyxy"]])
    close(torch.cat((logits[:, 1:], logits[:, :1]), 1), recording["cls_logits"])
    close(deltas[:, 4:], recording["box_deltas"])


@torch.inference_mode()
def test_coarse_masks_equal_the_recording(narrow, recording) -> None:
    boxes = [recording["det_boxes_xyxy"]]
    close(narrow.roi_heads.coarse(recording["fpn_p2"], boxes), recording["coarse_logits"])


@torch.inference_mode()
def test_subdivision_asks_for_the_recorded_points(narrow, recording) -> None:
    heads, finest = narrow.roi_heads, recording["fpn_p2"]
    boxes, of = [recording["det_boxes_xyxy"]], recording["det_classes"]
    coarse = heads.coarse(finest, boxes)
    side, steps = PUBLISHED.start(coarse.shape[-1])
    assert side**2 == recording["step0_point_logits"].shape[-1]
    assert f"step{steps}_point_indices" in recording
    assert f"step{steps + 1}_point_indices" not in recording
    logits = at_class(recording["step0_point_logits"], of).unflatten(1, (side, side))
    for step in range(1, steps + 1):
        logits, points, chosen = heads.doubled(logits)
        expected = recording[f"step{step}_point_indices"].long()
        assert torch.equal(chosen.sort(1).values, expected.sort(1).values)
        order = chosen.argsort(1)
        theirs = expected.argsort(1)
        close(
            points.gather(1, order[..., None].expand(-1, -1, 2)),
            recording[f"step{step}_point_coords"].gather(1, theirs[..., None].expand(-1, -1, 2)),
        )
        values = heads.at_points(finest, boxes, coarse, points, of)
        recorded = recording[f"step{step}_point_logits_sel"]
        close(values.gather(1, order), recorded.gather(1, theirs), 1e-4)
        logits = logits.flatten(1).scatter(1, expected, recorded).view_as(logits)
    close(logits, recording["final_logits_sel"], 1e-4)


@torch.inference_mode()
def test_masks_equal_the_recording(narrow, batch, recording) -> None:
    (found,) = narrow.predict(batch, min_score=0.05, max_masks=len(recording["det_scores"]))
    assert found.labels.tolist() == recording["det_classes"].tolist()
    within(found.scores, recording["det_scores"], 1e-5)
    within(found.boxes, recording["det_boxes_xyxy"], 1e-3)
    close(found.fields, recording["final_logits_sel"].sigmoid(), 1e-4)
    made = masks_of(found, content=batch.content_sizes[0], size=batch.image_sizes[0])
    wrong = (made ^ unpacked(recording, "post_masks")).sum((1, 2))
    assert int(wrong.max()) <= 2  # pixels within rounding of the threshold


def targets_of(recorded: Recording) -> list[Targets]:
    found = []
    while f"gt{len(found)}_classes" in recorded:
        b = len(found)
        labels = recorded[f"gt{b}_classes"]
        boxes, masks = recorded[f"gt{b}_boxes_xyxy"], recorded[f"gt{b}_masks"]
        found.append(Targets(labels, boxes, masks, torch.zeros(len(labels), dtype=torch.bool)))
    return found


def sampled_of(narrow: TwoStage, recorded: Recording, targets: list[Targets]) -> list[Regions]:
    background = len(narrow.info.categories)
    found = []
    for b, target in enumerate(targets):
        regions = matched_regions(recorded[f"sampled{b}_boxes_xyxy"], target)
        wanted = recorded[f"sampled{b}_classes"]
        assert torch.equal(regions.labels, wanted.masked_fill(wanted == background, -1))
        found.append(regions)
    return found


def recorded_draws(recorded: Recording):
    """The recorded random numbers, one draw after the other."""
    draws = iter((recorded["rand_draw_oversample"], recorded["rand_draw_uniform"]))

    def draw(*shape, device):
        numbers = next(draws)
        assert numbers.shape == shape
        return numbers

    return draw


def test_box_losses_equal_the_recording(narrow, trained) -> None:
    targets = targets_of(trained)
    regions = sampled_of(narrow, trained, targets)
    heads = narrow.roi_heads
    # Of the training's maps only P2 is recorded, so the box head's output is taken from there.
    logits = trained["cls_logits"]
    deltas = torch.cat((torch.zeros(len(logits), 4), trained["box_deltas"]), 1)
    classes, box = box_losses(
        torch.cat((logits[:, -1:], logits[:, :-1]), 1), deltas, regions, positions=heads.classes,
        agnostic=False, beta=heads.conventions.box_beta,
    )  # fmt: skip
    within(classes, trained["loss_cls"], 1e-5)
    within(box, trained["loss_box_reg"], 1e-5)


def test_points_in_training_equal_the_recording(trained) -> None:
    of = torch.cat([trained["pos0_classes"], trained["pos1_classes"]])
    logits = at_class(trained["coarse_logits"], of)
    points = training_points(logits, PUBLISHED, recorded_draws(trained))
    close(points, trained["point_coords"], 1e-6)


def test_mask_losses_and_gradients_equal_the_recording(narrow, trained, monkeypatch) -> None:
    targets = targets_of(trained)
    regions = [r.at(r.labels >= 0) for r in sampled_of(narrow, trained, targets)]
    refined = []
    for b, (positive, target) in enumerate(zip(regions, targets, strict=True)):
        assert torch.equal(positive.labels, trained[f"pos{b}_classes"])
        assert torch.equal(positive.match, trained[f"pos{b}_gt_index"])
        refined.append(replace(positive, boxes=trained[f"pos{b}_boxes_xyxy"]))
        goals = mask_targets(refined[-1:], [target], narrow.roi_heads.mask_head.coarse_head.side,
                             narrow.roi_heads.conventions)  # fmt: skip
        assert torch.equal(goals.bool(), trained[f"pos{b}_coarse_target"])
    draw = recorded_draws(trained)
    monkeypatch.setattr(narrow.roi_heads, "refined", lambda maps, positive: refined)
    monkeypatch.setattr(
        pointrend,
        "training_points",
        lambda logits, sampling: training_points(logits, sampling, draw),
    )
    finest = trained["fpn_p2"].clone().requires_grad_()
    losses = narrow.roi_heads.mask_losses([finest], regions, targets)
    within(losses["mask"], trained["loss_mask"], 1e-6)
    within(losses["point"], trained["loss_mask_point"], 1e-6)

    narrow.zero_grad()
    losses["point"].backward(retain_graph=True)
    assert_gradients(narrow, trained, "grad_point")
    losses["mask"].backward()
    assert_gradients(narrow, trained, "grad_mask_both")
    close(finest.grad, trained["grad_mask_both/@p2"], 1e-4)


def assert_gradients(model: nn.Module, recorded: Recording, prefix: str) -> None:
    """Of all recorded parameters of the mask heads."""
    parameters = dict(model.named_parameters())
    compared = 0
    for key, expected in recorded.items():
        name = key.removeprefix(f"{prefix}/")
        if name.startswith("roi_heads.mask_head.") and key.startswith(prefix):
            close(parameters[name].grad, expected, 1e-4)
            compared += 1
    assert compared >= 5


def test_box_head_refines_the_regions_that_masks_learn_in(narrow, trained) -> None:
    heads = narrow.roi_heads
    targets = targets_of(trained)
    positive = [r.at(r.labels >= 0) for r in sampled_of(narrow, trained, targets)]
    logits, deltas = trained["cls_logits"], trained["box_deltas"]
    deltas = torch.cat((torch.zeros(len(deltas), 4), deltas), 1)
    chosen = torch.cat([torch.arange(len(trained[f"sampled{b}_classes"])) < len(p.labels)
                        for b, p in enumerate(positive)])  # fmt: skip
    heads.classify = lambda maps, boxes: (logits[chosen], deltas[chosen])
    try:
        for b, regions in enumerate(heads.refined([], positive)):
            within(regions.boxes, trained[f"pos{b}_boxes_xyxy"], 1e-3)
    finally:
        del heads.classify


def test_logits_at_points_equal_the_recording(narrow, trained) -> None:
    coarse, points = trained["coarse_logits"], trained["point_coords"]
    close(sampled(coarse, points), trained["coarse_features"])
    boxes = [trained["pos0_boxes_xyxy"], trained["pos1_boxes_xyxy"]]
    of = torch.cat([trained["pos0_classes"], trained["pos1_classes"]])
    found = narrow.roi_heads.at_points(trained["fpn_p2"], boxes, coarse, points, of)
    close(found, at_class(trained["point_logits"], of))


def test_the_published_checkpoint_loads() -> None:
    state, converted = assert_loads(FAMILY, "r50-fpn", "d2_pointrend_R50_FPN")
    name = "roi_heads.box_predictor.cls_score.bias"
    assert converted[name][0] == state[name][-1], "the background comes first"


def test_names_of_old_checkpoints_are_known() -> None:
    ours = "roi_heads.mask_head."
    old = {
        "roi_heads.mask_point_head.fc1.weight": ours + "point_head.fc1.weight",
        "roi_heads.mask_coarse_head.coarse_mask_fc2.bias": ours + "coarse_head.fc2.bias",
        "roi_heads.mask_coarse_head.reduce_spatial_dim_conv.bias": (
            ours + "coarse_head.reduce_spatial_dim_conv.bias"
        ),
    }
    made = renamed({name: torch.zeros(1) for name in old})
    assert sorted(made) == sorted(old.values())


def test_points_between_cells_of_different_sign_are_the_least_certain() -> None:
    logits = torch.tensor([[-5.0, -1.0, 0.5, 7.0]])
    assert least_certain(logits, 2).tolist() == [[2, 1]]
    assert least_certain(logits, 9).shape == (1, 4)
