"""The recorded SOLO networks: their files, and the models that they describe."""

from functools import cached_property
from math import isqrt

import pytest
import torch
from kit.parity import masks_of, settings, tensors, unpacked, weights
from torch import nn

from segcli.types import Instances, ModelInfo, Resize, Targets
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_solo.convert import renamed
from segcli_solo.heads import DecoupledHead, Dense, DirectHead, DynamicHead, Features
from segcli_solo.masks import Dynamic, windows
from segcli_solo.model import SOLO, Options
from segcli_solo.targets import Learning
from segcli_solo.variants import pyramid


class Recording:
    """The recorded network and what it said."""

    def __init__(self, folder):
        self.folder = folder
        self.config = settings(folder / "config.json")

    @cached_property
    def infer(self):
        return tensors(self.folder / "infer.npz")

    @cached_property
    def train(self):
        return tensors(self.folder / "train.npz")

    @cached_property
    def heads(self):
        return tensors(self.folder / "solo_v1_heads.npz")

    @cached_property
    def state(self):
        return renamed(weights(self.folder / "weights.safetensors"))

    def options(self, *, last_only=False):
        head, test = self.config["model"]["bbox_head"], self.config["test_cfg"]
        ranges = tuple(tuple(r) for r in head["scale_ranges"])
        learning = Learning(ranges, head["sigma"], last_only, head["loss_ins"]["loss_weight"])
        return Options(
            learning, candidate=test["score_thr"], before_nms=test["nms_pre"],
            sigma=test["sigma"] if test["kernel"] == "gaussian" else None, inside=test["mask_thr"],
        )  # fmt: skip

    def info(self):
        h, w = self.config["img_shape"]
        names = tuple(str(i) for i in range(self.config["model"]["bbox_head"]["num_classes"] - 1))
        resize = Resize(min(h, w), max(h, w), antialias=False)
        return ModelInfo("solo", "solov2-r50", names, tuple(range(len(names))), resize, 32)

    def model(self, *, filled=True):
        """SOLOv2 in evaluation mode; without weights for what only options and sizes matter to."""
        network = self.config["model"]
        info, head, features = self.info(), network["bbox_head"], network["mask_feat_head"]
        body = ResNet(
            network["backbone"]["depth"], fixed_statistics,
            width=self.config["base_width"], blocks=self.config["stage_blocks"],
        )  # fmt: skip
        model = SOLO(
            info,
            backbone=pyramid(body, network["neck"]["out_channels"]),
            head=DynamicHead(
                head["in_channels"], len(info.categories), grids=head["num_grids"],
                width=head["seg_feat_channels"], depth=head["stacked_convs"],
                features=Features(
                    head["in_channels"], features["out_channels"], head["ins_out_channels"]
                ),
            ),
            options=self.options(),
        )  # fmt: skip
        if filled:
            model.load_state_dict(self.state)
        return model.eval()

    def dense(self):
        """What SOLOv2 said of the recorded image."""
        levels = range(len(self.config["model"]["bbox_head"]["num_grids"]))
        categories = [self.infer[f"cate_logits_{level}"] for level in levels]
        kernels = [self.infer[f"kernel_pred_{level}"] for level in levels]
        return Dense(categories, Dynamic(kernels, self.infer["mask_feat"]))

    def first(self, name):
        """One of the first paper's heads, in a model without a backbone."""
        prefix = f"{name}/weights/"
        given = {
            f"bbox_head.{k.removeprefix(prefix)}": v
            for k, v in self.heads.items()
            if k.startswith(prefix)
        }
        if not given:
            pytest.skip(f"{name} is only in the full recordings: set SEGCLI_REFERENCE")
        state = {k.removeprefix("head."): v for k, v in renamed(given).items()}
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
        best = model.suppressed(model.detect(dense, 0, above=test["score_thr"]))
        kept = (best.scores >= test["update_thr"]).nonzero()[: test["max_per_img"], 0]
        best = best.of(kept)
        content, size = tuple(self.config["img_shape"]), tuple(self.config["ori_shape"])
        fields, extents = windows(best.soft, content)
        instances = Instances(
            best.scores, best.labels, None, fields, extents, model.options.inside, True
        )
        return best.labels, best.scores, masks_of(instances, content=content, size=size)


def targets(given):
    """The recorded targets of a batch; their boxes count the last pixel in, their labels from 1."""
    found = []
    for i in range(sum(k.endswith("_boxes") for k in given)):
        boxes = given[f"gt{i}_boxes"] + torch.tensor([0, 0, 1, 1])
        labels = given[f"gt{i}_labels"] - 1
        masks = unpacked(given, f"gt{i}_masks")
        found.append(Targets(labels, boxes, masks, torch.zeros(len(labels), dtype=torch.bool)))
    return found


def assert_losses(losses, given, prefix):
    for name, theirs in (("mask", "loss_ins"), ("category", "loss_cate")):
        torch.testing.assert_close(losses[name], given[prefix + theirs], rtol=1e-5, atol=0)
