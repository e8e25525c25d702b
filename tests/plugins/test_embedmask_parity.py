"""EmbedMask's network and detections against recordings of its authors' implementation.

Every size, class count and option comes from the files; see the README beside them.
"""

from dataclasses import replace

import pytest
import torch
from embedmask_head import LEVELS, head_of, info, model_with, replayed
from kit.parity import close, masks_of, matched, tensors, unpacked, weights

from segcli.images import batch as batches
from segcli.types import Image
from segcli_blocks import fcos
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_blocks.segmenter import Selection
from segcli_embedmask.convert import renamed
from segcli_embedmask.masks import windows


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "embedmask"


@pytest.fixture(scope="module")
def recorded(folder):
    return tensors(folder / "head_io.npz")


def test_backbone(folder):
    given = tensors(folder / "backbone_tiny_io.npz")
    state = renamed(weights(folder / "backbone_tiny_state.safetensors"))
    state = {k.removeprefix("backbone."): v for k, v in state.items()}
    stem, width = (state[f"body.{k}.weight"].shape[0] for k in ("conv1", "layer1.0.conv1"))
    depth = 101 if "body.layer3.6.conv1.weight" in state else 50
    body = ResNet(depth, frozen_norm(0.0), caffe=True, width=width, stem=stem)
    backbone = p3_to_p7(body, len(state["fpn.layer_blocks.0.0.bias"]))
    backbone.load_state_dict(state)
    x = given["batch_bgr_meansub"].flip(1)
    with torch.no_grad():
        for name, found in zip(("c2", "c3", "c4", "c5"), body(x), strict=True):
            close(found, given[name])
        for name, found in zip(LEVELS, backbone(x), strict=True):
            close(found, given[name])


def test_input(folder):
    """Resizing, normalising and padding."""
    given = tensors(folder / "backbone_tiny_io.npz")
    raws = sorted(k for k in given if k.endswith("_rgb_u8"))
    sizes = [given[f"resized_hw_{i}"] for i in range(len(raws))]
    short, long = (max(int(pick(s)) for s in sizes) for pick in (torch.min, torch.max))
    one = info(1)
    one = replace(one, resize=replace(one.resize, short=short, long=long))
    normalize = model_with(None, 1).normalize
    for i, raw in enumerate(raws):
        pixels = given[raw].numpy()
        image = batches.fit(Image(raw, pixels, pixels.shape[:2]), one)
        assert list(image.pixels.shape[:2]) == sizes[i].tolist()
        found = normalize(batches.collate([image], one))[0].flip(0)
        h, w = found.shape[1:]
        expected = given["batch_bgr_meansub"][i, :, :h, :w]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_head(folder, recorded):
    model = model_with(head_of(folder), recorded["cls_logits_p3"].shape[1])
    maps = [recorded[level] for level in LEVELS]
    points = model.points(maps)
    with torch.no_grad():
        dense, pixels = model.head(maps)
        close(pixels, recorded["pixel_embed"])
        for i, level in enumerate(LEVELS):
            close(dense.logits[i], recorded[f"cls_logits_{level}"])
            close(dense.distances[i], recorded[f"bbox_reg_train_{level}"])
            in_px = dense.distances[i] * model.head.strides[i]
            close(in_px, recorded[f"bbox_reg_eval_{level}"])
            close(dense.centerness[i], recorded[f"centerness_{level}"])
            close(points.xy[points.level == i], recorded[f"locations_{level}"])
            b, d, h, w = recorded[f"proposal_embed_{level}"].shape
            index = (points.level == i).nonzero()[:, 0].repeat(b)
            image = torch.arange(b).repeat_interleave(h * w)
            found = model.proposals(dense, points, image, index)
            for part, name in zip(found, ("embed", "margin"), strict=True):
                everywhere = part.view(b, h, w, d).permute(0, 3, 1, 2)
                close(everywhere, recorded[f"proposal_{name}_{level}"])


SETTINGS = {
    "default": {},
    "topn": {"per_level": 60, "iou": 0.5, "mask_score": 0.45},
    "fixmargin": {"fixed_margin": True},
}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_inference(folder, recorded, name, monkeypatch):
    expected = tensors(folder / f"infer_{name}.npz")
    candidate = 0.04 if name == "topn" else 0.05
    model = replayed(recorded, monkeypatch)
    model.options = replace(model.options, **SETTINGS[name])
    with torch.no_grad():
        dense, pixels, points = model(None)
        for b in range(len(pixels)):
            content = tuple(recorded["image_sizes_hw"][b].tolist())
            wanted = {k[4:]: v for k, v in expected.items() if k.startswith(f"im{b}_")}
            most = Selection(0.0, len(wanted["boxes"]))
            found = model.detect(dense.image(b), points, most, content, candidate=candidate)
            order = matched(found, wanted["boxes"], wanted["labels"] - 1)
            found = type(found)(*(getattr(found, f)[order] for f in found.__slots__))
            close(found.boxes, wanted["boxes"])
            close(found.scores, wanted["scores"])
            image = torch.full_like(found.index, b)
            embedding, margin = model.proposals(dense, points, image, found.index)
            close(embedding, wanted["proposal_embed"])
            close(margin, wanted["proposal_margin"])
            fields, where = windows(pixels[b], embedding, margin, found.boxes)
            if "mask_logprob_s4" in wanted:
                close(on_grid(fields, where), wanted["mask_logprob_s4"], 1e-6)
            masks_equal(model, (found, fields, where), wanted, content)


def on_grid(fields, where):
    """Windows back on the whole grid."""
    h, w = where.grid
    rows, columns = where.shape
    whole = fields.new_full((len(fields), h + 2 * rows + 2, w + 2 * columns + 2), -10.0)
    for field, (x, y), row in zip(fields, where.first.tolist(), whole, strict=True):
        row[y + rows : y + 2 * rows, x + columns : x + 2 * columns] = field
    return whole[:, rows : rows + h, columns : columns + w]


def masks_equal(model, found, wanted, content):
    """The core's masks and boxes at the input's and at the original size."""
    for name in ("mask_input", "mask_orig"):
        masks = unpacked(wanted, name)
        size = tuple(masks.shape[1:])
        instances = model.instances(*found, content, size)
        made = masks_of(instances, content=content, size=size)
        different = int((made != masks).sum())
        assert different <= 1e-5 * masks.numel(), f"{different} px of {name} differ"
    scale = torch.tensor([size[1] / content[1], size[0] / content[0]]).repeat(2)
    xyxy = instances.boxes * scale
    xywh = torch.cat((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1)
    close(xywh, wanted["boxes_orig_xywh"])


def test_as_many_candidates(folder, recorded, monkeypatch):
    """The recorded counts of class and location pairs above the threshold."""
    expected = tensors(folder / "infer_default.npz")["candidates_per_level_per_image"]
    dense, pixels, points = replayed(recorded, monkeypatch)(None)
    for b in range(len(pixels)):
        above = fcos.flat(dense.logits)[b].sigmoid() > 0.05
        counts = [int(above[points.level == i].sum()) for i in range(len(LEVELS))]
        assert counts == expected[:, b].tolist()
