"""SOLO and SOLOv2 against recordings of their authors' code (see README in the recordings).

Every size, class count and option comes from the files.
"""

import pytest
import torch
from kit.parity import gradients_close, unpacked
from kit.parity import within as close
from solo_recording import Recording, assert_losses, targets

from segcli.images import batch as batches
from segcli.masks.sampling import segments
from segcli.types import Image
from segcli_blocks.nms import matrix_nms
from segcli_solo.convert import renamed
from segcli_solo.model import peaks
from segcli_solo.targets import shrunk, targets_of


@pytest.fixture(scope="module")
def recording(reference):
    return Recording(reference / "solov2")


@pytest.fixture(scope="module")
def model(recording):
    return recording.model()


@pytest.fixture(scope="module")
def without_weights(recording):
    return recording.model(filled=False)


# SOLOv2: the network.


def test_input(recording, model):
    pixels = recording.infer["image_bgr_u8"].flip(2).contiguous().numpy()
    image = batches.fit(Image("a", pixels, pixels.shape[:2]), model.info)
    assert image.pixels.shape == pixels.shape  # it is recorded after resizing
    close(model.normalize(batches.collate([image], model.info)), recording.infer["input"])


@torch.no_grad()
def test_body_and_pyramid(recording, model):
    given = recording.infer
    c2, *maps = model.backbone.body(given["input"])
    close(c2.mean((2, 3)), given["backbone_c2_mean"])
    for level, found in enumerate(maps, 3):
        close(found, given[f"backbone_c{level}"])
    for level, found in enumerate(model.backbone.pyramid([c2, *maps]), 2):
        close(found, given[f"fpn_p{level}"])


@torch.no_grad()
def test_head(recording, model):
    given = recording.infer
    dense = model.head(model.backbone(given["input"]))
    for level, (categories, kernels) in enumerate(
        zip(dense.categories, dense.masks.kernels, strict=True)
    ):
        close(categories, given[f"cate_logits_{level}"])
        close(kernels, given[f"kernel_pred_{level}"])
        close(peaks(categories.sigmoid()).permute(0, 2, 3, 1), given[f"cate_eval_{level}"])
    close(dense.masks.features, given["mask_feat"])


# SOLOv2: inference.


def test_candidates(recording, without_weights):
    given, model, dense = recording.infer, without_weights, recording.dense()
    found = model.detect(dense, 0, above=recording.config["test_cfg"]["score_thr"])
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


def test_masks_in_the_original_image(recording, without_weights):
    given = recording.infer
    labels, scores, masks = recording.final(without_weights, recording.dense())
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


def test_targets(recording, without_weights):
    given, options = recording.train, recording.options().learning
    classes, grids = len(recording.info().categories), without_weights.head.grids
    for i, target in enumerate(targets(given)):
        levels = targets_of(target, grids, classes, options)
        for index, level in enumerate(levels):
            assert (level.categories + 1).equal(given[f"target{i}_cate_{index}"].long())
            assert level.cell.equal(given[f"target{i}_grid_order_{index}"])
            masks = shrunk(target.masks, 4)[level.target]
            recorded = {
                f"masks_{kind}": given[f"target{i}_ins_masks_{kind}_{index}"]
                for kind in ("packed", "shape")
            }
            assert masks.equal(unpacked(recorded, "masks"))


def trained(recording):
    model = recording.model().train()
    dense = model.head(model.backbone(recording.train["train_input"]))
    return model, model.losses_of(dense, targets(recording.train))


def test_losses(recording):
    assert_losses(trained(recording)[1], recording.train, "loss_")


def test_gradients(recording):
    model, losses = trained(recording)
    sum(losses.values()).backward()
    recorded = {k[5:]: v for k, v in recording.train.items() if k.startswith("grad/")}
    assert recorded
    gradients_close(model, renamed(recorded))
    none = [name for name, p in model.named_parameters() if p.grad is None]
    assert len(none) == recording.config["info"]["params_without_grad"]
