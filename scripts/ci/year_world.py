"""Cameras that drop files in virtual time, and a ledger of what an output must say about them."""

from __future__ import annotations

import os
import random
import shutil
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HOUR_S, DAY_S = 3600, 86400
START_S = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
WAIT_S = 300  # --older-than 5m
KEEP_D = 10  # the recorder deletes older files
CAMERAS = ("gate", "yard", "ftp")  # with the same names of files
FRAMES = (0, 10, 20)  # of the clip, one per second
DAMAGED = -1


@dataclass(frozen=True)
class Version:
    """One state of a file: how many masks it shows (-1: it is damaged), its size and its time."""

    masks: int
    size: int
    mtime_s: int


@dataclass
class Ledger:
    """What one output must and may have: `must` are the versions that a complete run has seen,
    `may` those that only runs have seen that did not end well."""

    must: dict[str, Version] = field(default_factory=dict)
    may: defaultdict[str, list[Version]] = field(default_factory=lambda: defaultdict(list))

    def note(self, seen: Iterator[tuple[str, Version]], *, is_complete: bool) -> None:
        for key, version in seen:
            if is_complete:
                self.must[key] = version
                self.may.pop(key, None)
            elif self.must.get(key) != version:
                self.may[key].append(version)

    def allowed(self, key: str) -> list[Version]:
        return [*([self.must[key]] if key in self.must else []), *self.may.get(key, [])]


@dataclass
class World:
    """The source folder in virtual time; `now` is the true time and `clock` that of the machine."""

    folder: Path
    clip: Path
    chance: random.Random
    now: int = START_S
    clock_offset_s: int = 0
    files: dict[str, Version] = field(default_factory=dict)
    later: list[tuple[int, str, Version]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def clock(self) -> float:
        return float(self.now + self.clock_offset_s)

    def hour(self) -> None:
        """An hour passes, in which the cameras and the recorder work."""
        self.now += HOUR_S
        for at, key, version in [*self.later]:
            if at <= self.now:
                self.later.remove((at, key, version))
                self.write(key, version)
        stamp = datetime.fromtimestamp(self.now, UTC).strftime("%Y%m%d-%H%M%S")
        for camera in CAMERAS:
            self._still(f"{camera}/{stamp}.png")
        self.write("ftp/latest.png", self._version(self.now - 400))  # of whichever camera is last
        self.kinds["overwritten"] += 1
        if self.chance.random() < 0.15:
            self.write(f"gate/{stamp}.mkv", self._version(self.now - 900, clip=True))
            self.kinds["clips"] += 1
        self._touch_old_files()

    def _still(self, key: str) -> None:
        kind = self.chance.choices(
            ("new", "late", "duplicate", "corrupt", "being written", "slow copy", "set back",
             "ahead"),
            (70, 6, 5, 5, 6, 3, 2, 3),
        )[0]  # fmt: skip
        self.kinds[kind] += 1
        at = self.now - self.chance.randrange(WAIT_S + 10, HOUR_S)
        version = self._version(at)
        if kind == "late":
            self.later.append((self.now + HOUR_S * self.chance.randint(2, 48), key, version))
        elif kind == "corrupt":
            self.write(key, Version(DAMAGED, 7, at))
            if self.chance.random() < 0.5:  # it is sent again
                self.later.append((self.now + HOUR_S, key, self._version(at + 200)))
        elif kind == "being written":
            self.write(key, Version(DAMAGED, 7, self.now - 20))
            self.later.append((self.now + HOUR_S, key, self._version(self.now + 40)))
        elif kind == "slow copy":  # which keeps the time of the original
            self.write(key, Version(DAMAGED, 7, at))
            self.later.append((self.now + HOUR_S, key, version))
        elif kind == "set back":
            self.write(key, self._version(at - 40 * DAY_S))
        elif kind == "ahead":
            self.write(key, self._version(at + 3 * HOUR_S))
        else:
            self.write(key, version)
            if kind == "duplicate":
                self.write(key.replace(".png", " (1).png"), version)

    def _version(self, mtime_s: int, *, clip: bool = False) -> Version:
        masks = self.chance.randint(0, 3)
        return Version(masks, self.clip.stat().st_size if clip else 20 + masks, mtime_s)

    def _touch_old_files(self) -> None:
        for key in [k for k, v in self.files.items() if v.mtime_s < self.now - KEEP_D * DAY_S]:
            self.remove(key)
        if self.chance.random() < 0.1:
            self.remove(self.chance.choice([*self.files]))
            self.kinds["deleted"] += 1
        if self.chance.random() < 0.1:
            key = self.chance.choice([*self.files])
            new = key.replace("/", "/renamed-", 1)
            if new not in self.files:
                os.rename(self.folder / key, self.folder / new)
                self.files[new] = self.files.pop(key)
                self.later = [(at, new if k == key else k, v) for at, k, v in self.later]
                self.kinds["renamed"] += 1

    def write(self, key: str, version: Version) -> None:
        write_file(self.folder / key, version, self.clip)
        self.files[key] = version

    def remove(self, key: str) -> None:
        (self.folder / key).unlink()
        del self.files[key]

    def seen(self) -> Iterator[tuple[str, Version]]:
        """What a run that lists the source now sees: keys with the versions of their files."""
        for key, version in self.files.items():
            if self.clock() - version.mtime_s >= WAIT_S:
                yield from ((image, version) for image in images_of(key))


def images_of(key: str) -> list[str]:
    return [f"{key}#frame={n}" for n in FRAMES] if key.endswith(".mkv") else [key]


def write_file(path: Path, version: Version, clip: Path) -> None:
    """A file with content that `masks_in` understands, put in place by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    if path.suffix == ".mkv":
        shutil.copy(clip, unfinished)
    else:
        text = b"damaged" if version.masks == DAMAGED else b"masks=%d" % version.masks
        unfinished.write_bytes(text.ljust(version.size))
    os.utime(unfinished, (version.mtime_s, version.mtime_s))
    os.rename(unfinished, path)


def masks_in(key: str, content: bytes) -> int:
    """How many masks an image shows; -1 if it is damaged."""
    if "#frame=" in key:
        return zlib.crc32(key.encode()) % 3
    return int(content[6:7]) if content.startswith(b"masks=") else DAMAGED
