"""Hybrid Task Cascade against recordings of its authors' code."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kit.parity import (
    close,
    in_full_recordings,
    masks_of,
    settings,
    tensors,
    unpacked,
    weights,
    within,
)
from kit.two_stage import RecordedMaps
from published import assert_loads
from torch import Tensor, nn

from segcli.types import Batch, ModelInfo, Resize, Targets
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.rcnn.conventions import MMDETECTION1
from segcli_blocks.rcnn.losses import mask_loss
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_cascade import FAMILY
from segcli_cascade.convert import renamed_htc
from segcli_cascade.htc import HTC, LEAST, SHARES
from segcli_cascade.htc_targets import resized_masks, stage_regions
from segcli_cascade.semantic import semantic_error
from segcli_cascade.variants import assemble_htc

STAGES = range(len(LEAST))
Recording = dict[str, Tensor]


@pytest.fixture(scope="module")
def options(reference: Path) -> dict:
    return settings(reference / "htc/config.json")


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return tensors(reference / "htc/infer.npz")


@pytest.fixture(scope="module")
def trained(reference: Path) -> Recording:
    return tensors(reference / "htc/train.npz")


@pytest.fixture
def narrow(reference: Path, options: dict, recording: Recording) -> HTC:
    """The recorded network at its width, behind the recorded maps where its body is left out."""
    classes = options["num_classes_with_bg"] - 1
    names = tuple(f"c{i}" for i in range(classes))
    info = ModelInfo("cascade", "htc-toy", names, tuple(range(1, classes + 1)), Resize(1, 1), 32)
    state = renamed_htc(weights(reference / "htc/state_dict.safetensors"))
    backbone: nn.Module = RecordedMaps(recording)
    if "backbone.body.conv1.weight" in state:
        body = ResNet(
            50, fixed_statistics, width=options["base_width"], blocks=options["stage_blocks"],
            stem=len(state["backbone.body.conv1.weight"]),
        )  # fmt: skip
        backbone = p2_to_p6(body, options["channels"])
    test, train = options["test_cfg"]["rpn"], options["train_cfg"]["rpn_proposal"]
    assert test["nms_thr"] == train["nms_thr"]
    conventions = replace(
        MMDETECTION1,
        anchor_sizes=tuple(options["anchor_scales"][0] * 2**level for level in range(2, 7)),
        per_level=(test["nms_pre"], train["nms_pre"]),
        proposals=(test["max_num"], train["max_num"]),
        proposal_iou=test["nms_thr"],
        region_samples=options["train_cfg"]["rcnn"][0]["sampler"]["num"],
    )
    model = assemble_htc(
        info, backbone, width=options["channels"], hidden=options["fc"],
        semantic_classes=options["semantic_classes"], conventions=conventions,
    )  # fmt: skip
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    missing, surplus = model.load_state_dict(state, strict=False)
    assert not surplus
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return model.eval()


class AsRecorded(nn.Module):
    """Stands for the normalisation: recorded images are normalised. Recorded maps need none."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.image = recording.get("image", torch.zeros(0))

    def forward(self, batch: Batch) -> Tensor:
        return self.image


@pytest.fixture
def batch(recording: Recording) -> Batch:
    height, width = (4 * side for side in recording["fpn_p2"].shape[-2:])
    pixels = torch.zeros((1, 3, height, width), dtype=torch.uint8)
    sizes = (tuple(recording[f"{name}_shape_hw"].tolist()) for name in ("img", "ori"))
    content, original = sizes
    return Batch(("a",), pixels, (content,), (original,))


def maps_of(recorded: Recording) -> list[Tensor]:
    pyramid = [recorded[f"fpn_p{level}"] for level in range(2, 7)]
    return [*pyramid, recorded["semantic_feat"], recorded["semantic_logits"]]


@torch.inference_mode()
def test_first_stage_equals_the_recording(narrow, batch, recording) -> None:
    narrow.normalize = AsRecorded(recording)
    maps, scored = narrow.first_stage(batch)
    for found, expected in zip(maps, maps_of(recording), strict=True):
        close(found, expected, 1e-4)
    (proposals,) = narrow.rpn.propose(scored, batch.content_sizes)
    within(proposals, recording["proposals_xyxys"][:, :4], 1e-3)


@torch.inference_mode()
def test_stages_equal_the_recording(narrow, batch, recording) -> None:
    heads, maps = narrow.roi_heads, maps_of(recording)
    boxes = [recording["proposals_xyxys"][:, :4]]
    for number in STAGES:
        within(boxes[0], recording[f"stage{number}_rois_xyxy"], 1e-3)
        expected = recording[f"stage{number}_roi_feature_first4"]
        pooled = heads.with_semantics(heads.box_pool(maps[:4], boxes), maps, boxes)
        close(pooled[: len(expected)], expected, 1e-4)
        logits, deltas = heads.stage(number, maps, boxes)
        close(logits, recording[f"stage{number}_cls_logits"], 1e-4)
        close(deltas, recording[f"stage{number}_box_deltas"], 1e-4)
        boxes = heads.refined(number, deltas, boxes, batch.content_sizes)


