"""YOLACT and YOLACT++ against recordings of their authors' code (see README in the recordings).

Every size, class count and option comes from the files.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from segcli import batch as batches
from segcli import rle
from segcli.postprocess import segments
from segcli.types import Image, ModelInfo, Resize
from segcli_blocks.deform import deform
from segcli_blocks.resnet import ResNet
from segcli_yolact import training
from segcli_yolact.convert import renamed
from segcli_yolact.masks import cropped, mixtures
from segcli_yolact.model import YOLACT, Options, Rescore
from segcli_yolact.priors import Anchors, decode, encode

CANDIDATE = 0.05  # the authors' threshold for a prior, see the recordings' README


class Recording:
    """One of the two networks: its files, and the model that they describe."""

    def __init__(self, folder, suffix):
        self.config = json.loads((folder / f"config{suffix}.json").read_text())
        self.infer = tensors(folder / f"infer{suffix}.npz")
        self.train = tensors(folder / f"train{suffix}.npz")
        self.state = renamed(load_file(folder / f"weights{suffix}.safetensors"))
        self.plus = bool(self.config["maskiou_net"])

    def model(self, **options):
        """In evaluation mode."""
        config = self.config
        side, classes = config["max_size"], config["num_classes_with_bg"] - 1
        body = ResNet(
            50, nn.BatchNorm2d, width=config["stage_planes"][0], blocks=config["stage_blocks"]
        )
        if any("conv_offset_mask" in name for name in self.state):
            deform(body, every=1)
        anchors = Anchors(
            tuple(tuple(level) for level in config["pred_scales"]),
            tuple(config["pred_aspect_ratios"][0][0]),
            square=config["use_square_anchors"],
        )
        resize = Resize(side, side, mode="stretch", antialias=False)
        names = tuple(str(i) for i in range(classes))
        model = YOLACT(
            ModelInfo("yolact", "r50", names, tuple(range(classes)), resize, 1),
            body, inputs=body.channels[1:], width=config["fpn_features"],
            prototypes=config["proto_channels"], options=Options(anchors, **options),
        )  # fmt: skip
        if self.plus:
            model.rescore = Rescore(classes, [int(net[0]) for net in config["maskiou_net"]])
        model.load_state_dict(self.state)
        return model.eval()

    def found(self, model):
        """What the network says of the recorded image, and its authors' detections."""
        raw = model.raw(self.infer["input_fast"])
        above = (raw.logits[0].softmax(1)[:, 1:].amax(1) > CANDIDATE).nonzero()[:, 0]
        few = replace(
            raw,
            boxes=raw.boxes[:, above],
            logits=raw.logits[:, above],
            coefficients=raw.coefficients[:, above],
            priors=raw.priors[above],
        )
        most = None if model.options.cross_class else 100
        return raw, model.detect(few, 0, min_score=0.0, max_masks=most)

    def truths(self):
        """The recorded targets of a batch."""
        found = []
        for i, crowds in enumerate(self.train["num_crowds"].tolist()):
            rows, masks = self.train[f"gt{i}_boxes_labels"], unpacked(self.train, f"gt{i}_masks")
            n = len(rows) - crowds
            found.append(training.Truth(rows[:n, :4], rows[:n, 4].long(), masks[:n], rows[n:, :4]))
        return found


def tensors(path):
    with np.load(path) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype.kind in "biuf"}


def unpacked(found, name):
    shape = found[f"{name}_shape"].tolist()
    bits = np.unpackbits(found[f"{name}_packed"].numpy(), axis=-1, count=shape[-1])
    return torch.from_numpy(bits.astype(bool)).view(shape)


def close(found, expected, atol=1e-4):
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=atol)


@pytest.fixture(scope="module", params=["", "_plus"], ids=["yolact", "plus"])
def recording(reference, request):
    return Recording(reference / "yolact", request.param)


