"""A Ray cluster of several nodes on this machine; a run on it, in whose middle one node is killed.

python toy_ray.py IMAGES OUT: tells as JSON how many images were done, in how many commits, and
what was noted. Exit code 75: Ray did not get its own nodes to start, segcli was not reached.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Committed, Event, Note
from segcli.pipeline.executors import ray_executor, ray_worker

NODES = 3
TRIES = 4


def start_cluster() -> tuple[Cluster, list[Any]]:
    """A head that computes nothing, and nodes of one core."""
    small = {"object_store_memory": 80 << 20}
    head = {"num_cpus": 0, "include_dashboard": False, **small}
    for attempt in range(TRIES):
        cluster = Cluster()
        try:
            cluster.add_node(**head)
            return cluster, [cluster.add_node(num_cpus=1, **small) for _ in range(NODES)]
        except Exception as error:  # a node whose helpers start in 15 s only on an idle machine
            print(f"attempt {attempt}: {error}", file=sys.stderr)
            cluster.shutdown()
            time.sleep(5)
    print("no Ray cluster could be started on this machine", file=sys.stderr)
    raise SystemExit(os.EX_TEMPFAIL)


def kill_a_node_at_work(cluster: Cluster, nodes: list[Any], actors: list[Any]) -> None:
    """Of the workers that have done an image one is gone, with all of its machine."""
    told = {actor.progress.remote(): actor for actor in actors}
    for answered in ray.wait(list(told), num_returns=len(told), timeout=1)[0]:
        if ray.get(answered)[0].images:
            where = told[answered].__ray_call__.remote(
                lambda _: ray.get_runtime_context().get_node_id()
            )
            (node,) = [n for n in nodes if n.node_id == ray.get(where)]
            cluster.remove_node(node, allow_graceful=False)
            return
    raise AssertionError("nobody works")


def main() -> None:
    images, out = sys.argv[1:]
    folder = tempfile.mkdtemp(prefix="ray")  # short: sockets have short names
    os.environ["RAY_TMPDIR"] = folder
    Path(folder, "ray").mkdir()
    cluster, nodes = start_cluster()
    os.environ["RAY_ADDRESS"] = cluster.address
    told: dict[str, Any] = {"notes": [], "parts": 0}
    actors: list[Any] = []

    def create(*args: Any) -> Any:
        actors.append(ray_worker.create_actor(*args))
        return actors[-1]

    ray_executor.create_actor = create  # to know them

    def report(event: Event) -> None:
        if isinstance(event, Note):
            told["notes"].append(event.message)
        if isinstance(event, Committed):
            told["parts"] += 1
            if told["parts"] == 2:
                kill_a_node_at_work(cluster, nodes, actors)

    options = PredictOptions(
        source=images, out=Path(out), engine="ray", model="troubled/slow", device="cpu",
        precision="float32", chunk_size=3, batch_size=2,
    )  # fmt: skip
    try:
        told["images"] = predict(options, report=report).images
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
