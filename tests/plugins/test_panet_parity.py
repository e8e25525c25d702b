"""PANet against recordings of the authors' code."""

from pathlib import Path

import pytest
import torch
from kit.parity import close, in_full_recordings, settings, tensors, weights
from published import assert_loads
from torch import Tensor

from segcli.types import ModelInfo, Resize
from segcli_blocks.rcnn.losses import box_losses, mask_loss
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_panet import FAMILY
from segcli_panet.backbone import BottomUpBackbone
from segcli_panet.convert import renamed
from segcli_panet.variants import CONVENTIONS, assemble

Recording = dict[str, Tensor]
# What the trimmed recording has no weights of.
LEFT_OUT = ("backbone.body.", "rpn.", "roi_heads.mask_head.fc.weight")


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return tensors(reference / "panet/infer.npz")


@pytest.fixture(scope="module")
def trained(reference: Path) -> Recording:
    return tensors(reference / "panet/train.npz")


@pytest.fixture
def narrow(reference: Path, recording: Recording) -> TwoStage:
    """The recorded network at its width; of a trimmed recording, what lies above the body."""
    found = settings(reference / "panet/config.json")
    state = renamed(weights(reference / "panet/state_dict.safetensors"))
    state = {k: v.float() for k, v in state.items()}
    classes, groups = found["num_classes_with_bg"] - 1, found["group_norm_groups"]
    names = tuple(f"c{i}" for i in range(classes))
    info = ModelInfo("panet", "toy", names, tuple(range(classes)), Resize(1, 1), 32)
    stem = len(state["backbone.body.conv1.weight"])
    body = ResNet(50, frozen_norm(0.0), caffe=True, width=found["width_per_group"], stem=stem)
    model = assemble(
        info,
        BottomUpBackbone(body, found["fpn_dim"], groups=groups),
        width=found["fpn_dim"],
        hidden=found["mlp_head_dim"],
        groups=groups,
    )
    missing, surplus = model.load_state_dict(state, strict=False)
    assert not surplus
    left_out = () if "images" in recording else LEFT_OUT
    assert all(name.startswith(left_out) for name in missing), missing
    return model.eval()


def regions_of(rois: Tensor) -> tuple[list[Tensor], Tensor]:
    """Recorded regions (N, 5) by image, and where each recorded one is among all of ours."""
    image = rois[:, 0].long()
    boxes = [rois[image == b, 1:] for b in range(int(image.max()) + 1)]
    return boxes, image.argsort(stable=True).argsort()


@torch.inference_mode()
def test_body_equals_the_recording(narrow, recording) -> None:
    in_full_recordings(recording, "images")
    body = narrow.backbone.body(recording["images"].flip(1))  # ours sees RGB
    for level, found in enumerate(body, 2):
        close(found, recording[f"c{level}"], 1e-4)


@torch.inference_mode()
def test_both_paths_equal_the_recording(narrow, recording) -> None:
    maps = narrow.backbone.pyramid([recording[f"c{level}"] for level in range(2, 6)])
    for level, found in enumerate(maps, 2):
        close(found, recording[f"n{level}"], 1e-4)
    assert f"n{2 + len(maps)}" not in recording


@torch.inference_mode()
def test_box_head_equals_the_recording(narrow, recording) -> None:
    heads, maps = narrow.roi_heads, [recording[f"n{level}"] for level in range(2, 7)]
    boxes, order = regions_of(recording["rois"])
    pooled = heads.box_pool(maps[:4], boxes)[:, order]
    for level, features in enumerate(pooled, 2):
        expected = recording[f"box_roi_n{level}_first4"]
        close(features[: len(expected)], expected, 1e-4)
    close(heads.box_head.fused(pooled), recording["box_fused"], 1e-4)
    close(heads.box_head(pooled), recording["box_fc"], 1e-4)
    logits, deltas = (found[order] for found in heads.classify(maps, boxes))
    close(logits, recording["cls_logits"], 1e-4)
    close(deltas, recording["box_deltas"], 1e-4)
    close(logits.softmax(-1), recording["cls_prob_eval"], 1e-4)


