"""YOLACT and YOLACT++ against recordings of their authors' code (see README in the recordings).

Every size, class count and option comes from the files.
"""

from dataclasses import replace

import pytest
import torch
from kit.parity import batch_of_bytes, gradients_close, nearest, unpacked
from kit.parity import within as close
from yolact_recording import CANDIDATE, Recording, masks_of

from segcli_blocks.soft_masks import dynamic_conv
from segcli_yolact.convert import renamed
from segcli_yolact.heads import decode, encode
from segcli_yolact.masks import cropped
from segcli_yolact.targets import Learning, match

GREY_LEVEL = 1 / 57.12  # after normalising, in the channel with the least deviation


@pytest.fixture(scope="module", params=["", "_plus"], ids=["yolact", "plus"])
def recording(reference, request):
    return Recording(reference / "yolact", request.param)


# The network.


@pytest.mark.slow
def test_input(recording):
    """Resizing and normalising; ours rounds to bytes twice, along and across: one grey level."""
    model = recording.model()
    found = model.normalize(batch_of_bytes(recording.infer["image_bgr_u8"], model.info))
    close(found, recording.infer["input_fast"], atol=1.01 * GREY_LEVEL)


@torch.no_grad()
def test_body_and_pyramid(recording):
    model, given = recording.model(), recording.infer
    maps = model.body(given["input_fast"])
    for name, found in zip(("c2", "c3", "c4", "c5"), maps, strict=True):
        expected = given[f"backbone_{name}"]
        close(found.mean((2, 3)) if expected.dim() == 2 else found, expected)
    for level, found in enumerate(model.fpn(maps[1:])):
        close(found, given[f"fpn_p{level + 3}"])


def raw_of(model, x):
    return model.raw(model.static(x), x.shape[-2:])


@torch.no_grad()
def test_raw_outputs(recording):
    model, given = recording.model(), recording.infer
    raw = raw_of(model, given["input_fast"])
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
    _, best = recording.found(recording.model(filled=False))
    close(best.scores, given["det_score"])
    assert best.labels.equal(given["det_class"])
    close(best.boxes, given["det_box"])
    close(best.coefficients, given["det_mask_coef"])


@torch.no_grad()
def test_suppression_across_classes(recording):
    given = recording.infer
    _, best = recording.found(recording.model(filled=False, cross_class=True))
    close(best.scores, given["ccdet_score"])
    assert best.labels.equal(given["ccdet_class"])
    close(best.boxes, given["ccdet_box"])


@torch.no_grad()
def test_soft_masks(recording):
    expected = recording.infer["soft_mask_proto_res_first8"]
    raw, best = recording.found(recording.model(filled=False))
    logits = dynamic_conv(best.coefficients[: len(expected)], raw.prototypes[0])
    close(cropped(logits, best.boxes[: len(expected)]), expected)


@torch.no_grad()
def test_boxes_and_masks_in_the_original_image(recording):
    model, given = recording.model(filled=recording.plus), recording.infer
    raw, best = recording.found(model)
    expected = unpacked(given, "final_mask")
    size = tuple(expected.shape[1:])
    content = recording.content
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
    model, given = recording.model(filled=recording.plus), recording.infer
    raw, best = recording.found(model)
    size = tuple(unpacked(given, "final_mask").shape[1:])
    content = recording.content
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand_as(best.boxes)
    found = masks_of(model, raw, replace(best, boxes=whole), content, size)
    assert (found.sum((1, 2)) - given["nocrop_mask_area"]).abs().max() <= 2


@torch.no_grad()
def test_a_score_threshold(recording):
    given = recording.infer
    _, best = recording.found(recording.model(filled=False))
    assert int((best.scores > given["thr_value"]).sum()) == int(given["thr_n_kept"])


@torch.no_grad()
def test_mask_scores(reference):
    recording = Recording(reference / "yolact", "_plus")
    model = recording.model()
    raw, best = recording.found(model)
    soft = cropped(dynamic_conv(best.coefficients, raw.prototypes[0]), best.boxes)
    close(best.scores * model.fit(soft, best.labels), recording.infer["final_mask_score"])


@torch.no_grad()
def test_predict_gives_the_detections(recording):
    """The whole way that a user goes, from the bytes, which rounds pixels (see test_input).

    How much that moves the scores depends on the weights. So the measure is what noise of one grey
    level does to the recorded input, and one detection in twenty may go another way, where
    suppression was nearly undecided.
    """
    model, given = recording.model(), recording.infer
    batch = batch_of_bytes(given["image_bgr_u8"], model.info)
    probability = model(batch).logits.softmax(-1)
    noise = (
        torch.rand(given["input_fast"].shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    )
    noisy = raw_of(model, given["input_fast"] + noise * GREY_LEVEL).logits.softmax(-1)
    bound = 3 * float((noisy - given["eval_conf_softmax"]).abs().max())
    close(probability, given["eval_conf_softmax"], atol=bound)
    (found,) = model.predict(batch, min_score=CANDIDATE, max_masks=100)
    sides = torch.tensor(batch.content_sizes[0]).flip(0).repeat(2)
    boxes = (given["det_box"].clamp(0, 1) * sides)[given["det_score"] > CANDIDATE]
    mate, apart = nearest(found, boxes, given["det_class"][: len(boxes)])
    same = (found.scores[mate] - given["det_score"][: len(boxes)]).abs() <= bound
    assert (same & (apart < 2)).float().mean() >= 0.95  # 2 px


# Training.


def trained(recording, *, batch_statistics=False):
    """A model, what it says of the recorded training batch, and its losses."""
    model = recording.model().train()
    model.use_statistics(batch=batch_statistics)
    raw = raw_of(model, recording.train["train_input"])
    return model, raw, model.losses_of(raw, recording.truths())


def test_training_outputs(recording):
    _, raw, _ = trained(recording)
    close(raw.boxes, recording.train["train_loc"])
    close(raw.logits, recording.train["train_conf"])
    close(raw.coefficients, recording.train["train_mask"])
    close(raw.prototypes.permute(0, 2, 3, 1), recording.train["train_proto"])
    close(raw.semantic, recording.train["train_segm"])


def test_targets(recording):
    given, priors = recording.train, recording.infer["priors"]
    for i, truth in enumerate(recording.truths()):
        found = match(priors, truth, Learning())
        assert found.classes.equal(given["match_conf_t"][i].long())
        assert found.target.equal(given["match_idx_t"][i].long())
        goal = encode(truth.boxes[found.target], priors)
        torch.testing.assert_close(goal, given["match_loc_t"][i], rtol=1e-5, atol=1e-4)


LETTERS = {"box": "B", "mask": "M", "class": "C", "semantic": "S", "rescore": "I"}


def test_losses(recording):
    _, _, losses = trained(recording)
    assert ("rescore" in losses) == recording.plus
    assert_losses(losses, recording.train, "loss_")


def test_losses_of_recorded_outputs(recording):
    """The losses alone; those of the rescoring need weights."""
    model = recording.model(filled=recording.plus)
    losses = model.losses_of(recording.raw_of_training(), recording.truths())
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
    gradients_close(model, renamed(recorded))
