"""Keypoint R-CNN against recordings of detectron2's head and against torchvision's own model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kit.parity import tensors, within
from published import assert_loads
from torch import Tensor
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import (
    heatmaps_to_keypoints,
    keypointrcnn_loss,
    keypoints_to_heatmap,
)
from toy_pyramid import ToyPyramid

from segcli.keypoints import PERSON, PERSON_SKELETON
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Batch, Instances, ModelInfo, Resize, Targets
from segcli_blocks.rcnn.conventions import LIGHT
from segcli_blocks.rcnn.sampler import Regions
from segcli_maskrcnn import FAMILY
from segcli_maskrcnn.keypoints import (
    KeypointRCNN,
    _filled,
    assemble,
    keypoint_loss,
    keypoint_targets,
    keypoints_of,
)

Recording = dict[str, Tensor]


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return tensors(reference / "maskrcnn/keypoint.npz")


def recorded_layers(recording: Recording) -> torch.nn.Module:
    """The head, of as many convolutions and channels as the recording has."""
    convolutions = {k: v for k, v in recording.items() if k.startswith("w/conv_fcn")}
    channels = recording["w/conv_fcn1.weight"].shape[0]
    depth = len(convolutions) // 2
    head = KeypointRCNNHeads(recording["roi_feature"].shape[1], (channels,) * depth)
    predictor = KeypointRCNNPredictor(channels, recording["w/score_lowres.weight"].shape[1])
    for number in range(depth):
        for kind in ("weight", "bias"):
            recorded = recording[f"w/conv_fcn{number + 1}.{kind}"]
            getattr(head[2 * number], kind).data.copy_(recorded)
            if not number:
                lowres = recording[f"w/score_lowres.{kind}"]
                getattr(predictor.kps_score_lowres, kind).data.copy_(lowres)
    return torch.nn.Sequential(head, predictor)


def regions_of(boxes: Tensor, match: Tensor | None = None) -> Regions:
    count = len(boxes)
    match = torch.arange(count) if match is None else match
    return Regions(
        boxes, torch.zeros(count, dtype=torch.long), match, boxes, torch.ones(count) > 0, None
    )


def targets_of(keypoints: Tensor | None, count: int) -> Targets:
    return Targets(
        labels=torch.zeros(count, dtype=torch.long),
        boxes=torch.zeros(count, 4),
        masks=torch.zeros((count, 8, 8), dtype=torch.bool),
        crowd=torch.zeros(count, dtype=torch.bool),
        keypoints=keypoints,
    )


def test_the_heat_maps_and_the_keypoints_equal_the_recording(recording: Recording) -> None:
    with torch.no_grad():
        logits = recorded_layers(recording)(recording["roi_feature"])
    within(logits, recording["logits_56"], 1e-4)
    found = keypoints_of(recording["logits_56"], recording["boxes_xyxy"])
    within(found[..., :2], recording["pred_keypoints"][..., :2], 1e-3)
    within(found[..., 2], recording["pred_keypoints"][..., 2].clamp(max=1), 1e-5)


def test_the_targets_and_the_loss_equal_the_recording(recording: Recording) -> None:
    features = recording["roi_feature"].clone().requires_grad_()
    layers = recorded_layers(recording)
    logits = layers(features)
    cells, valid = keypoint_targets(
        [regions_of(recording["boxes_xyxy"])],
        [targets_of(recording["gt_keypoints"], len(features))],
        *logits.shape[1:3],
    )
    assert torch.equal(valid, recording["target_valid"].bool())
    assert torch.equal(cells * valid, recording["target_index"])
    loss = keypoint_loss(logits, cells, valid)
    within(loss.detach(), recording["loss_visible_norm"], 1e-5)
    loss.backward()
    within(features.grad, recording["grad/roi_feature"], 1e-6)
    lowres = layers[1].kps_score_lowres.weight.grad
    within(lowres, recording["grad/score_lowres.weight"], 1e-5)


def test_keypoints_equal_torchvisions() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn((6, 5, 56, 56), generator=generator)
    corners = torch.rand((6, 2), generator=generator) * 40
    sides = torch.tensor(
        [[0.3, 12.0], [56.0, 56.0], [90.5, 30.2], [9.0, 71.7], [1.0, 1.0], [33, 8]]
    )
    boxes = torch.cat((corners, corners + sides), 1)
    xy, _ = heatmaps_to_keypoints(logits, boxes)
    within(keypoints_of(logits, boxes)[..., :2], xy[..., :2], 1e-4)


def test_the_loss_equals_torchvisions() -> None:
    generator = torch.Generator().manual_seed(4)
    corners = torch.rand((2, 3, 2), generator=generator) * 20
    boxes = torch.cat((corners, corners + 30), -1)
    keypoints = torch.rand((2, 4, 7, 3), generator=generator) * 45
    keypoints[..., 2] = torch.randint(0, 3, (2, 4, 7), generator=generator)
    keypoints[0, 1, 0] = torch.tensor([*boxes[0, 0, 2:], 2.0])  # on the corner of its region
    match = torch.tensor([[1, 0, 3], [2, 2, 1]])
    logits = torch.randn((6, 7, 56, 56), generator=generator)
    cells, valid = keypoint_targets(
        [regions_of(b, m) for b, m in zip(boxes, match, strict=True)],
        [targets_of(k, 4) for k in keypoints],
        7,
        56,
    )
    theirs, used = keypoints_to_heatmap(keypoints[0][match[0]], boxes[0], 56)
    assert 2 < int(used.sum()) < used.numel()
    assert torch.equal((cells * valid)[:3], theirs)
    expected = keypointrcnn_loss(logits, [*boxes], [*keypoints], [*match])
    torch.testing.assert_close(keypoint_loss(logits, cells, valid), expected)


def test_objects_without_keypoints_teach_nothing() -> None:
    logits = torch.randn((2, 3, 56, 56), requires_grad=True)
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [2.0, 2.0, 8.0, 8.0]])
    cells, valid = keypoint_targets([regions_of(boxes)], [targets_of(None, 2)], 3, 56)
    loss = keypoint_loss(logits, cells, valid)
    loss.backward()
    assert loss.detach() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("variant", ["keypoint-r50-fpn", "keypoint-r50-fpn-legacy"])
def test_the_published_checkpoint_loads(variant: str) -> None:
    assert_loads(FAMILY, variant, "tv_keypointrcnn_resnet50_fpn")


def test_the_mask_is_the_box() -> None:
    boxes = torch.tensor([[2.0, 3.0, 9.0, 7.0], [0.4, 0.4, 5.6, 5.4], [-3.0, 5.0, 30.0, 40.0]])
    found = Instances(
        torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.long), boxes,
        torch.ones((3, 2, 2)), boxes,
    )  # fmt: skip
    rows = segments(
        _filled(found, torch.zeros(3, 1, 3)), content_size=(12, 14), image_size=(12, 14)
    )
    for row, (x0, y0, x1, y1) in zip(rows, boxes.tolist(), strict=True):
        y, x = np.mgrid[:12, :14] + 0.5
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        assert np.array_equal(rle.decode(row.rle, 12, 14), inside)


def toy() -> KeypointRCNN:
    torch.manual_seed(0)
    info = ModelInfo(
        "maskrcnn", "toy", ("person",), (1,), Resize(128, 128), 64, keypoints=PERSON[:3],
        skeleton=PERSON_SKELETON[13:15],
    )  # fmt: skip
    conventions = replace(LIGHT, region_samples=64)
    return assemble(
        info, ToyPyramid(), width=32, hidden=64, channels=32, depth=2, conventions=conventions
    )


def figures(seed: int) -> tuple[Batch, Targets]:
    """An image of a bright figure with three marks of different colours, which are keypoints."""
    rng = np.random.default_rng(seed)
    pixels = torch.full((1, 3, 128, 128), 40, dtype=torch.uint8)
    x, y = (int(v) for v in rng.integers(8, 56, 2))
    pixels[:, :, y : y + 60, x : x + 50] = 150
    points = torch.tensor([[x + 25.0, y + 10.0, 2], [x + 10.0, y + 45, 2], [x + 40.0, y + 40, 1]])
    for channel, (px, py, _) in enumerate(points.int().tolist()):
        pixels[:, :, py - 4 : py + 4, px - 4 : px + 4] = 0
        pixels[:, channel, py - 4 : py + 4, px - 4 : px + 4] = 255
    mask = torch.zeros((1, 128, 128), dtype=torch.bool)
    mask[0, y : y + 60, x : x + 50] = True
    box = torch.tensor([[x, y, x + 50, y + 60]], dtype=torch.float32)
    targets = Targets(
        torch.zeros(1, dtype=torch.long), box, mask, torch.zeros(1, dtype=torch.bool),
        keypoints=points[None],
    )  # fmt: skip
    return Batch(("a",), pixels, ((128, 128),), ((128, 128),)), targets


@pytest.mark.slow
def test_two_images_are_learned_by_heart() -> None:
    model, pairs = toy(), [figures(seed) for seed in (0, 1)]
    batch = Batch(
        ("a", "b"), torch.cat([b.pixels for b, _ in pairs]), ((128, 128),) * 2, ((128, 128),) * 2
    )
    targets = [t for _, t in pairs]
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for step in range(150):
        optimiser.zero_grad()
        sum(model.losses(batch, targets).values()).backward()
        if not step:
            assert all(p.grad is not None for p in model.parameters())
        optimiser.step()
    model.eval()
    for found, target in zip(
        model.predict(batch, min_score=0.5, max_masks=5), targets, strict=True
    ):
        assert len(found.scores) == 1
        apart = (found.keypoints[0, :, :2] - target.keypoints[0, :, :2]).norm(dim=1)
        assert float(apart.max()) < 3
