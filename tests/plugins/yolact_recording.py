"""The recorded YOLACT and YOLACT++: their files, and the models that they describe."""

import ast
from dataclasses import replace
from functools import cached_property

import torch
from kit.parity import masks_of as drawn
from kit.parity import settings, tensors, unpacked, weights
from torch import nn

from segcli.types import ModelInfo, Resize
from segcli_blocks.deform import deform
from segcli_blocks.resnet import ResNet
from segcli_blocks.segmenter import Selection
from segcli_yolact.convert import renamed
from segcli_yolact.heads import Anchors, Rescore
from segcli_yolact.model import YOLACT, Options, Raw
from segcli_yolact.targets import Truth

CANDIDATE = 0.05  # the authors' threshold for a prior, see the recordings' README


class Recording:
    """One of the two networks: its files, and the model that they describe."""

    def __init__(self, folder, suffix):
        self.folder, self.suffix = folder, suffix
        self.config = settings(folder / f"config{suffix}.json")
        self.plus = bool(self.config["maskiou_net"])
        self.content = (self.config["max_size"],) * 2

    @cached_property
    def infer(self):
        return tensors(self.folder / f"infer{self.suffix}.npz")

    @cached_property
    def train(self):
        return tensors(self.folder / f"train{self.suffix}.npz")

    @cached_property
    def state(self):
        return renamed(weights(self.folder / f"weights{self.suffix}.safetensors"))

    def model(self, *, filled=True, **options):
        """In evaluation mode; without weights for what only its options and sizes matter to."""
        config = self.config
        side, classes = config["max_size"], config["num_classes_with_bg"] - 1
        body = ResNet(
            50, nn.BatchNorm2d, width=config["stage_planes"][0], blocks=config["stage_blocks"]
        )
        if filled and config["dcn_blocks"]:
            _, every = ast.literal_eval(config["dcn_blocks"])
            deform(body, every=every)
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
        if filled:
            model.load_state_dict(self.state)
        return model.eval()

    def raw(self):
        """What the network said of the recorded image."""
        given = self.infer
        return Raw(
            given["priors"], given["eval_loc"], given["eval_conf_softmax"].log(),
            given["eval_mask_coef"], given["proto"].permute(0, 3, 1, 2), None,
        )  # fmt: skip

    def raw_of_training(self):
        """What it said of the recorded training batch."""
        given = self.train
        return Raw(
            self.infer["priors"], given["train_loc"], given["train_conf"], given["train_mask"],
            given["train_proto"].permute(0, 3, 1, 2), given["train_segm"],
        )  # fmt: skip

    def found(self, model):
        """What the network said of the recorded image, and the detections in that."""
        raw = self.raw()
        above = (raw.logits[0].softmax(1)[:, 1:].amax(1) > CANDIDATE).nonzero()[:, 0]
        few = replace(
            raw,
            boxes=raw.boxes[:, above],
            logits=raw.logits[:, above],
            coefficients=raw.coefficients[:, above],
            priors=raw.priors[above],
        )
        most = len(raw.priors) if model.options.cross_class else 100
        return raw, model.detect(few, 0, Selection(0.0, most))

    def truths(self):
        """The recorded targets of a batch."""
        annotated = torch.ones(self.config["num_classes_with_bg"] - 1, dtype=torch.bool)
        found = []
        for i, crowds in enumerate(self.train["num_crowds"].tolist()):
            rows, masks = self.train[f"gt{i}_boxes_labels"], unpacked(self.train, f"gt{i}_masks")
            n = len(rows) - crowds
            found.append(
                Truth(rows[:n, :4], rows[:n, 4].long(), masks[:n], rows[n:, :4], annotated)
            )
        return found


def masks_of(model, raw, best, content, size):
    """bool (n, H, W) in the order of `best`, through the core."""
    instances = model.instances(best, raw.prototypes[0], content, content)
    return drawn(instances, content=content, size=size)
