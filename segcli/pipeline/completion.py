"""Archives and videos of which all images have rows: a later run does not open them.

The footer of a part has a hash for each, over its key, size and time, the options that select its
images, and the number of its rows. If the file, the choice of frames or the number of rows changes,
the hash differs, and the file is listed again.

A file that was still being written has failed rows that its later state does not list again, such
as the one that says where a video ended. They are removed when that state has been processed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

from segcli.cloud.urls import is_url
from segcli.keys import container_of, containers_of, prefix_of, split_frame
from segcli.pipeline.options import PredictOptions
from segcli.sources.containers import Containers
from segcli.store import Output
from segcli.types import Sample

_VERSION = 2
"""Raised whenever other images of the same archive or video are listed than before."""


@dataclass(slots=True)
class Completion:
    """`skipped` images, `skipped_failed` of them failed, are in containers that were not opened.

    `complete` are the hashes of the containers that are complete since this run. `_doubtful` are
    containers with failed rows that may be of an earlier state, with their hashes once complete.
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
    _doubtful: dict[str, tuple[Sample, bytes | None]] = field(default_factory=dict)

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
            if failed:
                self._doubtful[container.key] = container, None
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

    def record(self) -> None:
        """Note in the output what is complete, and remove outdated rows. Raises OutputError."""
        outdated = self._outdated()
        changed = {file for rows in outdated.values() for file in rows.values()}
        for key, (_, found) in self._doubtful.items():
            if found is not None and key not in changed:  # it counts the rows
                self.complete.add(found)
        self.output.record_complete(self.complete)
        for part, rows in outdated.items():
            self.output.remove(part, [*rows])

    def _outdated(self) -> dict[str, dict[str, str]]:
        """Part by part, the keys of outdated rows with the key of the archive or video."""
        inventory, found = self.output.inventory, dict[str, dict[str, str]]()
        now = {key: file for key, (file, done) in self._doubtful.items() if done is not None}
        for part, _, keys in inventory.unlisted() if now else ():
            for key in keys:
                file = next(filter(None, map(now.get, (key, *containers_of(key)))), None)
                if file is not None and inventory.is_outdated(key, file):
                    found.setdefault(part, {})[key] = file.key
        return found

    def _container(self, sample: Sample) -> str | None:
        if sample.member is not None:
            return container_of(split_frame(sample.key)[0])  # of a video in an archive, too
        if sample.frame is not None:
            return container_of(sample.key)
        return sample.key if sample.key in self.containers.listed else None

    def _check(self, key: str) -> None:
        if key not in self._closed or self._open[key]:
            return
        self._closed.discard(key)
        del self._open[key]
        container = self.containers.listed.pop(key, None)
        if container is None or container.size_bytes is None or key in self.containers.unread:
            return
        if key in self._doubtful:
            self._doubtful[key] = container, self._hash(container)
        else:
            self.complete.add(self._hash(container))

    def _hash(self, container: Sample) -> bytes:
        roots = self.output.writer.footer.settings.roots
        root = roots[prefix_of(container.key, roots)]
        rows, _ = self.output.inventory.rows_in(container.key)
        facts = [container.key, container.size_bytes, container.mtime_ns, root, self.chosen, rows]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).digest()
