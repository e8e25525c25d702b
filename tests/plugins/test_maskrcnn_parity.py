"""Mask R-CNN against torchvision's own model, and against recordings of detectron2."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kit.parity import masks_of
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.detection import backbone_utils, image_list, mask_rcnn
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FrozenBatchNorm2d

from segcli.errors import UsageError
from segcli.types import Batch, ModelInfo, Resize
from segcli_blocks.rcnn.box_coder import decode, encode
from segcli_blocks.rcnn.conventions import BOX_WEIGHTS, DETECTRON2
from segcli_blocks.rcnn.rpn import flatten
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage, fpn_heads
from segcli_maskrcnn import FAMILY
from segcli_maskrcnn.convert import renamed
from segcli_maskrcnn.variants import build

KEYS = Path(__file__).parent.parent / "golden/keys"


def batch_of(*contents: tuple[int, int], canvas: tuple[int, int]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.zeros((len(contents), 3, *canvas), dtype=torch.uint8)
    for image, (h, w) in zip(pixels, contents, strict=True):
        image[:, :h, :w] = torch.randint(0, 256, (3, h, w), generator=generator)
    return Batch(("a",) * len(contents), pixels, contents, contents)


def lively(model: nn.Module) -> nn.Module:
    """Random weights whose detections are many, varied and far from ties."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("cls_score.weight"):
                parameter.normal_(std=1.0)
            elif name.endswith("rpn.head.cls_logits.weight"):
                parameter.normal_(std=0.3)
            elif "bbox_pred.weight" in name:
                parameter.normal_(std=0.05)
            elif name.endswith("conv3.weight"):
                parameter.mul_(0.2)  # or sixteen residual blocks let the features explode
        for name, buffer in model.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.zero_()
    return model.eval()


@pytest.fixture
def batch(recording: dict[str, np.ndarray]) -> Batch:
    rgb = np.ascontiguousarray(recording["image_bgr_u8"][::-1])
    content = rgb.shape[1:]
    canvas = recording["normalised_padded"].shape[-2:]
    pixels = torch.zeros((1, 3, *canvas), dtype=torch.uint8)
    pixels[0, :, : content[0], : content[1]] = torch.from_numpy(rgb)
    return Batch(("a",), pixels, (content,), (tuple(recording["out_size_hw"].tolist()),))


def close(ours: Tensor, recorded: np.ndarray, atol: float) -> None:
    torch.testing.assert_close(ours, torch.from_numpy(recorded), atol=atol, rtol=1e-5)


def test_input_equals_the_recording(narrow, batch, recording) -> None:
    close(narrow.normalize(batch).flip(1), recording["normalised_padded"], 1e-4)


def test_anchors_equal_the_recording(narrow, batch, recording) -> None:
    _, scored = narrow.first_stage(batch)
    close(torch.cat(scored.anchors), recording["anchors"], 1e-4)


