"""SOLO and SOLOv2 against recordings of their authors' code (see README in the recordings).

Every size, class count and option comes from the files.
"""

import json
from math import isqrt

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from segcli import batch as batches
from segcli import rle
from segcli.postprocess import segments
from segcli.types import Image, Instances, ModelInfo, Resize, Targets
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_blocks.suppress import matrix_nms
from segcli_solo import training
from segcli_solo.convert import renamed
from segcli_solo.heads import DecoupledHead, DirectHead, DynamicHead
from segcli_solo.masks import windows
from segcli_solo.model import SOLO, Options, peaks
from segcli_solo.variants import p2_to_p6

FIRST = ("solo", "dsolo", "dsolo_light")  # the heads of the first paper


class Recording:
    """The recorded network and what it said."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.infer = tensors(folder / "infer.npz")
        self.train = tensors(folder / "train.npz")
        self.heads = tensors(folder / "solo_v1_heads.npz")
        self.state = renamed(load_file(folder / "weights.safetensors"))

    def options(self, *, last_only=False):
        head, test = self.config["model"]["bbox_head"], self.config["test_cfg"]
        ranges = tuple(tuple(r) for r in head["scale_ranges"])
        learning = training.Options(
            ranges, head["sigma"], last_only, head["loss_ins"]["loss_weight"]
        )
        return Options(
            learning, candidate=test["score_thr"], before_nms=test["nms_pre"],
            sigma=test["sigma"] if test["kernel"] == "gaussian" else None, inside=test["mask_thr"],
        )  # fmt: skip

    def info(self):
        h, w = self.config["img_shape"]
        names = tuple(str(i) for i in range(self.config["model"]["bbox_head"]["num_classes"] - 1))
        resize = Resize(min(h, w), max(h, w), antialias=False)
        return ModelInfo("solo", "solov2-r50", names, tuple(range(len(names))), resize, 32)

    def model(self):
        """SOLOv2 in evaluation mode."""
        network = self.config["model"]
        info, head, features = self.info(), network["bbox_head"], network["mask_feat_head"]
        body = ResNet(
            network["backbone"]["depth"], fixed_statistics,
            width=self.config["base_width"], blocks=self.config["stage_blocks"],
        )  # fmt: skip
        model = SOLO(
            info,
            backbone=p2_to_p6(body, network["neck"]["out_channels"]),
            head=DynamicHead(
                head["in_channels"], len(info.categories), grids=head["num_grids"],
                width=head["seg_feat_channels"], depth=head["stacked_convs"],
                dims=head["ins_out_channels"], features=features["out_channels"],
            ),
            options=self.options(),
        )  # fmt: skip
        model.load_state_dict(self.state)
        return model.eval()

    def first(self, name):
        """One of the first paper's heads, in a model without a backbone."""
        prefix = f"{name}/weights/"
        weights = {
            f"bbox_head.{k.removeprefix(prefix)}": v
            for k, v in self.heads.items()
            if k.startswith(prefix)
        }
        state = {k.removeprefix("head."): v for k, v in renamed(weights).items()}
        classes, width = state["category.weight"].shape[:2]
        depth = sum(k.startswith("category_tower") and v.dim() == 4 for k, v in state.items())
        sizes = {"depth": depth, "width": width}
        if name == "solo":
            grids = [isqrt(len(state[f"masks.{i}.bias"])) for i in range(5)]
            head = DirectHead(self.heads["feat_0"].shape[1], classes, grids=grids, **sizes)
        else:
            grids = [len(state[f"x_masks.{i}.bias"]) for i in range(5)]
            head = DecoupledHead(
                self.heads["feat_0"].shape[1], classes, grids=grids, light=name.endswith("light"),
                **sizes,
            )  # fmt: skip
        head.load_state_dict(state)
        options = self.options(last_only=True)
        return SOLO(self.info(), backbone=nn.Identity(), head=head, options=options)

    def maps(self):
        """What the first paper's heads see, two images."""
        return [self.heads[f"feat_{i}"] for i in range(5)]

    def final(self, model, dense):
        """Labels, scores and masks (n, H, W) at the original size, of image 0."""
        test = self.config["test_cfg"]
        best = model.suppressed(model.candidates(dense, 0, above=test["score_thr"]))
        kept = (best.scores >= test["update_thr"]).nonzero()[: test["max_per_img"], 0]
        best = best.of(kept)
        content, size = tuple(self.config["img_shape"]), tuple(self.config["ori_shape"])
        fields, extents = windows(best.soft, content)
        ranks = torch.linspace(1, 0.5, len(best.scores))  # so that the core keeps the order
        masks = torch.zeros(len(ranks), *size, dtype=torch.bool)
        instances = Instances(
            ranks, best.labels, None, fields, extents, model.options.inside, True, 0.0
        )
        for segment in segments(instances, content_size=content, image_size=size):
            index = int((ranks - segment.score).abs().argmin())
            masks[index] = torch.from_numpy(rle.decode(segment.rle, *size))
        return best.labels, best.scores, masks


