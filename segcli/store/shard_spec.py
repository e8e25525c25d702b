"""Split a run over machines: the hash of its key assigns each image to a shard."""

from __future__ import annotations

import re
from dataclasses import dataclass

from segcli.errors import UsageError
from segcli.keys import first_spelling, path_from_key
from segcli.store.key_index import key_hash

MOST = 100_000
"""The maximum number of shards; more would be a typing error."""

_WORDS = re.compile(r"(0|[1-9]\d{0,8})/([1-9]\d{0,8})")


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """Shard `index` of `count`, counted from 0. `key in split` is whether an image is its own.

    Every key belongs to one shard, on every machine and in every version. The frames of one video
    (`cam1/0800.mp4#frame=125`) stay together, so that each video is decoded by one shard.
    """

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> ShardSpec:
        """From "I/N". Raises UsageError."""
        found = _WORDS.fullmatch(text)
        if not found:
            raise UsageError(
                f"`shard` {text}: expected I/N, e.g. 0/8 for the first of eight "
                f"(in a Slurm array of 0-7: $SLURM_ARRAY_TASK_ID/8)"
            )
        index, count = int(found[1]), int(found[2])
        if count > MOST:
            raise UsageError(f"`shard` {text}: expected at most {MOST:,} shards")
        if index >= count:
            last = f"{count - 1}/{count}"
            raise UsageError(
                f"`shard` {text}: shards count from 0, so the last one is {last} "
                f"(a Slurm array of 0-{count - 1})"
            )
        return ShardSpec(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def __contains__(self, key: str) -> bool:
        # The first half of the hash orders the table of done keys; the second is free.
        # It is taken of the key's first spelling, so that outputs of older versions go on.
        if "#" in key or "\\" in key:
            key = first_spelling(path_from_key(key)).partition("#frame=")[0]
        digest = key_hash(key)
        return int.from_bytes(digest[8:], "big") % self.count == self.index

    def is_foreign(self, shard: str | None) -> bool:
        """Whether no key of a part that `shard` ("I/N", None: an undivided run) made is ours."""
        if shard is None:
            return False
        other = ShardSpec.parse(shard)
        return other.count == self.count and other.index != self.index
