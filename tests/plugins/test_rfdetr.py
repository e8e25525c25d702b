"""RF-DETR's own parts, its published names, and that it learns."""

import sys
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from overfitting import learn, two_images
from published import assert_loads, listed, published_state
from rfdetr_toy import SMALL, build

from segcli.errors import UsageError
from segcli.models import checkpoint, registry
from segcli.types import Batch, Resize, Targets
from segcli_blocks import hugging_face
from segcli_rfdetr import FAMILY
from segcli_rfdetr import variants as putting_together
from segcli_rfdetr.targets import counts, match, truth_of

NANO = FAMILY.variants["seg-nano"]
CONTENT = (120, 120)
TOY = replace(NANO, resize=Resize(120, 120, "stretch"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build(TOY).eval()


def target_of(*boxes: tuple[int, int, int, int], crowd=(), exhaustive=None) -> Targets:
    """Squares of category 0 on a canvas of CONTENT."""
    masks = torch.zeros(len(boxes), *CONTENT, dtype=torch.bool)
    for mask, (x, y, right, low) in zip(masks, boxes, strict=True):
        mask[y:low, x:right] = True
    flags = torch.tensor([i in crowd for i in range(len(boxes))], dtype=torch.bool)
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Targets(torch.zeros(len(boxes), dtype=torch.long), corners, masks, flags, exhaustive)


def test_published_checkpoints_load() -> None:
    state, converted = assert_loads(FAMILY, "seg-nano", "rfdetr_seg_nano")
    attention = sum(name.endswith("in_proj_weight") for name in state)
    unused = {"_kp_active_mask", "backbone.0.encoder.encoder.embeddings.mask_token"}
    assert len(converted) == len(state) - len(unused) + 2 * 2 * attention


def test_checkpoints_that_transformers_wrote_load() -> None:
    with torch.device("meta"):
        theirs = build(TOY).network.state_dict()
    ours = putting_together.assemble(TOY, SMALL).state_dict()
    from segcli_rfdetr.convert import renamed

    assert renamed(theirs).keys() == ours.keys()


def test_the_number_of_queries_is_the_files(monkeypatch, tmp_path) -> None:
    """The published seg-large has 300 where its configuration says 200."""
    assert len(listed("rfdetr_seg_large")["query_feat.weight"]) == 300 * 13
    monkeypatch.setitem(putting_together.SIZES, "seg-nano", SMALL)
    torch.manual_seed(0)
    more = putting_together.assemble(TOY, replace(SMALL, queries=70))
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, more.state_dict(), TOY)
    loaded = registry.load_model(None, str(path)).model
    assert loaded.network.config.num_queries == 70
    batch = Batch(("a",), torch.randint(0, 255, (1, 3, 120, 120)).byte(), (CONTENT,), (CONTENT,))
    more.eval()
    for one, other in zip(
        more.predict(batch, min_score=0, max_masks=99),
        loaded.predict(batch, min_score=0, max_masks=99),
        strict=True,
    ):
        assert len(one.scores) == 70
        torch.testing.assert_close(one.fields, other.fields)


def test_another_familys_checkpoint_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"not the weights of rfdetr/seg-nano: \d+ tensors missing"
    ):
        FAMILY.convert(published_state("embedmask_R50"), NANO)
    with pytest.raises(UsageError, match="of another shape"):
        FAMILY.convert(published_state("rfdetr_seg_nano"), FAMILY.variants["seg-small"])


def test_a_checkpoint_with_the_settings_of_its_training_is_read(tmp_path) -> None:
    """Roboflow's files hold an argparse.Namespace; nothing else than that is let in."""
    path = tmp_path / "published.pth"
    torch.save({"model": {"a": torch.ones(2)}, "args": Namespace(lr=1e-4)}, path)
    assert torch.equal(checkpoint.read_published(path)["a"], torch.ones(2))
    torch.save({"model": {"a": torch.ones(2)}, "args": registry.Weights}, path)
    with pytest.raises(UsageError, match="nothing in it was executed"):
        checkpoint.read_published(path)


