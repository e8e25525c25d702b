"""slow: 50 ms an image, and a gate. greedy: memory for one image. huge: for none. picky: no white
images. broken: nothing at all. crashing: a segmentation fault for white images.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
import toy_gate
from segcli_toy.model import Toy

from segcli.types import Batch, Instances


class Troubled(Toy):
    def predict(self, batch: Batch, **options: Any) -> list[Instances]:
        size = len(batch.keys)
        match self.info.variant:
            case "slow":
                toy_gate.wait(batch.keys)
                time.sleep(0.05 * size)
            case "greedy" if size > 1:
                raise torch.OutOfMemoryError(f"{size} images are too many")
            case "huge":
                raise torch.OutOfMemoryError("one image is too many")
            case "picky" if (batch.pixels.amin((1, 2, 3)) == 255).any():
                raise ValueError("a white image")
            case "crashing" if (batch.pixels.amin((1, 2, 3)) == 255).any():
                os.kill(os.getpid(), signal.SIGSEGV)
            case "broken":
                raise TypeError("programmed wrongly")
        return super().predict(batch, **options)