def tensors(path):
    with np.load(path) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype.kind in "biuf"}


def unpacked(found, name):
    key, _, level = name.partition("@")
    suffix = f"_{level}" if level else ""
    shape = found[f"{key}_shape{suffix}"].tolist()
    bits = np.unpackbits(found[f"{key}_packed{suffix}"].numpy(), axis=-1, count=shape[-1])
    return torch.from_numpy(bits.astype(bool)).view(shape)


def targets(given):
    """The recorded targets of a batch; their boxes count the last pixel in, their labels from 1."""
    found = []
    for i in range(sum(k.endswith("_boxes") for k in given)):
        boxes = given[f"gt{i}_boxes"] + torch.tensor([0, 0, 1, 1])
        labels = given[f"gt{i}_labels"] - 1
        masks = unpacked(given, f"gt{i}_masks")
        found.append(Targets(labels, boxes, masks, torch.zeros(len(labels), dtype=torch.bool)))
    return found


def close(found, expected, atol=1e-4):
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=atol)


@pytest.fixture(scope="module")
def recording(reference):
    return Recording(reference / "solov2")


@pytest.fixture(scope="module")
def model(recording):
    return recording.model()


@pytest.fixture(scope="module")
def dense(recording, model):
    with torch.no_grad():
        return model.head(model.backbone(recording.infer["input"]))


# SOLOv2: the network.


def test_input(recording, model):
    pixels = recording.infer["image_bgr_u8"].flip(2).contiguous().numpy()
    image = batches.fit(Image("a", pixels, pixels.shape[:2]), model.info)
    assert image.pixels.shape == pixels.shape  # it is recorded after resizing
    close(model.normalise(batches.collate([image], model.info)), recording.infer["input"])


@torch.no_grad()
def test_body_and_pyramid(recording, model):
    given = recording.infer
    c2, *maps = model.backbone.body(given["input"])
    close(c2.mean((2, 3)), given["backbone_c2_mean"])
    for level, found in enumerate(maps, 3):
        close(found, given[f"backbone_c{level}"])
    for level, found in enumerate(model.backbone.pyramid([c2, *maps]), 2):
        close(found, given[f"fpn_p{level}"])


def test_head(recording, dense):
    given = recording.infer
    for level, (categories, kernels) in enumerate(
        zip(dense.categories, dense.masks.kernels, strict=True)
    ):
        close(categories, given[f"cate_logits_{level}"])
        close(kernels, given[f"kernel_pred_{level}"])
        close(peaks(categories.sigmoid()).permute(0, 2, 3, 1), given[f"cate_eval_{level}"])
    close(dense.masks.features, given["mask_feat"])


# SOLOv2: inference.


def test_candidates(recording, model, dense):
    given = recording.infer
    found = model.candidates(dense, 0, above=recording.config["test_cfg"]["score_thr"])
    close(found.scores, given["nms_in_scores"])
    assert (found.labels == given["nms_in_labels"]).float().mean() > 0.98
    masks = unpacked(given, "nms_in_masks")
    assert ((found.soft > 0.5) != masks).float().mean() < 1e-3


@pytest.mark.parametrize(("kernel", "suffix"), [("gaussian", ""), ("linear", "_linear")])
def test_matrix_nms(recording, kernel, suffix):
    given = recording.infer
    sigma = recording.config["test_cfg"]["sigma"] if kernel == "gaussian" else None
    masks = unpacked(given, "nms_in_masks")
    found = matrix_nms(masks, given["nms_in_labels"], given["nms_in_scores"], sigma=sigma)
    close(found, given[f"nms_out_scores{suffix}"])


def test_masks_in_the_original_image(recording, model, dense):
    given = recording.infer
    labels, scores, masks = recording.final(model, dense)
    close(scores, given["final_scores"])
    assert (labels == given["final_labels"]).float().mean() > 0.97
    assert (masks != unpacked(given, "final_masks")).float().mean() < 1e-3
    assert (masks.sum((1, 2)) == given["final_mask_area"]).float().mean() > 0.9