@torch.inference_mode()
def test_first_stage_equals_the_recording(narrow, batch, recording) -> None:
    _, scored = narrow.first_stage(batch)
    both = zip(scored.logits, scored.deltas, strict=True)
    for level, (logit, delta) in enumerate(both, start=2):
        recorded = [
            torch.from_numpy(recording[f"rpn_{k}_p{level}"]) for k in ("objectness", "deltas")
        ]
        torch.testing.assert_close(logit, flatten(recorded[:1], 1)[0], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(delta, flatten(recorded[1:], 4)[0], atol=1e-4, rtol=1e-5)
    proposals = narrow.rpn.propose(scored, batch.content_sizes)
    close(proposals[0], recording["proposals_xyxy"], 1e-3)


@torch.inference_mode()
def test_box_head_equals_the_recording(narrow, batch, recording) -> None:
    maps = narrow.backbone(batch.pixels)
    logits, deltas = narrow.roi_heads.classify(
        maps, [torch.from_numpy(recording["proposals_xyxy"])]
    )
    background_last = torch.cat((logits[:, 1:], logits[:, :1]), dim=1)
    close(background_last, recording["cls_logits"], 1e-3)
    close(deltas[:, 4:], recording["box_deltas"], 1e-3)


@torch.inference_mode()
def test_mask_head_equals_the_recording(narrow, batch, recording) -> None:
    maps = narrow.backbone(batch.pixels)
    boxes = torch.from_numpy(recording["det_boxes_xyxy"])
    features = narrow.roi_heads.mask_features(maps, [boxes])
    close(features, recording["mask_roi_feature"], 1e-4)
    of = torch.from_numpy(recording["det_classes"]) + 1
    close(
        narrow.roi_heads.mask_logits(features, of).sigmoid()[:, None],
        recording["mask_prob_selected"],
        1e-4,
    )


def test_detections_and_masks_equal_the_recording(narrow, batch, recording) -> None:
    found = narrow.predict(batch, min_score=0.05, max_masks=len(recording["det_scores"]))[0]
    assert found.labels.tolist() == recording["det_classes"].tolist()
    close(found.scores, recording["det_scores"], 1e-5)
    close(found.boxes, recording["det_boxes_xyxy"], 1e-3)

    made = masks_of(found, content=batch.content_sizes[0], size=batch.image_sizes[0])
    bits = np.unpackbits(recording["post_masks"])[: np.prod(recording["post_masks_shape"])]
    masks = torch.from_numpy(bits.reshape(recording["post_masks_shape"]).astype(bool))
    assert len(made) == len(masks)
    wrong = (made ^ masks).sum((1, 2))
    assert int(wrong.max()) <= 2  # pixels within rounding of the threshold


def test_box_coding_is_inverted_by_decoding() -> None:
    boxes = torch.tensor([[10.0, 20.0, 50.0, 40.0], [0.0, 0.0, 8.0, 8.0]])
    targets = torch.tensor([[12.0, 18.0, 61.0, 44.0], [1.0, 2.0, 5.0, 6.0]])
    deltas = encode(targets, boxes, BOX_WEIGHTS)
    torch.testing.assert_close(decode(deltas, boxes, BOX_WEIGHTS)[:, 0], targets)


def torchvision_detections(model: nn.Module, batch: Batch) -> list[dict[str, Tensor]]:
    """torchvision's network on the same canvas, without its own resizing and pasting."""
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    x = (batch.pixels.float() / 255 - mean) / std
    for image, (h, w) in zip(x, batch.content_sizes, strict=True):
        image[:, h:] = 0
        image[:, :, w:] = 0
    images = image_list.ImageList(x, list(batch.content_sizes))
    with torch.inference_mode():
        features = model.backbone(x)
        proposals, _ = model.rpn(images, features)
        return model.roi_heads(features, proposals, images.image_sizes)[0]


def torchvisions_backbone() -> nn.Module:
    """What torchvision builds for its COCO_V1 weights."""
    norm = partial(FrozenBatchNorm2d, eps=0.0)
    return backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=norm
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["r50-fpn", "r50-fpn-v2"])
def test_detections_equal_torchvisions(variant: str) -> None:
    info = FAMILY.variants[variant]
    torch.manual_seed(0)
    if variant == "r50-fpn":
        theirs = mask_rcnn.MaskRCNN(torchvisions_backbone(), num_classes=91)
    else:
        theirs = mask_rcnn.maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    ours = build(info).eval()
    ours.load_state_dict(lively(theirs).state_dict())
    gaps = sorted(set(range(1, 91)) - set(info.category_ids))
    for model in (ours, theirs):  # torchvision would also detect the ids that stand for nothing
        model.roi_heads.box_predictor.cls_score.bias.data[gaps] = -1e4
    batch = batch_of((118, 150), (128, 97), canvas=(128, 160))

    found = ours.predict(batch, min_score=0.05, max_masks=100)

    for instances, expected in zip(found, torchvision_detections(theirs, batch), strict=True):
        assert len(instances.scores) >= 20
        ids = torch.tensor(info.category_ids)[instances.labels]
        assert torch.equal(ids, expected["labels"])
        torch.testing.assert_close(instances.scores, expected["scores"], atol=1e-5, rtol=0)
        torch.testing.assert_close(instances.boxes, expected["boxes"], atol=1e-3, rtol=0)
        torch.testing.assert_close(instances.fields, expected["masks"][:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("variant", "keys"),
    [
        ("r50-fpn", "tv_maskrcnn_resnet50_fpn"),
        ("r50-fpn-v2", "tv_maskrcnn_resnet50_fpn_v2"),
        ("r50-fpn-d2", "d2_mask_rcnn_R50_FPN"),
        ("r101-fpn", "d2_mask_rcnn_R101_FPN"),
        ("x101-fpn", "d2_mask_rcnn_X101_FPN"),
    ],
)
def test_published_checkpoints_load(variant: str, keys: str) -> None:
    published = published_state(KEYS / f"{keys}.txt")
    info = FAMILY.variants[variant]
    converted = FAMILY.convert(published, info)
    with torch.device("meta"):
        model = build(info)
    model.load_state_dict(converted, assign=True)  # strict: nothing missing, nothing left over


def test_another_models_checkpoint_is_refused_with_differences() -> None:
    published = published_state(KEYS / "tv_maskrcnn_resnet50_fpn_v2.txt")
    with pytest.raises(UsageError, match=r"not the weights of maskrcnn/r50-fpn: .* missing"):
        FAMILY.convert(published, FAMILY.variants["r50-fpn"])


def published_state(path: Path) -> dict[str, Tensor]:
    """Tensors with exactly the names and shapes of a published checkpoint; lines "name (shape)"."""
    state = {}
    for line in path.read_text().splitlines():
        name, shape = line.split("\t")[:2]
        sides = [int(side) for side in shape.strip("()").split(",") if side.strip()]
        state[name] = torch.zeros(sides)
    return state


def per_level(folder: Path) -> int:
    """Proposals kept of each level before suppression, by the recording's README."""
    said = re.search(r"RPN top-k test (\d+)/level", (folder / "README.md").read_text())
    assert said
    return int(said[1])


def statistic(recording: dict[str, np.ndarray], name: str) -> tuple[float, ...]:
    """The recorded BGR constants as RGB."""
    return tuple(recording[name].ravel()[::-1].tolist())


def anchor_sizes(recording: dict[str, np.ndarray]) -> tuple[int, ...]:
    """The square root of the area of each level's first anchor."""
    sizes, start = [], 0
    for level in range(2, 7):
        x0, y0, x1, y1 = recording["anchors"][start].astype(np.float64)
        sizes.append(round(float(np.sqrt((x1 - x0) * (y1 - y0)))))
        start += 3 * int(np.prod(recording[f"fpn_p{level}"].shape[-2:]))
    return tuple(sizes)


class Recorded(nn.Module):
    """A backbone that returns recorded maps, level 2 first."""

    def __init__(self, maps: list[Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.maps


@pytest.fixture(scope="module")
def recording(reference: Path) -> dict[str, np.ndarray]:
    path = reference / "maskrcnn/infer.npz"
    if not path.is_file():
        pytest.skip("no recording of detectron2's Mask R-CNN here")
    return dict(np.load(path))


@pytest.fixture(scope="module")
def narrow(reference: Path, recording: dict[str, np.ndarray]) -> TwoStage:
    """The heads of the recording, at its width, behind its recorded pyramid maps."""
    state = {k: v for k, v in load_file(reference / "maskrcnn/state_dict.safetensors").items()}
    state = {k: v for k, v in renamed(state).items() if not k.startswith("backbone.")}
    width = state["rpn.head.cls_logits.weight"].shape[1]
    hidden = state["roi_heads.box_head.fc7.weight"].shape[0]
    positions = state["roi_heads.box_predictor.cls_score.weight"].shape[0]
    classes = tuple(f"c{i}" for i in range(positions - 1))
    info = ModelInfo("maskrcnn", "toy", classes, tuple(range(1, positions)), Resize(1, 1), 32)
    kept = len(recording["proposals_xyxy"])
    conventions = replace(
        DETECTRON2,
        mean=statistic(recording, "pixel_mean"),
        std=statistic(recording, "pixel_std"),
        anchor_sizes=anchor_sizes(recording),
        per_level=(per_level(reference / "maskrcnn"),) * 2,
        proposals=(kept, kept),
    )
    heads = fpn_heads(positions, width=width, hidden=hidden)
    model = TwoStage(
        info,
        backbone=Recorded([torch.from_numpy(recording[f"fpn_p{level}"]) for level in range(2, 7)]),
        rpn_head=RPNHead(width, 3),
        roi_heads=RoIHeads(*heads, conventions=conventions, classes=range(1, positions)),
    )
    model.load_state_dict(state)
    return model.eval()
