"""The device and the number format (precision) of a run."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.models.gains import kept_gain

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
INT8 = "int8"
"""Of the static part; the rest is in bfloat16 if it is faster, otherwise in float32: a resolved
precision says which, as "int8+bfloat16" or "int8+float32"."""

_PAYS = 1.2  # times as fast; a smaller gain is not worth different rows

_CPUINFO = Path("/proc/cpuinfo")
# The kernel's names of native bfloat16 arithmetic: x86 (AVX-512, AMX, AVX10), Arm.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "avx10_2", "bf16"}


def available_devices() -> dict[str, str]:
    """Name -> description of every available device, "cpu" first."""
    import torch

    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory_gib = properties.total_memory / 2**30
            devices[f"cuda:{index}"] = f"{properties.name}, {memory_gib:.0f} GiB"
    return devices


def resolve_device(name: str) -> torch.device:
    """The device for "auto", "cpu", "cuda" or "cuda:N"; auto is the first GPU, else the CPU.

    Raises UsageError if the name is unknown or the device is not available.
    """
    import torch

    here = available_devices()
    if name == "auto":
        name = "cuda:0" if "cuda:0" in here else "cpu"
    elif name == "cuda":
        name = "cuda:0"
    if name in here:
        return torch.device(name)
    present = ", ".join(f"{device} ({what})" for device, what in here.items())
    if re.fullmatch(r"cuda:\d+", name):
        raise UsageError(f"no device {name!r} on this machine; here: {present}")
    raise UsageError(
        f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N; here: {present}"
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has native bfloat16; emulation is slower than float32."""
    if device.type == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BF16_FLAGS & _cpu_flags())


def bfloat16_gain(device: torch.device) -> float:
    """How many times as fast a convolution runs in bfloat16 as in float32; takes about 0.2 s.

    The best of five runs of each. On a CPU it measures the processor time of one thread, which does
    not depend on other work on the machine.
    """
    import torch

    images, channels, side = (1, 128, 48) if device.type == "cpu" else (16, 256, 128)
    best = {torch.float32: math.inf, torch.bfloat16: math.inf}
    with torch.inference_mode(), one_thread(device):
        for turn in range(6):
            for dtype in best:
                x = torch.ones((images, channels, side, side), dtype=dtype, device=device)
                weight = torch.ones((channels, channels, 3, 3), dtype=dtype, device=device)
                x = x.contiguous(memory_format=torch.channels_last)
                start = _clock(device)
                torch.conv2d(x, weight)
                seconds = _clock(device) - start
                if turn:  # the first one builds the kernels
                    best[dtype] = min(best[dtype], seconds)
    return best[torch.float32] / best[torch.bfloat16]


def _kept_bfloat16_gain(device: torch.device) -> float:
    facts = ["bfloat16", device.type]
    if device.type == "cuda":
        import torch

        facts.append(torch.cuda.get_device_name(device))
    return kept_gain(tuple(facts), ("torch",), lambda: bfloat16_gain(device))


def _clock(device: torch.device) -> float:
    """The time in seconds, after the device has finished all work."""
    if device.type == "cpu":
        return time.thread_time()
    import torch

    torch.cuda.synchronize(device)
    return time.perf_counter()


def resolve_precision(name: str, device: torch.device) -> str:
    """Resolve a precision: "auto" is bfloat16 if it is faster, otherwise float32; see INT8, too.

    "auto" measures (`bfloat16_gain`) if the device has bfloat16, once on each machine (`gains`). A
    run resolves it once and passes the result to its workers; a later run takes it from the output.
    Raises UsageError for an unknown name or a precision that the device does not support.
    """
    if name in ("auto", INT8):
        pays = has_bfloat16(device) and _kept_bfloat16_gain(device) >= _PAYS
        fastest = "bfloat16" if pays else "float32"
        return fastest if name == "auto" else f"{INT8}+{fastest}"
    if name not in (*PRECISIONS, f"{INT8}+bfloat16", f"{INT8}+float32"):
        raise UsageError(f"unknown precision {name!r}; expected auto, {', '.join(PRECISIONS)}")
    if name == "float16" and device.type == "cpu":
        raise UsageError(
            "precision float16 needs a GPU: processors compute it slower than float32 and overflow "
            "at 65504; use `precision` bfloat16 or float32"
        )
    return name


def is_int8(precision: str) -> bool:
    return precision.partition("+")[0] == INT8


def torch_precision(precision: str) -> str:
    """What torch computes in: of a resolved precision, the name of a dtype."""
    return precision.removeprefix(f"{INT8}+")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The context in which a model computes in `precision`; weights and inputs stay float32."""
    dtype = torch_precision(precision)
    if dtype == "float32":
        return nullcontext()
    import torch

    return torch.autocast(device.type, dtype=getattr(torch, dtype))


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, let torch compute with one thread: for small tensors, waking and joining other
    threads takes longer than the work."""
    import torch

    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def use_threads(count: int) -> None:
    """Let torch compute with so many threads in this thread, whatever other threads set later."""
    import torch

    # Without this, a thread takes the number that any thread has set last when it first computes.
    torch.get_num_threads()
    torch.set_num_threads(count)


def _cpu_flags() -> set[str]:
    """The feature flags of the processor; empty if the system does not report them."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return set()
    listed = (line for line in lines if line.lower().startswith(("flags", "features")))
    return set(next(listed, "").partition(":")[2].split())
