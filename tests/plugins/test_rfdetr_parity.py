"""RF-DETR against a recording of Roboflow's package rfdetr 1.11.2, and against transformers.

The recording has no weights: both sides fill the same names, in the same order, with the numbers of
one generator (see `filled`). Its network is narrow; every size comes from the files.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kit.parity import close, masks_of, settings, tensors, unpacked
from published import listed
from rfdetr_toy import SMALL
from torchvision.ops import box_convert

from segcli.types import Batch, Resize, Targets
from segcli_rfdetr import FAMILY
from segcli_rfdetr.convert import renamed
from segcli_rfdetr.losses import Layer, layer_losses
from segcli_rfdetr.targets import truth_of
from segcli_rfdetr.variants import Size, assemble

RECORDING = Path(__file__).parent.parent / "golden/rfdetr"
ALL = {"min_score": 0.0, "max_masks": 1000}


def filled(names: str, seed: int) -> dict[str, torch.Tensor]:
    """Numbers for a list of names and shapes: norms and scales near 1, others near 0."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, tensor in listed(names).items():
        if tensor.dtype != torch.float32:
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
            continue
        values = torch.from_numpy(rng.standard_normal(tuple(tensor.shape), dtype=np.float32))
        if tensor.ndim == 1:
            offset = 1 if name.endswith(("weight", "lambda1")) else 0
            state[name] = offset + 0.1 * values
        elif name.endswith("refpoint_embed.weight"):
            state[name] = 0.1 * values
        else:
            state[name] = values / np.sqrt(tensor[0].numel())
    return state


@pytest.fixture(scope="module")
def recording():
    """The model with the recorded weights, what was recorded, and the batch."""
    sizes = settings(RECORDING / "settings.json")
    found = tensors(RECORDING / "outputs.npz")
    seed, logits = sizes.pop("seed"), sizes.pop("logits")
    resize = Resize(sizes["side"], sizes["side"], "stretch")
    model = assemble(
        replace(FAMILY.variants["seg-small"], resize=resize),
        Size(**{**sizes, "taps": tuple(sizes["taps"])}),
    )
    assert model.network.config.num_labels == logits
    model.load_state_dict(renamed(filled("rfdetr_small_recording", seed)))
    model.eval()
    content = (sizes["side"],) * 2
    originals = tuple((h, w) for h, w in found["sizes"].tolist())
    batch = Batch(("a", "b", "c"), found["pixels"], (content,) * 3, originals)
    return model, found, batch


@torch.no_grad()
def test_outputs_are_those_of_the_authors_package(recording) -> None:
    model, found, batch = recording
    raw = model.network(model.prepare(batch))
    close(raw.logits, found["logits"], 1e-4)
    close(raw.pred_boxes, found["boxes"], 1e-4)
    close(raw.pred_masks, found["masks"], 1e-4)


def test_objects_are_those_of_the_authors_post_processing(recording) -> None:
    """Scores, categories, boxes and, but for rounding at edges, every px of the masks."""
    model, found, batch = recording
    used = model.logit_of.tolist()  # 11 of the 91 logits are of no category
    answers = model.predict(batch, **ALL)
    for index, instances in enumerate(answers):
        theirs = {k: found[f"post{index}_{k}"] for k in ("scores", "labels", "boxes")}
        kept = [i for i, label in enumerate(theirs["labels"].tolist()) if label in used]
        assert 0 < len(kept) <= len(instances.scores) == model.network.config.num_queries
        close(instances.scores[: len(kept)], theirs["scores"][kept], 1e-4)
        assert [used[label] for label in instances.labels[: len(kept)].tolist()] == [
            theirs["labels"][i].item() for i in kept
        ]
        content, size = batch.content_sizes[index], batch.image_sizes[index]
        scale = torch.tensor([size[1] / content[1], size[0] / content[0]] * 2)
        ours = instances.boxes[: len(kept)] * scale
        close(ours, theirs["boxes"][kept], 1e-3)
        masks = masks_of(instances, content=content, size=size)[: len(kept)]
        differing = masks != unpacked(found, f"post{index}_masks")[kept]
        assert differing.float().mean() < 1e-4


