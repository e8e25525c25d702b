"""Kills coordinators, workers and shards at random moments, fills disks, and checks what is left.

Each round makes an output of its own: runs that are killed, stand still for a minute or meet a full
disk, one after another, then one that nobody disturbs. After every kill all parts must be readable
and no image there twice; in the end the rows must be those of a run that nothing befell, and of
each worker that was killed one chunk at most may have been done again. A worker that stands still
for longer than --chunk-timeout must have been replaced before it could go on.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

TOY = Path(__file__).resolve().parents[2] / "tests" / "toy"
sys.path.insert(0, str(TOY))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow.parquet as pq  # noqa: E402
import toy_data  # noqa: E402
import toy_faults  # noqa: E402
import toy_processes  # noqa: E402
import toy_worker  # noqa: E402
from PIL import Image  # noqa: E402

from scripts.ci.soak_images import soak_images  # noqa: E402
from segcli.pipeline.job import Load  # noqa: E402

IMAGES, CHUNK, WORKERS = 40, 4, 3
KILLED, FULL = -9, 7
STOPPED_S, TIMEOUT_S = 60.0, 15  # how long somebody stands still, and how long a worker may


@dataclass
class Kind:
    """A way to run: `runs` are the words of processes that work beside each other."""

    name: str
    runs: tuple[tuple[str, ...], ...]
    victims: tuple[str, ...]
    seconds: float  # that its work takes, about
    load: Load | None = None
    expected: list = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)


def kinds() -> list[Kind]:
    workers = ("--replicas", str(WORKERS))
    fake = toy_worker.load_fake
    everybody = ("a worker", "the coordinator", "both")
    slow = ("--model", "troubled/slow")
    return [
        Kind("a model in one process", (slow,), ("the coordinator",), 2.0),
        Kind(f"{WORKERS} workers", (("--model", "toy", *workers),), everybody, 0.3, fake),
        Kind(
            "2 shards of 3 workers",
            tuple(("--model", "toy", *workers, "--shard", f"{i}/2") for i in range(2)),
            everybody,
            0.2,
            fake,
        ),
    ]


class Broken(Exception):
    """A promise that was not kept."""


@dataclass
class Round:
    """One output, from its first run to its last."""

    kind: Kind
    images: Path
    home: Path
    chance: random.Random
    may_kill: Callable[[], bool]
    lost: int = 0

    @property
    def out(self) -> Path:
        return self.home / "m.parquet"

    def go(self) -> None:
        for number in range(self.chance.randint(1, 4)):
            self.disturbed(number)
        codes = [toy_processes.finish(p, 300) for p in self.begin("last", "--wait")]
        self.expect(codes == [0] * len(codes), f"the last runs ended with {codes}")
        self.expect(toy_data.rows(self.out) == self.kind.expected, "the rows are others")
        left = [n for n in os.listdir(self.home) if n.endswith(".staging")]
        self.expect(not left, f"left over: {left}")
        if self.kind.load is not None:
            done = Counter((self.home / "done").read_text().split())
            again = done.total() - len(done)
            bound = CHUNK * self.lost
            self.expect(again <= bound, f"{again} images were done again, {bound} may be")
            self.kind.counts["again"] += again
        self.kind.counts["rounds"] += 1

    def begin(self, name: str, *more: str, full_disk: bool = False) -> list[BaseProcess]:
        """A process for each of the kind's runs; of a full disk the first file has some bytes."""
        options = ["--chunk-size", str(CHUNK), "--batch-size", "2", "--log-format", "json", *more]
        words = ["predict", str(self.images), "--out", str(self.out), "--device", "cpu", *options]
        return [
            toy_processes.start(
                *words,
                *own,
                log=self.home / f"{name}-{i}.log",
                load=self.kind.load,
                before=partial(toy_faults.count_in, str(self.home / "done")),
                file_limit=2000 if full_disk else None,
            )
            for i, own in enumerate(self.kind.runs)
        ]

    def disturbed(self, number: int) -> None:
        """Runs that are killed at some moment, or find the disk full."""
        if self.chance.random() < 0.15:
            processes = self.begin(str(number), "--wait", full_disk=True)
            codes = [toy_processes.finish(p, 300) for p in processes]
            self.expect({*codes} <= {0, FULL}, f"with a full disk they ended with {codes}")
            self.kind.counts["full disks"] += codes.count(FULL)
            self.lost += WORKERS * len(codes)
            return self.look()
        if self.chance.random() < 0.03:
            return self.stopped(number)
        processes = self.begin(str(number), "--wait")
        which = self.chance.randrange(len(processes))
        victim, whom = processes[which], self.chance.choice(self.kind.victims)
        if self.chance.random() < 0.2:  # while it starts
            time.sleep(self.chance.random())
        else:
            self.wait_for_work(victim, self.home / f"{number}-{which}.log")
        if self.may_kill() and victim.is_alive():
            self.lost += toy_faults.kill(victim.pid or 0, whom, self.chance)
            self.kind.counts[whom] += 1
        codes = [toy_processes.finish(p, 300) for p in processes]
        self.expect({*codes} <= {0, KILLED}, f"after killing {whom} they ended with {codes}")
        return self.look()

    def stopped(self, number: int) -> None:
        """A process of a run stands still for a minute; for a worker that may be too long."""
        whom = self.chance.choice([v for v in self.kind.victims if v != "both"])
        too_long = whom == "a worker" and self.chance.random() < 0.5
        more = ("--chunk-timeout", str(TIMEOUT_S)) if too_long else ()
        processes = self.begin(str(number), "--wait", *more)
        which = self.chance.randrange(len(processes))
        self.wait_for_work(processes[which], self.home / f"{number}-{which}.log")
        standing = toy_faults.stop(processes[which].pid or 0, whom, self.chance)
        if standing is not None:
            time.sleep(STOPPED_S)
            self.look()
            self.expect(standing.is_gone or not too_long, "a worker stood still and was not killed")
            self.kind.counts["stopped, replaced" if too_long else f"stopped: {whom}"] += 1
            # On a busy machine others may seem to hang as well.
            self.lost += too_long * WORKERS * len(processes)
            standing.go_on()
        codes = [toy_processes.finish(p, 300) for p in processes]
        self.expect({*codes} == {0}, f"after stopping {whom} they ended with {codes}")
        self.look()

    def wait_for_work(self, process: BaseProcess, log: Path) -> None:
        """Until some moment in the course of the work."""
        while process.is_alive() and not (log.exists() and '"started"' in log.read_text()):
            time.sleep(0.005)
        time.sleep(self.chance.random() * self.kind.seconds)

    def look(self) -> None:
        """What a reader would see now."""
        if not self.out.exists():
            return
        for part in self.out.iterdir():
            try:
                pq.read_table(part)
            except Exception as error:
                raise Broken(f"{self.home}: {part.name} cannot be read: {error}") from error
            self.kind.counts["parts read"] += 1
        keys = toy_data.keys(self.out)
        self.expect(len(keys) == len({*keys}), "an image is there twice")

    def expect(self, kept: bool, otherwise: str) -> None:
        if not kept:
            raise Broken(f"{self.home}: {otherwise}")