@torch.inference_mode()
def test_mask_head_equals_the_recording(narrow, recording) -> None:
    heads, maps = narrow.roi_heads, [recording[f"n{level}"] for level in range(2, 6)]
    boxes, order = regions_of(recording["mask_rois"])
    pooled = heads.mask_features(maps, boxes)[:, order]
    for level, features in enumerate(pooled, 2):
        expected = recording[f"mask_roi_n{level}_first2"]
        close(features[: len(expected)], expected, 1e-4)
    head = heads.mask_head
    fused = head.fused(pooled)
    close(fused, recording["mask_fused"], 1e-4)
    shared = head.convs(fused)
    close(shared, recording["mask_conv3"], 1e-4)
    expected = recording["mask_conv5_fc_first4"]
    close(head.conv5_fc(head.conv4_fc(shared))[: len(expected)], expected, 1e-4)
    whole = head.whole(shared)
    connected = recording["mask_fc"].view_as(whole)
    by_class = recording["mask_logits"] - connected[:, None]
    close(head(pooled) - whole[:, None], by_class, 1e-4)
    in_full_recordings(recording, "images")
    close(whole, connected, 1e-4)
    close(head(pooled), recording["mask_logits"], 1e-4)


def maps_with_gradients(narrow: TwoStage, recording: Recording) -> list[Tensor]:
    maps = narrow.backbone.pyramid([recording[f"c{level}"] for level in range(2, 6)])
    for found in maps:
        found.retain_grad()
    return maps


def test_box_losses_and_gradients_equal_the_recording(narrow, recording, trained) -> None:
    heads, maps = narrow.roi_heads, maps_with_gradients(narrow, recording)
    boxes, order = regions_of(recording["rois"])
    logits, deltas = (found[order] for found in heads.classify(maps, boxes))
    labels = trained["labels"].long() - 1
    classes, _ = box_losses(
        logits, deltas, [labelled(recording["rois"][:, 1:], labels)], positions=heads.classes,
        agnostic=False, beta=CONVENTIONS.box_beta,
    )  # fmt: skip
    close(classes, trained["loss_cls"], 1e-4)
    box = box_loss(deltas, labels, trained["box_targets"])
    close(box, trained["loss_bbox"], 1e-4)
    (classes + box).backward()
    assert_gradients(narrow, maps, trained, "grad_box/")


def test_mask_loss_and_gradients_equal_the_recording(narrow, recording, trained) -> None:
    in_full_recordings(recording, "images")  # trimmed, they lack the weights of one layer
    heads, maps = narrow.roi_heads, maps_with_gradients(narrow, recording)
    kept = ~trained["mask_row_ignored"]
    of = labels_of_masks(recording, trained["labels"].long() - 1)
    boxes, order = regions_of(recording["mask_rois"])
    masks = heads.mask_logits(heads.mask_features(maps, boxes)[:, order], of + 1)
    loss = mask_loss(masks[kept], trained["mask_targets"][kept].float())
    close(loss, trained["loss_mask"], 1e-4)
    loss.backward()
    assert_gradients(narrow, maps, trained, "grad_mask/")


def labelled(boxes: Tensor, labels: Tensor) -> Regions:
    """All regions of the batch with their recorded labels; only these matter for the classes."""
    n = len(boxes)
    return Regions(boxes, labels, torch.zeros(n).long(), boxes, torch.zeros(n).bool(), None)


def box_loss(deltas: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """The loss of recorded targets: they are encoded already."""
    objects = labels >= 0
    found = deltas.unflatten(1, (-1, 4))[objects, labels[objects] + 1]
    beta = CONVENTIONS.box_beta
    loss = torch.nn.functional.smooth_l1_loss(found, wanted[objects], beta=beta, reduction="sum")
    return loss / len(labels)


def labels_of_masks(recording: Recording, labels: Tensor) -> Tensor:
    """The labels of the mask regions, which are some of the regions."""
    same = (recording["mask_rois"][:, None] == recording["rois"][None]).all(2)
    assert same.any(1).all()
    return labels[same.long().argmax(1)].clamp(min=0)


def assert_gradients(model, maps, trained: Recording, prefix: str) -> None:
    recorded = {k.removeprefix(prefix): v for k, v in trained.items() if k.startswith(prefix)}
    assert recorded
    parameters = dict(model.named_parameters())
    ours = renamed({k: v for k, v in recorded.items() if not k.startswith("@")})
    for name, expected in ours.items():
        close(parameters[name].grad, expected, 1e-4)
    for name, expected in recorded.items():
        if name.startswith("@n"):
            close(maps[int(name[2:]) - 2].grad, expected, 1e-4)


def test_the_published_checkpoint_loads() -> None:
    assert_loads(FAMILY, "r50-fpn", "panet_R-50-FPN_2x_mask")
