"""CondInst's own parts, its published names, and that it learns."""

from dataclasses import replace

import pytest
import torch
from condinst_steps import content_fields
from overfitting import learn, two_images
from published import assert_loads, published_state
from torch import nn
from torch.nn import functional as F

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Instances, Targets
from segcli_blocks.fcos_losses import Assigned
from segcli_blocks.resnet import ResNet
from segcli_blocks.upsample import aligned_bilinear
from segcli_condinst import FAMILY
from segcli_condinst import targets as learning
from segcli_condinst.heads import MaskBranch
from segcli_condinst.losses import semantic_loss
from segcli_condinst.masks import LAYERS, PARAMETERS, layers_of, mask_logits, windows
from segcli_condinst.model import CondInst, inside
from segcli_condinst.variants import assemble


def test_parameters_split_into_weights_then_biases() -> None:
    assert PARAMETERS == 169
    layers = layers_of(torch.arange(169.0)[None])
    assert [w.shape[1:] for w, _ in layers] == [(o, i) for i, o in LAYERS]
    assert layers[0][0][0, 1, 0] == 10  # each weight is (outputs, inputs), row by row
    assert layers[1][0][0, 0, 0] == 80
    assert layers[2][0][0, 0, 0] == 144
    assert [b[0, 0].item() for _, b in layers] == [152, 160, 168]


