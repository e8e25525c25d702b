"""Which parts of a new model hold initial weights, and which may be frozen."""

from types import SimpleNamespace

import pytest
from torch import nn

from segcli.errors import UsageError
from segcli.models import checkpoint
from segcli.train import initial_model
from segcli.types import ModelInfo, Resize

INFO = ModelInfo("tiny", "tiny", ("disc", "box"), (3, 7), Resize(80, 96), 32)


class Unstaged(nn.Module):
    """A trainable model of a body of two layers and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.info = INFO
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
        self.head = nn.Conv2d(3, 2, 1)

    def predict(self, batch, *, min_score, max_masks, categories=None):
        raise NotImplementedError

    def losses(self, batch, targets):
        raise NotImplementedError


class Staged(Unstaged):
    def freeze_stages(self, count: int) -> None:
        for layer in self.body[:count]:
            layer.requires_grad_(False)


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """begun(kind, tensors, frozen): training begins from a file with those tensors that begin so;
    with none, from random weights."""

    def begin(kind: type[Unstaged], tensors: str | None, frozen: int | None):
        family = SimpleNamespace(build=lambda info: kind())
        monkeypatch.setattr(initial_model.registry, "find", lambda name: (family, INFO))
        path = None
        if tensors is not None:
            path = tmp_path / "initial.safetensors"
            state = {k: v for k, v in kind().state_dict().items() if k.startswith(tensors)}
            checkpoint.save(path, state, INFO)
        return initial_model.begin(INFO, path, seed=0, frozen=frozen)

    return begin


def test_stages_that_hold_initial_weights_can_be_frozen(begun) -> None:
    model = begun(Staged, "body", 2).model
    kept = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert kept == {"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"}
    assert begun(Staged, None, 0).learned == frozenset()


@pytest.mark.parametrize(
    ("kind", "tensors", "frozen", "reason"),
    [
        (Staged, None, 1, "there are none"),
        (Staged, "body.0", 2, r"no weights for 2 of the 4 tensors .* such as body\.1\.weight"),
        (Staged, "head", 1, r"no weights for 2 of the 2 tensors"),
        (Unstaged, "", 0, "has no stages that can be frozen; leave out `frozen`"),
    ],
)
def test_random_weights_are_not_frozen(begun, kind, tensors, frozen, reason) -> None:
    with pytest.raises(UsageError, match=reason):
        begun(kind, tensors, frozen)
