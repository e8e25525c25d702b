"""Archives and videos of which all images have rows: a later run does not open them.

The footer of a part has a hash for each, over its key, size and time, the options that select its
images, and the number of its rows. If the file, the choice of frames or the number of rows changes,
the hash differs, and the file is listed again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

from segcli.cloud.urls import is_url
from segcli.keys import container_of, prefix_of
from segcli.pipeline.options import PredictOptions
from segcli.sources.containers import Containers
from segcli.store import Output
from segcli.types import Sample

_VERSION = 1
"""Raised whenever other images of the same archive or video are listed than before."""


@dataclass(slots=True)
class Completion:
    """`skipped` images, `skipped_failed` of them failed, are in containers that were not opened.

    `complete` are the hashes of the containers that are complete since this run.
    """

    output: Output
    containers: Containers
    chosen: str
    retry_failed: bool = False
    skipped: int = 0
    skipped_failed: int = 0
    complete: set[bytes] = field(default_factory=set)
    _open: Counter[str] = field(default_factory=Counter)  # images in tasks
    _closed: set[str] = field(default_factory=set)  # listed to their end, with images in tasks
    _listing: str | None = None

    @staticmethod
    def of(options: PredictOptions, output: Output, containers: Containers) -> Completion:
        """For a run with these options, which choose what is listed of a container."""
        chosen = [_VERSION, options.every, options.stream, options.include, options.exclude]
        text = json.dumps([*chosen, options.shard])
        found = Completion(output, containers, text, options.retry_failed)
        containers.skip = found.is_done
        return found

    def is_done(self, container: Sample) -> bool:
        """Whether all of it has rows, which are counted then. Called where it is listed."""
        inventory = self.output.inventory
        rows, failed = inventory.rows_in(container.key)
        if not rows or (failed and self.retry_failed):
            return False
        if is_url(container.path) and self.output.done.find(container.key) is not None:
            return False  # its listing broke off, perhaps only because of the network
        if self._hash(container) not in inventory.complete:
            return False
        self.skipped += rows
        self.skipped_failed += failed
        return True

    def listed(self, sample: Sample, *, taken: bool) -> None:
        """The next sample in the order of the source; `taken`: it waits in a task."""
        key = self._container(sample)
        if key != self._listing:
            self.end()
            self._listing = key
        if taken and key is not None:
            self._open[key] += 1

    def end(self) -> None:
        """What was listed last has been listed to its end."""
        if self._listing is not None:
            self._closed.add(self._listing)
            self._check(self._listing)
        self._listing = None

    def settled(self, sample: Sample) -> None:
        """The sample has been in a task and has rows now."""
        if (key := self._container(sample)) is not None:
            self._open[key] -= 1
            self._check(key)

    def _container(self, sample: Sample) -> str | None:
        if sample.frame is not None or sample.member is not None:
            return container_of(sample.key)
        return sample.key if sample.key in self.containers.listed else None

    def _check(self, key: str) -> None:
        if key not in self._closed or self._open[key]:
            return
        self._closed.discard(key)
        del self._open[key]
        container = self.containers.listed.pop(key, None)
        if container is not None and container.size_bytes is not None:
            self.complete.add(self._hash(container))

    def _hash(self, container: Sample) -> bytes:
        roots = self.output.writer.footer.settings.roots
        root = roots[prefix_of(container.key, roots)]
        rows, _ = self.output.inventory.rows_in(container.key)
        facts = [container.key, container.size_bytes, container.mtime_ns, root, self.chosen, rows]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).digest()