def test_predict_gives_the_detections(recording, model):
    """The whole way that a user goes, from the bytes. Convolutions round otherwise in the memory
    layout of `predict`, and a soft value that crosses 1/2 by that shifts its mask's score."""
    given, test = recording.infer, recording.config["test_cfg"]
    pixels = given["image_bgr_u8"].flip(2).contiguous().numpy()
    batch = batches.collate([Image("a", pixels, tuple(recording.config["ori_shape"]))], model.info)
    (found,) = model.predict(batch, min_score=test["update_thr"], max_masks=test["max_per_img"])
    differing = (found.scores - given["final_scores"]).abs()
    assert float(differing.max()) < 2e-3
    assert float((differing > 1e-4).float().mean()) <= 0.05
    size = tuple(recording.config["ori_shape"])
    rows = segments(found, content_size=batch.content_sizes[0], image_size=size)
    assert len(rows) == int((given["final_mask_area"] > 0).sum())


# SOLOv2: training.


def test_targets(recording, model):
    given, options = recording.train, recording.options().learning
    classes = len(model.info.categories)
    for i, target in enumerate(targets(given)):
        levels = training.targets_of(target, model.head.grids, classes, options)
        for index, level in enumerate(levels):
            assert (level.categories + 1).equal(given[f"target{i}_cate_{index}"].long())
            assert level.cell.equal(given[f"target{i}_grid_order_{index}"])
            masks = training.shrunk(target.masks, 4)[level.target]
            assert masks.equal(unpacked(given, f"target{i}_ins_masks@{index}"))


def trained(recording):
    model = recording.model().train()
    dense = model.head(model.backbone(recording.train["train_input"]))
    return model, model.losses_of(dense, targets(recording.train))


def test_losses(recording):
    assert_losses(trained(recording)[1], recording.train, "loss_")


def assert_losses(losses, given, prefix):
    for name, theirs in (("mask", "loss_ins"), ("category", "loss_cate")):
        torch.testing.assert_close(losses[name], given[prefix + theirs], rtol=1e-5, atol=0)


def test_gradients(recording):
    model, losses = trained(recording)
    sum(losses.values()).backward()
    recorded = {k[5:]: v for k, v in recording.train.items() if k.startswith("grad/")}
    assert recorded
    assert_gradients(model, renamed(recorded))
    none = [name for name, p in model.named_parameters() if p.grad is None]
    assert len(none) == recording.config["info"]["params_without_grad"]


def assert_gradients(model, recorded):
    gradients = {name: p.grad for name, p in model.named_parameters()}
    for name, expected in recorded.items():
        close(gradients[name], expected, atol=1e-3 * float(expected.abs().max()))


# The heads of the first paper, on recorded maps.


@pytest.mark.parametrize("name", FIRST)
@torch.no_grad()
def test_raw_outputs_of_first_heads(recording, name):
    dense = recording.first(name).head(recording.maps())
    masks = dense.masks
    groups = [masks.logits] if name == "solo" else [masks.x, masks.y]
    for level in range(5):
        for number, maps in enumerate([*groups, dense.categories]):
            key = f"{name}/raw_out{number}_level{level}"
            if key in recording.heads:
                close(maps[level][:1], recording.heads[key])


@pytest.mark.parametrize("name", FIRST)
@torch.no_grad()
def test_first_heads_find(recording, name):
    model, given = recording.first(name), recording.heads
    dense = model.head(recording.maps())
    labels, scores, masks = recording.final(model, dense)
    expected = unpacked(given, f"{name}/final_masks")
    assert (masks != expected).float().mean() < 1e-3
    close(scores, given[f"{name}/final_scores"])
    assert (labels == given[f"{name}/final_labels"]).float().mean() > 0.97


@pytest.mark.parametrize("name", FIRST)
def test_first_heads_learn(recording, name):
    model, given = recording.first(name), recording.heads
    losses = model.losses_of(model.head(recording.maps()), targets(given))
    assert_losses(losses, given, f"{name}/loss_")
    sum(losses.values()).backward()
    prefix = f"{name}/grad/"
    recorded = {
        f"bbox_head.{k.removeprefix(prefix)}": v for k, v in given.items() if k.startswith(prefix)
    }
    assert recorded
    assert_gradients(model, renamed(recorded))