def test_a_missing_package_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"needs the package transformers.*segcli\[hf\]"):
        FAMILY.build(NANO)
    monkeypatch.setitem(sys.modules, "transformers", type(sys)("transformers"))
    with pytest.raises(UsageError, match=r"has no RfDetrForInstanceSegmentation; install"):
        FAMILY.build(NANO)


def test_a_package_that_cannot_be_imported_is_one_line(monkeypatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("tokenizers>=1 is required\nTry: pip install transformers -U")

    monkeypatch.setattr(hugging_face, "import_module", broken)
    with pytest.raises(UsageError, match=r"\(tokenizers>=1 is required\); install it with") as info:
        FAMILY.build(NANO)
    assert "\n" not in str(info.value)


def test_no_other_family_needs_the_package(monkeypatch) -> None:
    """Nor do the commands that list models, which import what tests/test_house.py allows."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    others = [family for family in registry.families().values() if not family.requires]
    assert len(others) > 5
    for family in others:
        with torch.device("meta"):
            family.build(next(iter(family.variants.values())))


def test_published_heads_have_a_logit_for_each_id(model) -> None:
    assert model.network.config.num_labels == 91
    assert model.logit_of[[0, -1]].tolist() == [1, 90]
    other = build(replace(TOY, categories=("a", "b"), category_ids=(5, 9)))
    assert other.network.config.num_labels == 2


def test_a_canvas_of_another_shape_is_stretched(model) -> None:
    """The masks of a wide content are where those of its square are."""
    pixels = torch.zeros(1, 3, 120, 200, dtype=torch.uint8)
    pixels[:, :, :, :100] = 255
    wide = Batch(("a",), pixels, ((60, 200),), ((60, 200),))
    (found,) = model.predict(wide, min_score=0, max_masks=5)
    assert found.extents[0].tolist() == [0, 0, 200, 60]
    assert model.prepare(wide).shape == (1, 3, 120, 120)
    assert (found.boxes[:, 2] <= 200).all()
    assert (found.boxes[:, 3] <= 60).all()


def test_every_group_gives_every_target_a_query_of_its_own() -> None:
    torch.manual_seed(0)
    truth = truth_of(target_of((0, 0, 40, 40), (60, 60, 100, 110)), CONTENT, torch.arange(2), 2)
    queries, targets = match(
        torch.randn(12, 2), torch.rand(12, 4) * 0.5 + 0.2, torch.randn(12, 30, 30), truth, groups=3
    )
    assert [sorted(targets[i : i + 2].tolist()) for i in (0, 2, 4)] == [[0, 1]] * 3
    assert [(q // 4).tolist() for q in queries.split(2)] == [[0, 0], [1, 1], [2, 2]]


def test_crowds_and_unannotated_categories_teach_nothing() -> None:
    known = torch.tensor([True, False])
    target = target_of((0, 0, 40, 40), (60, 60, 120, 120), crowd=(1,), exhaustive=known)
    truth = truth_of(target, CONTENT, torch.tensor([1, 3]), 4)
    assert truth.labels.tolist() == [1], "the crowd is not an object"
    boxes = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2]])
    counted = counts(truth, torch.tensor([-1, -1, 1]), boxes)
    assert counted.tolist() == [[True, True, True, False], [False] * 4, [True] * 4]


@pytest.mark.slow
def test_learns_two_images(data) -> None:
    torch.manual_seed(0)
    pair, names = two_images(data, 72)
    info = replace(
        NANO,
        categories=names,
        category_ids=tuple(range(len(names))),
        resize=Resize(72, 72, "stretch"),
    )
    size = replace(SMALL, side=72, queries=12, groups=1, layers=1, taps=(1, 2))
    model = putting_together.assemble(info, size)
    assert learn(model, pair, steps=400, rate=2e-3) == 1.0
