"""The leases of runs that share an output in a bucket: one for each shard, or one for all of it.

    s3://bucket/.masks.parquet.lease                     of a run without shards
    s3://bucket/.masks.parquet.shards/3-of-64.lease      of shard 3/64

Which of them may be held at the same time is decided without a third object: a run first takes its
own lease and looks at the others afterwards. Of two runs that exclude each other, the one that took
its lease last sees the other.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable

from segcli.cloud.ahead import in_threads
from segcli.cloud.errors import StoreError
from segcli.cloud.objects import list_objects
from segcli.cloud.writing import delete
from segcli.errors import Locked, OutputError
from segcli.store.directory import lease_url
from segcli.store.lease import Holder, Lease, find_holder, look_s, release, take
from segcli.store.shard_spec import ShardSpec

_LEASE = re.compile(r"\d+-of-(\d+)\.lease")


def shards_url(url: str) -> str:
    """The folder with the leases of shards, next to the output."""
    return lease_url(url).removesuffix(".lease") + ".shards"


def turn_url(url: str) -> str:
    """What the shards of an empty output take turns with at the first commit."""
    return f"{shards_url(url)}/turn.lease"


def take_output(
    url: str, split: ShardSpec | None, *, wait: bool, waiting: Callable[[str], None] | None = None
) -> Lease:
    """The lease of a run on the output at `url`, or of its shard.

    Raises Locked when a run that excludes this one is alive (unless `wait`), OutputError.
    """
    if split is None:
        own, output = lease_url(url), url
    else:
        own = f"{shards_url(url)}/{split.index}-of-{split.count}.lease"
        output = f"shard {split} of {url}"
    while True:
        lease = take(own, output=output, wait=wait, waiting=waiting)
        try:
            others = [*_others(url, split)]
            alive = _first_alive(others)
            if alive is None:
                if split is None:
                    _tidy(others)
                return lease
        except StoreError as error:
            lease.close()
            raise OutputError(f"cannot read the leases of {url}: {error}") from None
        except BaseException:
            lease.close()
            raise
        # It is released while waiting, or two such runs would wait for one another.
        lease.close()
        if not wait:
            raise Locked(_refusal(url, split, alive))
        time.sleep(random.uniform(0.5, 1.5) * look_s())


def has_shards(url: str) -> bool:
    """Whether a shard holds its lease; it may be dead by now. Raises StoreError."""
    held = in_threads(find_holder, _leases_of_shards(url, None))
    return any(holder is not None for holder in held)


def _others(url: str, split: ShardSpec | None) -> Iterable[str]:
    """The leases of runs that this one must not work beside."""
    if split is not None:
        yield lease_url(url)
    yield from _leases_of_shards(url, split)


def _leases_of_shards(url: str, split: ShardSpec | None) -> Iterable[str]:
    """All, or those of shards of another number."""
    for listed in list_objects(shards_url(url)):
        name = listed.key.rpartition("/")[2]
        found = _LEASE.fullmatch(name)
        if found and (split is None or int(found[1]) != split.count):
            yield f"{shards_url(url)}/{name}"


def _first_alive(urls: Iterable[str]) -> str | None:
    """One of the leases whose holder renews it; those that run out are released.

    Takes as long as the leases have left, LEASE_S at most, if their holders are dead.
    """
    seen: dict[str, tuple[Holder, float]] = {}
    waiting = list(urls)
    while True:
        now = list(in_threads(find_holder, waiting))
        held = [(url, holder) for url, holder in zip(waiting, now, strict=True) if holder]
        for url, holder in held:
            first, since = seen.setdefault(url, (holder, time.monotonic()))
            if first.there.data != holder.there.data:
                return url
            if time.monotonic() - since >= holder.promised:
                release(url, holder)  # if it has not been renewed in between
        if not held:
            return None
        waiting = [url for url, _ in held]
        time.sleep(look_s())


def _tidy(urls: Iterable[str]) -> None:
    """Remove released leases of shards: a shard that begins now sees this run's, and gives way."""
    list(in_threads(delete, urls))


def _refusal(url: str, split: ShardSpec | None, alive: str) -> str:
    name = alive.rpartition("/")[2]
    found = _LEASE.fullmatch(name)
    if found is None:
        return f"a run without `shard` works on {url}; wait for its end with `wait=True`"
    if split is None:
        return f"shards of a run work on {url} ({name}); wait for their end with `wait=True`"
    return (
        f"`shard` {split}: a run in {found[1]} shards is using {url}, and shards of different "
        f"numbers share images; use the same number, or wait for its end with `wait=True`"
    )