def test_mask_logits_equal_convolutions_of_relative_positions() -> None:
    """The plain form: relative coordinates beside the features, three 1x1 convolutions."""
    torch.manual_seed(0)
    features, parameters = torch.randn(8, 3, 4), torch.randn(2, 169)
    y, x = torch.meshgrid(torch.arange(3) * 8.0 + 4, torch.arange(4) * 8.0 + 4, indexing="ij")
    grid = torch.stack((x, y))
    xy, size = torch.tensor([[4.0, 12.0], [300.0, 20.0]]), torch.tensor([64.0, 512.0])
    found = mask_logits(features, grid, parameters, xy=xy, size=size)
    for i in range(2):
        relative = (xy[i][:, None, None] - grid) / size[i]
        z = torch.cat((relative, features))[None]
        for k, (weight, bias) in enumerate(layers_of(parameters[i : i + 1])):
            z = F.conv2d(z if k == 0 else z.relu(), weight[0][..., None, None], bias[0])
        torch.testing.assert_close(found[i], aligned_bilinear(z, 2)[0, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image", [(20, 30), (29, 43), (58, 86), (200, 171)])
def test_one_step_from_the_cells_gives_the_masks_of_the_authors_steps(image) -> None:
    """But where the original has px beyond the centre of the content's last one."""
    torch.manual_seed(0)
    content = (29, 43)
    probability = F.interpolate(torch.rand(6, 1, 4, 5), (8, 12), mode="bilinear")[:, 0]

    def masks(fields: torch.Tensor, extents: torch.Tensor) -> list[torch.Tensor]:
        n = len(fields)
        found = Instances(
            torch.arange(n, 0, -1) / n, torch.arange(n), None, fields, extents, 0.5, True
        )
        drawn = segments(found, content_size=content, image_size=image)
        return [torch.from_numpy(rle.decode(each.rle, *image)) for each in drawn]

    one, several = masks(*windows(probability)), masks(*content_fields(probability, content))
    assert len(one) == len(several) == 6
    rows, columns = (
        int((inner - 0.5) * outer / inner + 0.5)
        for inner, outer in zip(content, image, strict=True)
    )
    for ours, theirs in zip(one, several, strict=True):
        assert torch.equal(ours[:rows, :columns], theirs[:rows, :columns])


def test_no_objects_give_no_fields() -> None:
    fields, extents = windows(torch.zeros(0, 8, 8))
    assert len(fields) == len(extents) == 0
    assert len(mask_logits(torch.zeros(8, 2, 2), torch.zeros(2, 2, 2), torch.zeros(0, 169),
                           xy=torch.zeros(0, 2), size=torch.zeros(0))) == 0  # fmt: skip


def test_boxes_outside_the_content_are_dropped() -> None:
    boxes = [[0.0, 0, 5, 5], [30, 0, 40, 9], [-9, 3, 0, 5], [3, 3, 3, 9], [-5, -5, 50, 50]]
    assert inside(torch.tensor(boxes), (20, 30)).tolist() == [True, False, False, False, True]


def test_at_most_so_many_locations_draw_masks(monkeypatch) -> None:
    monkeypatch.setattr(learning, "MOST_MASKS", 3)
    match = torch.tensor([0, 0, -1, 0, 0])
    truth = Assigned(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1, 1, 1), match)
    image, index = learning.positives([truth, truth])
    assert len(image) == 3
    assert set(index.tolist()) <= {0, 1, 3, 4}


def test_semantic_loss_by_hand() -> None:
    """The smaller mask wins; unknown categories and crowds do not count."""
    masks = torch.zeros(3, 16, 16, dtype=torch.bool)
    masks[0, :8] = True
    masks[1, :8, :8] = True
    masks[2, 8:, 8:] = True
    target = Targets(
        torch.tensor([0, 1, 0]), torch.zeros(3, 4), masks, torch.tensor([False, False, True]),
        torch.tensor([True, False]),
    )  # fmt: skip
    logits = torch.zeros(1, 2, 2, 2, requires_grad=True)
    semantic_loss(logits, [target]).backward()
    # Upper left: label 1; upper right: label 0; lower left: nothing; lower right: crowd.
    sign = logits.grad[0].sign()
    assert sign[0].tolist() == [[1, -1], [1, 0]]
    assert sign[1].tolist() == [[-1, 1], [0, 0]]


def test_the_mask_branch_takes_the_smallest_canvas_in_training() -> None:
    branch = MaskBranch(8, 8).train()
    maps = [torch.randn(1, 8, n, n) for n in (4, 2, 1)]
    assert branch(maps).isfinite().all()


@pytest.mark.parametrize(
    ("variant", "keys"),
    [
        ("r50-fpn", "condinst_MS_R_50_1x"),
        ("r101-fpn-sem", "condinst_MS_R_101_3x_sem"),
    ],
)
def test_published_checkpoints_load(variant: str, keys: str) -> None:
    state, converted = assert_loads(FAMILY, variant, keys)
    assert len(state) == len(converted) + 1  # the count of training steps is of no use


def test_the_semantic_head_makes_another_variant() -> None:
    state = published_state("condinst_MS_R_101_3x_sem")
    with pytest.raises(UsageError, match="got mask_branch.logits.bias"):
        FAMILY.convert(state, FAMILY.variants["r101-fpn"])
    state = {k: v for k, v in state.items() if ".seg_head." not in k and ".logits." not in k}
    assert FAMILY.convert(state, FAMILY.variants["r101-fpn"])


def test_another_familys_checkpoint_is_refused() -> None:
    state = published_state("embedmask_R50")
    with pytest.raises(
        UsageError, match=r"not the weights of condinst/r50-fpn: \d+ tensors missing"
    ):
        FAMILY.convert(state, FAMILY.variants["r50-fpn"])


def toy(classes: int) -> CondInst:
    """A narrow model with ordinary norms, which learns fast."""
    names = tuple(str(i) for i in range(classes))
    info = replace(FAMILY.variants["r50-fpn"], categories=names, category_ids=tuple(range(classes)))
    body = ResNet(18, nn.BatchNorm2d, width=16)
    model = assemble(info, body, widths=(32, 32))
    body.requires_grad_(True)
    model.sizes_of_interest = model.sizes_of_interest // 2
    return model


@pytest.mark.slow
def test_learns_two_images(data) -> None:
    torch.manual_seed(0)
    pair, names = two_images(data, 128)
    assert learn(toy(len(names)), pair, steps=400, rate=2e-3) == 1.0