def main() -> int:
    options = parsed()
    if options.images is not None:
        return soak_images(options.images, options.seed)
    home = Path(tempfile.mkdtemp(prefix="soak-"))
    images = home / "images"
    images.mkdir()
    for number in range(IMAGES):
        Image.fromarray(toy_data.picture(number)).save(images / f"{number:04d}.png")
    all_kinds = kinds()
    for kind in all_kinds:
        learn(kind, images, home / f"reference {kind.name}")
    started = time.monotonic()
    end = started + options.minutes * 60

    def killed() -> int:
        return sum(kind.counts[v] for kind in all_kinds for v in {*kind.victims})

    def play(number: int) -> None:
        chance = random.Random(f"{options.seed}/{number}")
        folder = home / f"round-{number}"
        folder.mkdir()
        kind = all_kinds[number % len(all_kinds)]
        Round(kind, images, folder, chance, lambda: killed() < options.kills).go()
        shutil.rmtree(folder)

    numbers, over = itertools.count(), threading.Event()

    def lane() -> None:
        """One round after another, beside other lanes."""
        try:
            while time.monotonic() < end and killed() < options.kills and not over.is_set():
                play(next(numbers))
        finally:
            over.set()  # also when a promise was broken: the first one is told

    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for ended in as_completed([pool.submit(lane) for _ in range(options.jobs)]):
                ended.result()
        except Broken as broken:
            print(f"BROKEN (seed {options.seed}): {broken}", file=sys.stderr)
            return 1
        finally:
            over.set()
            show(all_kinds, time.monotonic() - started)
    print("Every output ended equal to that of a run that nothing befell.")
    shutil.rmtree(home)
    return 0


def learn(kind: Kind, images: Path, home: Path) -> None:
    """What a run of this kind makes when nothing befalls it."""
    home.mkdir()
    fresh = Round(kind, images, home, random.Random(), lambda: False)
    codes = [toy_processes.finish(p, 300) for p in fresh.begin("reference")]
    assert codes == [0] * len(codes), codes
    kind.expected = toy_data.rows(fresh.out)


def show(all_kinds: list[Kind], seconds: float) -> None:
    """A table of what was done."""
    titles = {"rounds": "outputs"}
    titles |= {name: f"killed: {name}" for name in ("a worker", "the coordinator", "both")}
    titles |= {f"stopped: {name}": f"stopped: {name}" for name in ("a worker", "the coordinator")}
    titles |= {"stopped, replaced": "stopped: a worker, too long", "full disks": "full disks"}
    titles |= {"parts read": "parts read", "again": "images done again"}
    print("| kind | " + " | ".join(titles.values()) + " |")
    print("|---|" + "---:|" * len(titles))
    for kind in all_kinds:
        print(f"| {kind.name} | " + " | ".join(str(kind.counts[n]) for n in titles) + " |")
    print(f"{seconds:.0f} s")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, help="begin no round after so many; default: 5 without --kills"
    )
    parser.add_argument("--kills", type=int, help="nor after so many kills; default: any number")
    parser.add_argument("--seed", type=int, default=0, help="which kills; their moments vary")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    parser.add_argument("--images", type=int, metavar="N", help="instead, N damaged image files")
    options = parser.parse_args()
    if options.minutes is None:
        options.minutes = 5.0 if options.kills is None else math.inf
    if options.kills is None:
        options.kills = sys.maxsize
    return options


if __name__ == "__main__":
    sys.exit(main())
