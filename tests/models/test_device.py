import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from segcli.errors import UsageError
from segcli.models import device

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_cpu_is_always_here() -> None:
    assert device.resolve_device("cpu") == CPU
    assert next(iter(device.available_devices())) == "cpu"


def test_auto_takes_the_first_gpu_or_the_cpu() -> None:
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert str(device.resolve_device("auto")) == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "CPU"])
def test_unknown_device_lists_what_is_here(name: str) -> None:
    with pytest.raises(UsageError, match=r"expected auto, cpu, cuda or cuda:N; here: cpu"):
        device.resolve_device(name)


def test_absent_gpu_lists_what_is_here() -> None:
    with pytest.raises(UsageError, match=r"no device 'cuda:99' on this machine; here: cpu \("):
        device.resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse", "bfloat16"),
        ("flags\t\t: fpu amx_bf16", "bfloat16"),
        ("Features\t: fp asimd bf16 i8mm", "bfloat16"),
        ("flags\t\t: fpu avx2 avx512f avx512bw", "float32"),
        ("", "float32"),
    ],
)
def test_auto_precision_follows_the_processor(flags, expected, tmp_path, monkeypatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{flags}\nmicrocode\t: 0x1\n")
    monkeypatch.setattr(device, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(device, "bfloat16_gain", lambda device: 2.0)
    assert device.resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(("gain", "expected"), [(1.1, "float32"), (1.3, "bfloat16")])
def test_auto_precision_wants_a_gain(gain, expected, monkeypatch) -> None:
    monkeypatch.setattr(device, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(device, "bfloat16_gain", lambda device: gain)
    assert device.resolve_precision("auto", CPU) == expected


def test_bfloat16_is_measured_once(monkeypatch) -> None:
    measured: list[torch.device] = []
    monkeypatch.setattr(device, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(device, "bfloat16_gain", lambda device: measured.append(device) or 1.3)
    assert [device.resolve_precision(name, CPU) for name in ("auto", "auto", "int8")] == [
        "bfloat16",
        "bfloat16",
        "int8+bfloat16",
    ]
    assert measured == [CPU]


def test_the_gain_is_measured_with_one_thread(monkeypatch) -> None:
    seen = set()
    convolve = torch.conv2d

    def watched(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        seen.add((x.dtype, torch.get_num_threads()))
        return convolve(x, weight)

    monkeypatch.setattr(torch, "conv2d", watched)
    assert device.bfloat16_gain(CPU) > 0
    assert seen == {(torch.float32, 1), (torch.bfloat16, 1)}


def test_one_thread_is_over_after_an_error() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with contextlib.suppress(ValueError), device.one_thread(CPU):
            assert torch.get_num_threads() == 1
            raise ValueError
        assert torch.get_num_threads() == 3
        with device.one_thread(torch.device("meta")):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_auto_precision_where_the_system_does_not_tell(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(device, "_CPUINFO", tmp_path / "absent")
    assert device.resolve_precision("auto", CPU) == "float32"


def test_named_precision_is_taken() -> None:
    assert device.resolve_precision("float32", CPU) == "float32"
    assert device.resolve_precision("bfloat16", CPU) == "bfloat16"


def test_float16_on_a_processor_is_refused_with_a_reason() -> None:
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        device.resolve_precision("float16", CPU)


def test_unknown_precision() -> None:
    with pytest.raises(UsageError, match="unknown precision 'fp8'; expected auto, float32"):
        device.resolve_precision("fp8", CPU)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_autocast_computes_in_the_precision(precision) -> None:
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    with torch.inference_mode(), device.autocast(CPU, precision):
        result = layer(torch.ones(1, 3, 3, 3))
    assert result.dtype == getattr(torch, precision)
    assert layer[0].weight.dtype == torch.float32


def test_a_thread_keeps_its_number_when_another_sets_one() -> None:
    threads = torch.get_num_threads()
    own, other = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        own.submit(device.use_threads, 3).result()
        other.submit(device.use_threads, 1).result()
        assert own.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(threads)
        own.shutdown()
        other.shutdown()
