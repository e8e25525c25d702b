"""EmbedMask against recordings of its authors' implementation (see README in the recordings).

Every size, class count and option comes from the files.
"""

from dataclasses import replace

import pytest
import torch
from embedmask_head import LEVELS, everywhere, head_model, run
from recordings import close, tensors, unpacked
from safetensors.torch import load_file

from segcli import batch as batches
from segcli import rle
from segcli.postprocess import segments
from segcli.types import Image
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_embedmask.convert import renamed
from segcli_embedmask.masks import windows


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "embedmask"


@pytest.fixture(scope="module")
def recorded(folder):
    return tensors(folder / "head_io.npz")


@pytest.fixture(scope="module")
def model(folder):
    return head_model(folder)


# The network.


def test_backbone(folder):
    state = renamed(load_file(folder / "backbone_tiny_state.safetensors"))
    state = {k.removeprefix("backbone."): v for k, v in state.items()}
    stem, width = (state[f"body.{k}.weight"].shape[0] for k in ("conv1", "layer1.0.conv1"))
    depth = 101 if "body.layer3.6.conv1.weight" in state else 50
    body = ResNet(depth, frozen_norm(0.0), caffe=True, width=width, stem=stem)
    backbone = p3_to_p7(body, len(state["fpn.layer_blocks.0.0.bias"]))
    backbone.load_state_dict(state)
    given = tensors(folder / "backbone_tiny_io.npz")
    x = given["batch_bgr_meansub"].flip(1)
    with torch.no_grad():
        for name, found in zip(("c2", "c3", "c4", "c5"), body(x), strict=True):
            close(found, given[name])
        for name, found in zip(LEVELS, backbone(x), strict=True):
            close(found, given[name])


def test_input(folder, model):
    """Resizing, normalising and padding."""
    given = tensors(folder / "backbone_tiny_io.npz")
    raws = [k for k in given if k.endswith("_rgb_u8")]
    sizes = [given[f"resized_hw_{i}"] for i in range(len(raws))]
    short = max(int(s.min()) for s in sizes)
    long = max(int(s.max()) for s in sizes)
    resize = replace(model.info.resize, short=short, long=long)
    expected = given["batch_bgr_meansub"]
    for i, raw in enumerate(raws):
        pixels = given[raw].numpy()
        one = replace(model.info, resize=resize)
        image = batches.fit(Image(raw, pixels, pixels.shape[:2]), one)
        assert list(image.pixels.shape[:2]) == sizes[i].tolist()
        found = model.normalise(batches.collate([image], one))[0].flip(0)
        h, w = found.shape[1:]
        torch.testing.assert_close(found, expected[i, :, :h, :w], rtol=0, atol=1e-4)


def test_head(model, recorded):
    maps, dense, pixels, points = run(model, recorded)
    for i, level in enumerate(LEVELS):
        stride = model.head.strides[i]
        close(dense.logits[i], recorded[f"cls_logits_{level}"])
        close(dense.distances[i], recorded[f"bbox_reg_train_{level}"])
        close(dense.distances[i] * stride, recorded[f"bbox_reg_eval_{level}"])
        close(dense.centerness[i], recorded[f"centerness_{level}"])
        close(points.xy[points.level == i], recorded[f"locations_{level}"])
        shape = recorded[f"proposal_embed_{level}"].shape
        embedding, margin = everywhere(model, dense, points, i, shape)
        close(embedding, recorded[f"proposal_embed_{level}"])
        close(margin, recorded[f"proposal_margin_{level}"])
    close(pixels, recorded["pixel_embed"])


# Post-processing.

SETTINGS = {
    "default": {},
    "topn": {"per_level": 60, "iou": 0.5, "mask_score": 0.45},
    "fixmargin": {"fixed_margin": True},
}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_inference(folder, model, recorded, name, monkeypatch):
    expected = tensors(folder / f"infer_{name}.npz")
    candidate = 0.04 if name == "topn" else 0.05
    monkeypatch.setattr(model, "options", replace(model.options, **SETTINGS[name]))
    with torch.no_grad():
        _, dense, pixels, points = run(model, recorded)
        for b in range(len(pixels)):
            content = tuple(recorded["image_sizes_hw"][b].tolist())
            wanted = {k[4:]: v for k, v in expected.items() if k.startswith(f"im{b}_")}
            found = model.detect(
                dense.image(b), points, content, candidate=candidate, min_score=0.0,
                max_masks=len(wanted["boxes"]),
            )  # fmt: skip
            order = same_detections(found, wanted)
            found = type(found)(*(getattr(found, f)[order] for f in found.__slots__))
            image = torch.full_like(found.index, b)
            embedding, margin = model.proposals(dense, points, image, found.index)
            close(embedding, wanted["proposal_embed"])
            close(margin, wanted["proposal_margin"])
            fields, where = windows(pixels[b], embedding, margin, found.boxes)
            if "mask_logprob_s4" in wanted:
                close(on_grid(fields, where), wanted["mask_logprob_s4"], 1e-6)
            masks_equal(model, (found, fields, where), wanted, content)


def same_detections(found, wanted):
    """Which of ours is which of the recorded ones; their order differs, and scores may tie."""
    assert len(found.scores) == len(wanted["scores"])
    apart = (found.boxes[None] - wanted["boxes"][:, None]).abs().amax(2)  # (recorded, ours)
    apart += 1e6 * (found.labels[None] != wanted["labels"][:, None] - 1)
    apart += 1e3 * (found.scores[None] - wanted["scores"][:, None]).abs()
    order = apart.argmin(1)
    assert len(order.unique()) == len(order)
    close(found.boxes[order], wanted["boxes"])
    close(found.scores[order], wanted["scores"])
    assert torch.equal(found.labels[order] + 1, wanted["labels"])
    return order


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
    for size, name in ((content, "mask_input"), (None, "mask_orig")):
        masks = unpacked(wanted, name)
        size = size or tuple(masks.shape[1:])
        instances = model.instances(*found, content, size)
        made = torch.zeros_like(masks)
        # Scores say which mask is which: empty ones are dropped, the others sorted.
        ranked = replace(instances, scores=torch.arange(len(masks), 0, -1) / 1000)
        for segment in segments(ranked, content_size=content, image_size=size):
            at = len(masks) - round(segment.score * 1000)
            made[at] = torch.from_numpy(rle.decode(segment.rle, *size))
        different = int((made != masks).sum())
        assert different <= 1e-5 * masks.numel(), f"{different} px of {name} differ"
        if name == "mask_orig":
            scale = torch.tensor([size[1] / content[1], size[0] / content[0]]).repeat(2)
            xyxy = instances.boxes * scale
            xywh = torch.cat((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1)
            close(xywh, wanted["boxes_orig_xywh"])
