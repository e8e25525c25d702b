"""Every family rewritten for inference sees what it sees as it was trained."""

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
from rectangles import padded_batch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from segcli.models import registry
from segcli.plugin import Fusible
from segcli.types import Batch

# A body with norms, and YOLACT++'s deformable convolutions, whose norms stay.
WITH_NORMS = (
    "condinst/r50-fpn",
    "discriminative/r50-fpn",
    "pep/r50-fpn",
    "solo/solov2-light-r18",
    "solo/decoupled-light-r50",
    "watershed/r50-fpn",
    "yolact/plus-r50",
    "yolact/darknet53",
)
NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def lively(name: str) -> nn.Module:
    """The model in eval mode, with statistics that do something and maps that stay of order 1."""
    torch.manual_seed(0)
    family, info = registry.find(name)
    model = family.build(info).eval()
    for module in model.modules():
        if isinstance(module, NORMS):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 1.0, 3.0)
    return model


@pytest.fixture(scope="module")
def batch() -> Batch:
    return padded_batch()


def network(model: nn.Module, batch: Batch) -> object:
    """What the network says, before anything is chosen from it."""
    if model.info.family != "pep":
        return model(batch)
    maps = model.backbone(model.normalize(batch))
    return model.perceive(maps), model.general(maps)


def tensors(said: object) -> Iterator[Tensor]:
    """The numbers in it, however they are packed."""
    if isinstance(said, Tensor):
        yield said.float()
    elif isinstance(said, list | tuple):
        for part in said:
            yield from tensors(part)
    elif dataclasses.is_dataclass(said):
        for field in dataclasses.fields(said):
            yield from tensors(getattr(said, field.name))


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize("name", WITH_NORMS)
def test_a_fused_family_answers_alike(name, batch) -> None:
    model = lively(name)
    assert isinstance(model, Fusible)
    expected = list(tensors(network(model, batch)))
    assert len(expected) >= 2
    fused = copy.deepcopy(model)
    fused.fuse(torch.float32)
    before, after = (sum(isinstance(m, NORMS) for m in x.modules()) for x in (model, fused))
    # Deformable convolutions keep theirs, because they are no nn.Conv2d.
    assert (after, before > 0) == (13 if name == "yolact/plus-r50" else 0, True)
    for found, wanted in zip(tensors(network(fused, batch)), expected, strict=True):
        assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    model.fuse(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        for found, wanted in zip(tensors(network(model, batch)), expected, strict=True):
            assert (found - wanted).abs().mean() <= 0.05 * wanted.abs().max()
        (answer,) = model.predict(batch, min_score=0.0, max_masks=3)
    assert answer.fields.dtype == answer.scores.dtype == torch.float32
    assert answer.fields.isfinite().all()


@torch.inference_mode()
@pytest.mark.parametrize(
    "name", ["discriminative/mobilenet", "pep/mobilenet", "watershed/mobilenet"]
)
def test_without_norms_float32_stays_as_it_is(name, batch) -> None:
    model = lively(name)
    expected = list(tensors(network(model, batch)))
    model.fuse(torch.float32)
    for found, wanted in zip(tensors(network(model, batch)), expected, strict=True):
        assert torch.equal(found, wanted)
