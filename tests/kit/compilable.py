"""The smallest segmenter with a static part."""

from collections.abc import Callable

from torch import Tensor, nn

from segcli.types import Batch, Instances, ModelInfo, Resize

INFO = ModelInfo("toy", "tiny", ("square",), (1,), Resize(64, 64), 32, 0.5)


class Network(nn.Module):
    """Compilable: counts how often torch computes its static part."""

    def __init__(self) -> None:
        super().__init__()
        self.info = INFO
        self.compiled: Callable[[Tensor], list[Tensor]] | None = None
        self.calls = 0

    def predict(self, batch: Batch, **options: object) -> list[Instances]:
        compute = self.compiled or self.static
        compute(batch.pixels.float() / 255)
        return []

    def static(self, x: Tensor) -> list[Tensor]:
        self.calls += 1
        return [x.mean((1, 2, 3))]
