"""Runs on a Ray cluster: what workers there are room for, and nodes that die."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from toy_data import keys, rows

from segcli.errors import UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.executors.ray_resources import RayResources, check_device, find_resources

TOY = Path(__file__).resolve().parent.parent / "toy"
needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="Ray, an extra, is not installed")


def node(alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        ([node(CPU=8), node(CPU=8)], {}, RayResources(2, 8, 0)),
        ([node(CPU=8), node(CPU=4)], {}, RayResources(3, 4, 0)),
        ([node(CPU=8), node(CPU=8)], {"replicas": 2}, RayResources(4, 4, 0)),
        ([node(CPU=8)], {"cpus": 3}, RayResources(2, 3, 0)),
        ([node(), node(CPU=1), node(False, CPU=64)], {}, RayResources(1, 1, 0)),
        ([node(CPU=32, GPU=4), node(CPU=64, GPU=8), node(CPU=16)], {}, RayResources(12, 8, 1)),
        ([node(CPU=32, GPU=4)], {"replicas": 2}, RayResources(8, 4, 0.5)),
        ([node(CPU=32, GPU=4)], {"device": "cpu"}, RayResources(1, 32, 0)),
        ([node(CPU=1, GPU=4)], {}, RayResources(4, 1, 1)),
        ([node(CPU=8)], {"device": "cuda"}, RayResources(1, 1, 1)),
        ([], {}, RayResources(1, 1, 0)),
    ],
)
def test_workers_fill_the_living_nodes(
    nodes: list[dict[str, Any]], options: dict[str, Any], expected: RayResources
) -> None:
    given = {"device": "auto", "replicas": 1, "cpus": None, **options}
    assert find_resources(nodes, given.pop("device"), **given) == expected


def test_slots_say_device_and_threads() -> None:
    assert (RayResources(1, 8, 0.5).device, RayResources(1, 8, 0).device) == ("cuda", "cpu")
    assert (RayResources(1, 64, 0).threads, RayResources(1, 1, 0).threads) == (16, 1)


def test_which_gpu_is_not_for_the_user_to_say() -> None:
    with pytest.raises(UsageError, match="cuda:1 with `engine='ray'`: expected auto, cpu, cuda"):
        check_device("cuda:1")


def test_without_ray_the_error_says_what_to_install(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = PredictOptions(source=str(pictures(1)), out=tmp_path / "m", model="toy", engine="ray")
    with pytest.raises(UsageError, match=r"segcli\[ray\]"):
        predict(options, report=[].append)
    assert not (tmp_path / "m").exists()


@needs_ray
@pytest.mark.slow
def test_node_that_dies_in_the_middle_loses_and_doubles_nothing(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out, alone = pictures(24), tmp_path / "m.parquet", tmp_path / "alone.parquet"
    (images / "bad.png").write_bytes(b"no picture")
    paths = [str(TOY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",
    }
    done = subprocess.run(
        [sys.executable, TOY / "toy_ray.py", images, out],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode == os.EX_TEMPFAIL:
        pytest.skip(f"Ray could not start its nodes here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["images"], told["parts"]) == (25, 9), "no chunk is committed twice"
    assert any("a worker died over 3 image(s)" in note for note in told["notes"])
    assert len(keys(out)) == len({*keys(out)}) == 25
    options = PredictOptions(
        source=str(images),
        out=alone,
        model="troubled/slow",
        device="cpu",
        precision="float32",
        replicas=0,
    )
    predict(options, report=[].append)
    assert rows(out) == rows(alone)