@torch.inference_mode()
def test_mask_heads_equal_the_recording(narrow, recording) -> None:
    heads, maps = narrow.roi_heads, maps_of(recording)
    boxes, labels = [recording["mask_boxes_network_xyxy"]], recording["det_labels"]
    features = heads.mask_features(maps, boxes)
    if "mask_roi_feature" in recording:  # not in the trimmed copies, nor are the logits
        close(features, recording["mask_roi_feature"], 1e-4)
    for number, x in enumerate(heads.steps(features)):
        expected = recording[f"mask_feat_stage{number}_first2"]
        close(x[: len(expected)], expected, 1e-4)
        if (logits := recording.get(f"mask_logits_stage{number}")) is not None:
            head = heads.mask_head.get_submodule(str(number))
            close(head.logits(x), logits, 1e-4)
    soft, _ = heads.masks(maps, boxes, labels, torch.ones(len(labels)))
    close(soft, recording["merged_prob_selected"], 1e-4)


def test_detections_and_masks_equal_the_recording(narrow, batch, recording, options) -> None:
    narrow.normalize = AsRecorded(recording)
    (found,) = narrow.predict(
        batch, min_score=options["test_cfg"]["rcnn"]["score_thr"],
        max_masks=options["test_cfg"]["rcnn"]["max_per_img"],
    )  # fmt: skip
    boxes = recording["det_boxes_xyxys"]
    order = boxes[:, 4].argsort(descending=True)
    assert found.labels.tolist() == recording["det_labels"][order].tolist()
    within(found.scores, boxes[order, 4], 1e-4)
    ours = found.boxes - torch.tensor([0, 0, 1, 1])
    within(ours / recording["scale_factor"], boxes[order, :4], 1e-3)
    made = masks_of(found, content=batch.content_sizes[0], size=batch.image_sizes[0])
    expected = unpacked_masks(recording, "final_masks")[order]
    wrong = (made ^ expected).sum((1, 2))
    # The authors divide by one factor and we by the ratio of the sizes, of whole px, along each
    # axis: where that moves a corner into another px, the mask moves as well.
    (height, width), (h, w) = batch.content_sizes[0], batch.image_sizes[0]
    ratio = torch.tensor([width / w, height / h] * 2)
    network = recording["mask_boxes_network_xyxy"][order]
    same = ((network / ratio).long() == boxes[order, :4].long()).all(1)
    assert same.sum() > len(same) // 2
    assert (wrong <= 2 + expected.sum((1, 2)) / 500)[same].all(), wrong


def unpacked_masks(recorded: Recording, name: str) -> Tensor:
    return unpacked({f"{name}_packed": recorded[f"{name}_packed"],
                     f"{name}_shape": recorded[f"{name}_shape"]}, name)  # fmt: skip


def targets_of(recorded: Recording) -> list[Targets]:
    found = []
    while f"gt{len(found)}_labels" in recorded:
        b = len(found)
        labels = recorded[f"gt{b}_labels"] - 1
        masks = unpacked_masks(recorded, f"gt{b}_masks")
        crowd = torch.zeros(len(labels), dtype=torch.bool)
        found.append(Targets(labels, recorded[f"gt{b}_boxes_xyxy"], masks, crowd))
    return found


def test_regions_of_all_stages_equal_the_recording(narrow, trained, options) -> None:
    targets = targets_of(trained)
    samples = narrow.roi_heads.conventions.region_samples
    for b, target in enumerate(targets):
        boxes = trained[f"rpn_proposals{b}_xyxys"][:, :4]
        for number in STAGES:
            stage = f"stage{number}_img{b}"
            for kind in ("box", "mask"):
                regions, true = stage_regions(boxes, target, least=LEAST[number], samples=samples)
                objects = regions.labels >= 0
                close(regions.boxes[objects], trained[f"{stage}_{kind}_pos_boxes"])
                recorded = f"{stage}_{kind}_pos"
                assert torch.equal(true[objects], trained[f"{recorded}_is_gt"].bool())
                assert torch.equal(regions.match[objects], trained[f"{recorded}_gt_index"])
                assert torch.equal(regions.labels[objects], trained[f"{recorded}_labels"] - 1)
                if kind == "box":
                    close(regions.boxes[~objects], trained[f"{stage}_box_neg_boxes"])
                else:
                    assert int((~objects).sum()) == int(trained[f"{stage}_mask_num_neg"])
                boxes = trained[f"{stage}_refined_boxes"]


