"""The options of a training that affect its result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from segcli.train.augment import Augmentation
from segcli.train.schedule import RateSchedule

_FREE = frozenset({"workers", "log_every", "save_every"})  # options that may change between resumes


@dataclass(frozen=True, slots=True)
class Recipe:
    """All options that affect the result of a training, besides data and initial weights."""

    epochs: int = 12
    batch_size: int = 4
    parts: int = 1  # of a batch, learned from one after another, or on as many devices
    rate: float = 3e-4
    learned_rate: float = 0.3  # of `rate`, for parameters that come from the initial weights
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: RateSchedule = "cosine"
    weight_decay: float = 0.01
    warmup: int = 200  # steps
    norms: Literal["learn", "fixed"] = "learn"  # the statistics of batch norms
    clip: float = 5.0  # L2 norm of the gradient
    average: float = 0.999  # decay of the moving average of the weights
    short: tuple[int, int] = (256, 384)  # px, short side of the canvas
    frozen: int | None = None  # stages of the body that do not learn; None: the model's own choice
    precision: str = "float32"
    seed: int = 0
    workers: int = 2
    log_every: int = 20  # steps
    save_every: int = 200  # steps between checkpoints, besides one after each epoch
    augmentation: Augmentation = field(default_factory=Augmentation)

    def recorded(self) -> dict[str, Any]:
        """As JSON, without the options that may change between resumes."""
        kept = {k: v for k, v in asdict(self).items() if k not in _FREE}
        return dict(json.loads(json.dumps(kept)))
