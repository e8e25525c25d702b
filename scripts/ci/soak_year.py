"""A year of an hourly job in virtual time: soak --year [--days N] [--seed S] [--keep].

Cameras drop files (`year_world`); the job runs every hour and is killed in the middle of a step,
finds the disk full, overlaps with another run, runs out of time, or does not run at all. Rows are
pruned and parts merged twice a day, which is killed as well. After a third of the time, the model
changes. In the end, every frame that a complete run has seen must be in the output once, with what
its file showed last, or be pruned; nothing else may be there; and the counts per day, camera and
category must be those of one undisturbed run over the same files. SIGUSR1 ends the year early.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

TOY = Path(__file__).resolve().parents[2] / "tests" / "toy"
sys.path[:0] = [str(TOY), str(TOY.parent / "video")]

from numbered import write_clip  # noqa: E402

from scripts.ci import year_model  # noqa: E402
from scripts.ci.year_accounts import check, final_counts  # noqa: E402
from scripts.ci.year_faults import Killed, full_disk, killed_at  # noqa: E402
from scripts.ci.year_world import DAY_S, Ledger, World  # noqa: E402
from segcli.errors import Locked, NothingDone, OutputError, UsageError  # noqa: E402
from segcli.pipeline import PredictOptions, predict  # noqa: E402
from segcli.pipeline.events import Summary  # noqa: E402
from segcli.retention import PruneOptions, prune  # noqa: E402
from segcli.store import compact, lock_output, status  # noqa: E402
from segcli.store.verification import verify  # noqa: E402

PRUNE_D = 30


@dataclass
class Job:
    """The line in the crontab: an output, and the ledger of what it must have."""

    world: World
    out: Path
    max_masks: int
    partition_by: str | None = None
    ledger: Ledger = field(default_factory=Ledger)

    def options(self, **more: Any) -> PredictOptions:
        given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | more
        return PredictOptions(
            source=str(self.world.folder), out=self.out, max_masks=self.max_masks, chunk_size=6,
            older_than="5m", count_ahead=False, partition_by=self.partition_by, **given,
        )  # fmt: skip

    def run(self, **more: Any) -> str:
        """How it ended: "complete", or in one of the ways in which a cron job may end."""
        summaries: list[Summary] = []

        def report(event: object) -> None:
            if isinstance(event, Summary):
                summaries.append(event)

        ended, seen = "killed", [*self.world.seen()]
        try:
            predict(self.options(**more), report=report, load=year_model.load)
            ended = "out of time" if summaries[-1].is_out_of_time else "complete"
        except NothingDone:
            ended = "complete"  # all images of this hour were damaged
        except Locked:
            ended = "locked"
        except OutputError:
            ended = "disk full"
        except Killed:
            pass
        except UsageError:
            if seen:
                raise
            ended = "nothing there"
        self.ledger.note(iter(seen), is_complete=ended == "complete")
        return ended


@dataclass
class Year:
    """The simulation. `share` of the runs are disturbed; `is_stopped` ends it before its time."""

    home: Path
    chance: random.Random
    hours: int
    share: float = 0.25
    prune_d: float = PRUNE_D
    is_stopped: bool = False
    hour: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.home / "source").mkdir()
        clip = write_clip(self.home / "clip.mkv", 30)
        self.world = World(self.home / "source", clip, self.chance)
        self.jobs.append(Job(self.world, self.home / "masks.parquet", 100))

    @property
    def job(self) -> Job:
        return self.jobs[-1]

    def go(self, progress: Callable[[int], None] = lambda hour: None) -> None:
        """Raises AssertionError when something is not as it must be."""
        with mock.patch.object(time, "time", self.world.clock):
            off_until = 0
            for hour in range(1, self.hours + 1):
                self.world.hour()
                # Once the clock of the machine is put back, and put right half a day later.
                late = self.hours // 4 <= hour < self.hours // 4 + 12
                self.world.clock_offset_s = -3 * 3600 if late else 0
                if self.chance.random() < 0.003:
                    off_until = hour + self.chance.randint(2, 40)
                if hour < off_until:
                    self.endings["machine off"] += 1
                    continue
                if hour == self.hours // 3:
                    self._change_the_model()
                self.endings[self._run()] += 1
                if hour % 12 == 3:
                    self._maintain()
                self.hour = hour
                progress(hour)
                if self.is_stopped:
                    break
            self._settle()

    def _run(self) -> str:
        if self.chance.random() > self.share:
            return self.job.run()
        kind = self.chance.choice(("kill", "kill", "full", "twice", "time"))
        if kind == "kill":
            with killed_at(self.chance.randint(1, 90), self.chance):
                return self.job.run()
        if kind == "full":
            with full_disk(self.chance.randint(1, 5)):
                return self.job.run()
        if kind == "twice":
            with lock_output(self.job.out):
                return self.job.run()
        return self.job.run(max_time=self.chance.choice((1e-6, 0.02, 0.05)))

    def _maintain(self) -> None:
        """What cron does twice a day; a kill in it may be anywhere, too."""
        out = self.job.out
        if not out.exists():
            return
        before = status(out)
        for name, act in (
            ("prune", lambda: prune(_retention(out, self.prune_d))),
            ("compact", lambda: compact(out, images=500)),
        ):
            try:
                if self.chance.random() < self.share:
                    with killed_at(self.chance.randint(1, 60), self.chance):
                        act()
                else:
                    act()
                self.endings[f"{name}: complete"] += 1
            except Killed:
                self.endings[f"{name}: killed"] += 1
            after = status(out)
            assert before.images + before.pruned == after.images + after.pruned, (name, after)

    def _change_the_model(self) -> None:
        """The old output refuses the new settings; a new one, with partitions, is begun, and the
        old one stays."""
        while self.job.run() != "complete":
            self.world.hour()
        new = Job(self.world, self.home / "masks-b.parquet", 50, "date,camera")
        if not self.job.out.exists():
            return
        before = status(self.job.out)
        refused = Job(self.world, self.job.out, new.max_masks)
        try:
            predict(refused.options(), report=lambda event: None, load=year_model.load)
        except UsageError:
            pass
        else:
            raise AssertionError("the old output took rows of the new model")
        assert status(self.job.out) == before
        self.jobs.append(new)

    def _settle(self) -> None:
        """Undisturbed runs until every file is old enough; then the accounts are checked."""
        self.world.clock_offset_s = 0
        self.world.now += DAY_S
        for key in [key for _, key, _ in self.world.later]:
            self.endings["files that never came"] += key not in self.world.files
        ended = self.job.run()
        assert ended == "complete", ended
        for job in self.jobs:
            found = verify(job.out)
            assert found.is_intact, found.problems[:3]
            self.endings.update(check(job.out, job.ledger))
            undisturbed = self.home / f"undisturbed-{job.out.name}"
            final_counts(job.out, job.ledger, self.world, undisturbed, year_model.load)


def _retention(out: Path, days: float) -> PruneOptions:
    return PruneOptions(out=out, older_than=days * DAY_S, keep_counts=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak --year", description=__doc__)
    parser.add_argument("--year", action="store_true", required=True)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="soak-year-"))
    began = time.monotonic()

    def progress(hour: int) -> None:
        if hour % (10 * 24) == 0:
            print(
                f"day {hour // 24}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
            )

    year = Year(home, random.Random(options.seed), options.days * 24)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(year, "is_stopped", True))
    try:
        year.go(progress)
    except BaseException:
        print(f"BROKEN (seed {options.seed}); see {home}", file=sys.stderr)
        raise
    for title, counts in (("files", year.world.kinds), ("what happened", year.endings)):
        print(f"| {title} | |\n|---|---:|")
        print("\n".join(f"| {name} | {count:,} |" for name, count in counts.most_common()))
        print()
    print(
        f"Every account is exact after {year.hour // 24} days ({time.monotonic() - began:.0f} s)."
    )
    if not options.keep:
        shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