def test_mask_targets_equal_the_recording(trained) -> None:
    targets = targets_of(trained)
    for number in STAGES:
        recorded = trained[f"stage{number}_mask_targets"]
        made = resized_masks(positives(trained, number, targets), targets, recorded.shape[-1])
        assert torch.equal(made, recorded.float())


def positives(recorded: Recording, number: int, targets: list[Targets]):
    """The regions that a stage's mask head learned from."""
    found = []
    for b, target in enumerate(targets):
        boxes = recorded[f"stage{number}_img{b}_mask_pos_boxes"]
        regions, _ = stage_regions(boxes[:0], target, least=LEAST[number], samples=4)
        match = recorded[f"stage{number}_img{b}_mask_pos_gt_index"]
        found.append(
            replace(
                regions.at(torch.zeros(len(boxes), dtype=torch.long)), boxes=boxes, match=match,
                labels=target.labels[match],
            )
        )  # fmt: skip
    return found


def test_losses_and_gradients_equal_the_recording(narrow, trained) -> None:
    in_full_recordings(trained, "fpn_p2")
    targets = targets_of(trained)
    maps = [m.clone().requires_grad_() for m in maps_of(trained)[:5]]
    logits, features = narrow.semantic_head(maps)
    close(logits, trained["semantic_logits"], 1e-4)
    semantic = torch.stack([trained[f"gt{b}_semantic"].long() for b in range(len(targets))])
    wanted = semantic.masked_fill(semantic == 255, -1)
    close(semantic_error(logits, wanted), trained["loss/loss_semantic_seg"], 1e-4)

    proposals = [trained[f"rpn_proposals{b}_xyxys"][:, :4] for b in range(len(targets))]
    content = tuple(narrow_content(trained))
    contents = [content] * len(targets)
    every = [*maps, features, logits]
    losses = narrow.roi_heads.losses(every, proposals, targets, contents)
    for number in STAGES:
        for ours, theirs in (("class", "cls"), ("box", "bbox"), ("mask", "mask")):
            close(losses[f"{ours}{number}"], trained[f"loss/s{number}.loss_{theirs}"], 1e-4)
    box = [loss for name, loss in losses.items() if not name.startswith("mask")]
    for prefix, loss in (("grad_mask_s2", losses["mask2"]), ("grad_bbox", sum(box))):
        assert_gradients(narrow, maps, trained, prefix, loss)


def assert_gradients(narrow: HTC, maps, trained: Recording, prefix: str, loss: Tensor) -> None:
    """Of all recorded parameters and maps; those that a loss does not reach are recorded empty."""
    recorded = {k: v for k, v in trained.items() if k.startswith(f"{prefix}/")}
    names = {k.removeprefix(f"{prefix}/"): v for k, v in recorded.items()}
    ours = renamed_htc({k: v for k, v in names.items() if not k.startswith("@")})
    parameters = dict(narrow.named_parameters())
    places = [parameters[name] for name in ours] + [maps[1]]
    expected = [*ours.values(), names["@fpn_p3"]]
    found = torch.autograd.grad(loss, places, retain_graph=True, allow_unused=True)
    for gradient, wanted in zip(found, expected, strict=True):
        if wanted.numel():
            close(gradient, wanted, 1e-4)
        else:
            assert gradient is None


def narrow_content(recorded: Recording) -> list[int]:
    """The size of the images without their padding."""
    image = recorded["images"].abs().amax((0, 1))
    rows, columns = (image.amax(1) > 0).nonzero(), (image.amax(0) > 0).nonzero()
    return [int(rows.max()) + 1, int(columns.max()) + 1]


def test_the_information_flows_through_the_heads_before(narrow, trained) -> None:
    in_full_recordings(trained, "fpn_p2")
    targets = targets_of(trained)
    heads = narrow.roi_heads
    for number in STAGES:
        regions = positives(trained, number, targets)
        features = heads.mask_features(maps_of(trained), [r.boxes for r in regions])
        of = heads.classes[torch.cat([r.labels for r in regions])]
        logits = heads.stage_logits(number, heads.steps(features, number + 1)[-1], of)
        close(logits, trained[f"stage{number}_mask_logits_gt_class"], 1e-4)
        goals = trained[f"stage{number}_mask_targets"].float()
        close(mask_loss(logits, goals) * SHARES[number], trained[f"loss/s{number}.loss_mask"], 1e-4)


@pytest.mark.parametrize(
    ("variant", "keys"),
    [
        ("htc-r50-fpn", "mmdet1_htc_r50_fpn_1x"),
        ("htc-r101-fpn", "mmdet1_htc_r101_fpn_20e"),
        ("htc-r50-fpn-plain", "mmdet1_htc_without_semantic_r50_fpn_1x"),
    ],
)
def test_published_checkpoints_load(variant: str, keys: str) -> None:
    assert_loads(FAMILY, variant, keys)
