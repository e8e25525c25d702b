"""A process that imports torchvision does not import torch's compiler with it."""

import subprocess
import sys

import torch

from segcli.startup import import_torchvision


def test_the_compiler_stays_away_until_it_is_asked_for() -> None:
    code = """
import sys
from segcli.startup import import_torchvision
import_torchvision()
kept = {name for name in sys.modules if name.startswith(("torch._dynamo", "sympy"))}
assert not kept, sorted(kept)
import torchvision
from torchvision.ops import nms
assert nms is not None
from_torchvision = sys.modules["torchvision.ops.roi_align"].is_compile_supported
assert from_torchvision("cpu") in (True, False)
from torch._dynamo import utils
assert utils.__spec__ is not None, "the real module"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_process_that_has_it_is_left_alone() -> None:
    import_torchvision()
    before = sys.modules["torchvision"]
    import_torchvision()
    assert sys.modules["torchvision"] is before
    assert torch.ops.torchvision.nms