def masks_of(model, raw, best, content, size):
    """bool (n, H, W) in the order of `best`, through the core; empty where it drops them."""
    instances = model.instances(best, raw.prototypes[0], content, content)
    ranks = torch.linspace(1, 0.5, len(best.scores))  # so that the core keeps the order
    found = torch.zeros(len(ranks), *size, dtype=torch.bool)
    instances = replace(instances, scores=ranks, mask_scores=None)
    for segment in segments(instances, content_size=content, image_size=size):
        index = int((ranks - segment.score).abs().argmin())
        found[index] = torch.from_numpy(rle.decode(segment.rle, *size))
    return found


# The network.


def test_input(recording):
    """Resizing and normalising; ours rounds to bytes twice, along and across: one grey level."""
    model = recording.model()
    pixels = recording.infer["image_bgr_u8"].flip(2).contiguous().numpy()
    image = batches.fit(Image("a", pixels, pixels.shape[:2]), model.info)
    found = model.normalise(batches.collate([image], model.info))
    close(found, recording.infer["input_fast"], atol=1.01 / 57.12)


@torch.no_grad()
def test_body_and_pyramid(recording):
    model, given = recording.model(), recording.infer
    maps = model.body(given["input_fast"])
    for name, found in zip(("c2", "c3", "c4", "c5"), maps, strict=True):
        expected = given[f"backbone_{name}"]
        close(found.mean((2, 3)) if expected.dim() == 2 else found, expected)
    for level, found in enumerate(model.fpn(maps[1:])):
        close(found, given[f"fpn_p{level + 3}"])


@torch.no_grad()
def test_raw_outputs(recording):
    model, given = recording.model(), recording.infer
    raw = model.raw(given["input_fast"])
    close(raw.priors, given["priors"], atol=1e-6)
    close(raw.boxes, given["eval_loc"])
    close(raw.logits.softmax(-1), given["eval_conf_softmax"])
    close(raw.coefficients, given["eval_mask_coef"])
    close(raw.prototypes.permute(0, 2, 3, 1), given["proto"])
    close(decode(raw.boxes, raw.priors)[0], given["decoded_boxes"])


# Inference.


@torch.no_grad()
def test_fast_nms(recording):
    given = recording.infer
    _, best = recording.found(recording.model())
    close(best.scores, given["det_score"])
    assert best.labels.equal(given["det_class"])
    close(best.boxes, given["det_box"])
    close(best.coefficients, given["det_mask_coef"])


@torch.no_grad()
def test_suppression_across_classes(recording):
    given = recording.infer
    _, best = recording.found(recording.model(cross_class=True))
    close(best.scores, given["ccdet_score"])
    assert best.labels.equal(given["ccdet_class"])
    close(best.boxes, given["ccdet_box"])


@torch.no_grad()
def test_soft_masks(recording):
    expected = recording.infer["soft_mask_proto_res_first8"]
    raw, best = recording.found(recording.model())
    logits = mixtures(raw.prototypes[0], best.coefficients[: len(expected)])
    close(cropped(logits, best.boxes[: len(expected)]), expected)


@torch.no_grad()
def test_boxes_and_masks_in_the_original_image(recording):
    model, given = recording.model(), recording.infer
    raw, best = recording.found(model)
    expected = unpacked(given, "final_mask")
    size = tuple(expected.shape[1:])
    content = tuple(given["input_fast"].shape[-2:])
    found = masks_of(model, raw, best, content, size)
    assert (found != expected).float().mean() < 1e-3
    differing = (found.sum((1, 2)) - given["final_mask_area"]).abs()
    assert int(differing.max()) <= 2
    boxes = model.instances(best, raw.prototypes[0], content, content).boxes
    scale = torch.tensor([size[1] / content[1], size[0] / content[0]] * 2)
    cut = (boxes * scale + 1e-4).long()  # the authors cut to whole px
    assert (cut - given["final_box"]).abs().max() <= 1
    assert (cut == given["final_box"]).float().mean() > 0.99
    close(best.scores, given["final_score"])
    assert best.labels.equal(given["final_class"])


