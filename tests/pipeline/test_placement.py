"""Devices by name, and the cores and the memory divided among the workers."""

from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.pipeline import placement, resources
from segcli.pipeline.placement import Placement, kinds, memory_nodes, parse_devices, plan
from segcli.pipeline.resources import CpuShare, parse_size, queue_bytes


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (resources, placement):
        monkeypatch.setattr(module, "cores", lambda: tuple(range(8)))
    monkeypatch.setattr(placement, "memory_nodes", lambda: [tuple(range(8))])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", ("auto",)),
        ("all", ("all",)),
        ("cuda:0, cuda:1", ("cuda:0", "cuda:1")),
        ("cpu,cuda", ("cpu", "cuda")),
    ],
)
def test_devices_are_read(text: str, expected: tuple[str, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tpu", "expected auto, all, or a comma-separated list"),
        ("all,cpu", "expected auto, all, or a comma-separated list"),
        ("auto,cpu", "expected auto, all, or a comma-separated list"),
        ("cuda,cuda:0", "twice"),
        ("", "expected auto, all, or a comma-separated list"),
    ],
)
def test_other_devices_are_refused(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=f"`device` {text}.*{named}"):
        parse_devices(text)


def test_kinds_of_devices() -> None:
    assert kinds(("cuda:0", "cuda:1")) == {"cuda"}
    assert kinds(("cpu", "cuda")) == {"cpu", "cuda"}


@pytest.mark.usefixtures("eight_cores")
def test_cores_are_divided_among_replicas() -> None:
    assert plan(["cpu"], 4, decode_threads=None) == [Placement("cpu", CpuShare(2, 2))] * 4


@pytest.mark.usefixtures("eight_cores")
def test_one_worker_has_everything() -> None:
    assert plan(["cpu"], 1, decode_threads=None) == [Placement("cpu", CpuShare(8))]


@pytest.mark.usefixtures("eight_cores")
def test_every_device_has_its_replicas() -> None:
    found = plan(["cuda:0", "cuda:1"], 2, decode_threads=3)
    assert [place.device for place in found] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert {place.share for place in found} == {CpuShare(3, 2)}


@pytest.mark.usefixtures("eight_cores")
def test_more_workers_than_cores_have_one_thread_each() -> None:
    assert {place.share for place in plan(["cpu"], 20, decode_threads=None)} == {CpuShare(1, 1)}


@pytest.mark.usefixtures("eight_cores")
def test_replicas_are_spread_over_the_memory_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [(0, 1, 2, 3), (4, 5, 6, 7)]
    monkeypatch.setattr(placement, "memory_nodes", lambda: nodes)
    found = plan(["cpu"], 3, decode_threads=None)
    assert [place.share.cores for place in found] == [nodes[0], nodes[1], nodes[0]]


def test_memory_nodes_hold_the_usable_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "cores", lambda: (0, 1, 4, 5))
    for number, text in enumerate(("0-1,4\n", "2-3,5-7\n", "8-9\n", "\n")):
        (tmp_path / f"node{number}").mkdir()
        (tmp_path / f"node{number}" / "cpulist").write_text(text)
    assert memory_nodes(tmp_path) == [(0, 1, 4), (5,)]
    assert memory_nodes(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("800MB", 800 << 20), ("4g", 4 << 30), ("1.5 GiB", 3 << 29), ("1024", 1024)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_other_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="`max_memory` much: expected a size such as 4GB"):
        parse_size("much")


def test_images_that_wait_get_half_of_what_the_model_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "resident_bytes", lambda: 600 << 20)
    assert queue_bytes(None, workers=2) == 768 << 20
    assert queue_bytes(2 << 30, workers=2) == (1024 - 600) // 2 << 20
    assert queue_bytes(8 << 30, workers=2) == 768 << 20
    with pytest.raises(UsageError, match=r"`max_memory` 1.0GB is too little for 2 .* 600MB; give"):
        queue_bytes(1 << 30, workers=2)