def test_masks_are_those_of_transformers_post_processing(recording) -> None:
    from transformers import RfDetrImageProcessor

    model, _, batch = recording
    with torch.no_grad():
        raw = model.network(model.prepare(batch))
    results = RfDetrImageProcessor().post_process_instance_segmentation(
        raw, threshold=0.0, target_sizes=list(batch.image_sizes), return_binary_maps=True
    )
    (instances, *_), (theirs, *_) = model.predict(batch, **ALL), results
    used = model.logit_of.tolist()
    kept = [i for i, each in enumerate(theirs["segments_info"]) if each["label_id"] in used]
    masks = masks_of(instances, content=batch.content_sizes[0], size=batch.image_sizes[0])
    differing = masks[: len(kept)] != theirs["segmentation"].bool()[kept]
    assert differing.float().mean() < 1e-4


def test_losses_are_those_of_transformers() -> None:
    """With the same pairs of queries and targets, and the same random points."""
    from transformers.loss.loss_rf_detr import RfDetrImageLoss

    torch.manual_seed(0)
    pixels, (h, w), queries, logits = 48, (12, 12), 6, 5
    layer = Layer(
        torch.randn(2, queries, logits), torch.rand(2, queries, 4) * 0.4 + 0.2,
        torch.randn(2, queries, h, w),
    )  # fmt: skip
    masks = torch.rand(3, pixels, pixels) > 0.5
    boxes = torch.tensor([[4.0, 6, 30, 40], [0, 0, 20, 9], [12, 12, 44, 47]])
    targets = [
        Targets(torch.tensor(labels), boxes[part], masks[part], torch.zeros(len(labels)).bool())
        for labels, part in (([2, 0], slice(2)), ([4], slice(2, 3)))
    ]
    truths = [truth_of(t, (pixels, pixels), torch.arange(logits), logits) for t in targets]
    pairs = [(torch.tensor([4, 1]), torch.tensor([1, 0])), (torch.tensor([3]), torch.tensor([0]))]

    def matcher(*_):
        return pairs

    theirs = RfDetrImageLoss(matcher, logits, 0.25, ["labels", "boxes", "masks"], 1, 16)
    labels = [
        {
            "class_labels": t.labels,
            "boxes": box_convert(t.boxes / pixels, "xyxy", "cxcywh"),
            "masks": t.masks,
        }
        for t in targets
    ]
    outputs = {"logits": layer.logits, "pred_boxes": layer.boxes, "pred_masks": layer.masks}
    torch.manual_seed(3)
    expected = theirs(outputs, labels)
    torch.manual_seed(3)
    ours = layer_losses(layer, truths, pairs)
    names = {"class": ("ce", 1), "box": ("bbox", 5), "giou": ("giou", 2), "mask": ("mask_ce", 5)}
    for name, (key, weight) in {**names, "dice": ("mask_dice", 5)}.items():
        torch.testing.assert_close(ours[name], expected[f"loss_{key}"] * weight * 3)


def test_the_losses_see_what_the_network_answers() -> None:
    """The layers that the losses see are those of its own forward pass."""
    model = assemble(FAMILY.variants["seg-nano"], SMALL).eval()
    pixels = torch.randn(1, 3, SMALL.side, SMALL.side)
    with torch.no_grad():
        raw, layers = model.network(pixels), model.layers(pixels)
    assert len(layers) == 1 + SMALL.layers
    torch.testing.assert_close(layers[-1].logits, raw.logits)
    torch.testing.assert_close(layers[-1].boxes, raw.pred_boxes)
    torch.testing.assert_close(layers[-1].masks, raw.pred_masks)
    torch.testing.assert_close(layers[0].masks, raw.enc_outputs_mask_logits)