@torch.no_grad()
def test_masks_that_are_not_cropped(recording):
    """The same path with boxes as large as the canvas."""
    model, given = recording.model(), recording.infer
    raw, best = recording.found(model)
    size = tuple(unpacked(given, "final_mask").shape[1:])
    content = tuple(given["input_fast"].shape[-2:])
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand_as(best.boxes)
    found = masks_of(model, raw, replace(best, boxes=whole), content, size)
    assert (found.sum((1, 2)) - given["nocrop_mask_area"]).abs().max() <= 2


@torch.no_grad()
def test_a_score_threshold(recording):
    given = recording.infer
    _, best = recording.found(recording.model())
    assert int((best.scores > given["thr_value"]).sum()) == int(given["thr_n_kept"])


@torch.no_grad()
def test_mask_scores(reference):
    recording = Recording(reference / "yolact", "_plus")
    model = recording.model()
    raw, best = recording.found(model)
    soft = cropped(mixtures(raw.prototypes[0], best.coefficients), best.boxes)
    close(best.scores * model.fit(soft, best.labels), recording.infer["final_mask_score"])


@torch.no_grad()
def test_predict_gives_the_detections(recording):
    """The whole way that a user goes, from the bytes; see test_input for the tolerance."""
    model, given = recording.model(), recording.infer
    pixels = given["image_bgr_u8"].flip(2).contiguous().numpy()
    image = batches.fit(Image("a", pixels, pixels.shape[:2]), model.info)
    batch = batches.collate([image], model.info)
    (found,) = model.predict(batch, min_score=CANDIDATE, max_masks=100)
    n = min(len(found.scores), int((given["det_score"] > CANDIDATE).sum()))
    assert n > 0
    close(found.scores[:n], given["det_score"][:n], atol=5e-3)


# Training.


def trained(recording, *, batch_statistics=False):
    """A model, what it says of the recorded training batch, and its losses."""
    model = recording.model().train()
    model.use_statistics(batch=batch_statistics)
    raw = model.raw(recording.train["train_input"])
    return model, raw, model.losses_of(raw, recording.truths())


def test_training_outputs(recording):
    _, raw, _ = trained(recording)
    close(raw.boxes, recording.train["train_loc"])
    close(raw.logits, recording.train["train_conf"])
    close(raw.coefficients, recording.train["train_mask"])
    close(raw.prototypes.permute(0, 2, 3, 1), recording.train["train_proto"])
    close(raw.semantic, recording.train["train_segm"])


def test_targets(recording):
    model, given = recording.model(), recording.train
    priors = model.raw(given["train_input"]).priors
    for i, truth in enumerate(recording.truths()):
        found = training.match(priors, truth, model.options.learning)
        assert found.classes.equal(given["match_conf_t"][i].long())
        assert found.target.equal(given["match_idx_t"][i].long())
        goal = encode(truth.boxes[found.target], priors)
        torch.testing.assert_close(goal, given["match_loc_t"][i], rtol=1e-5, atol=1e-4)


LETTERS = {"box": "B", "mask": "M", "class": "C", "semantic": "S", "rescore": "I"}


def test_losses(recording):
    _, _, losses = trained(recording)
    assert ("rescore" in losses) == recording.plus
    assert_losses(losses, recording.train, "loss_")


def assert_losses(losses, given, prefix):
    for name, loss in losses.items():
        expected = given[prefix + LETTERS[name]].float()
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(sum(losses.values()), given[f"{prefix}total"], rtol=1e-5, atol=0)


def test_losses_with_statistics_of_the_batch(reference):
    recording = Recording(reference / "yolact", "")
    model, _, losses = trained(recording, batch_statistics=True)
    assert_losses(losses, recording.train, "bntrain_loss_")
    close(model.body.bn1.running_mean, recording.train["bntrain_running_mean_bn1"])
    close(model.body.bn1.running_var, recording.train["bntrain_running_var_bn1"])


def test_gradients(recording):
    model, _, losses = trained(recording)
    sum(losses.values()).backward()
    recorded = {k[5:]: v for k, v in recording.train.items() if k.startswith("grad/")}
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert recorded
    for name, expected in renamed(recorded).items():
        close(gradients[name], expected, atol=1e-3 * float(expected.abs().max()))
