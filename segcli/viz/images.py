"""Find the image of a row by its key below the source, and check its size."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from segcli.cloud.urls import is_url
from segcli.errors import ImageError, UsageError
from segcli.images import decode
from segcli.keys import (
    first_spelling,
    key_from_path,
    normalized,
    path_from_key,
    prefix_of,
    prefixed,
    split_frame,
)
from segcli.sources import (
    archive_images,
    clip_file,
    is_archive_name,
    is_root,
    open_source,
    read,
    sample_of_key,
)
from segcli.types import Image, Sample, Size
from segcli.video.file import VideoFile

_MOST_NAMES = 200_000


class MissingFile(ImageError):
    """The file of an image that has rows is not there (any more)."""


class Images:
    """The images of a run: `places` has the source of each key prefix, or one for all keys."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self.roots = tuple(place.root for place in places.values())

    def path(self, key: str) -> Path:
        """Where the file of a key (a video's too) lies. Raises MissingFile when it is not there."""
        return self._place(key).path(key)

    def video(self, key: str) -> VideoFile:
        """The video of a frame. Raises MissingFile when it is not there."""
        return self._place(key).video(key)

    def load(self, key: str, expected: Size, *, at_least: Size | None = None) -> Image:
        """The decoded image; JPEGs at a fraction that is still `at_least` (h, w).

        Raises MissingFile, and ImageError when it is damaged or not `expected` (H, W) px large.
        """
        return self._place(key).load(key, expected, at_least=at_least)

    def keys_of(self, path: Path) -> list[str]:
        """The keys that a file has if it is one of the images; empty when it cannot be one."""
        return sorted({key for place in self._places.values() for key in place.keys_of(path)})

    def sample(self, key: str) -> Sample:
        """Where the image of a key should be. Raises ImageError when no list names it."""
        return self._place(key).sample(key)

    def _place(self, key: str) -> Place:
        if len(self._places) == 1:
            return next(iter(self._places.values()))
        prefix = prefix_of(normalized(key), self._places)
        if prefix not in self._places:
            raise ImageError("it is not from a source of the run")
        return self._places[prefix]


class Place:
    """One source. `root` is the folder, list or manifest; `prefixes` are those that the keys of the
    run may have."""

    def __init__(self, location: str, prefixes: Sequence[str]) -> None:
        self._prefixes = sorted((p.strip("/") + "/" for p in prefixes if p.strip("/")), key=len)
        self._folder = Path(location) if os.path.isdir(location) else None
        # A folder is looked into key by key: it may be huge, or hold videos alone.
        # So is a bucket.
        self._url = location if is_root(location) else None
        is_folder = self._folder is not None or self._url is not None
        self._source = None if is_folder else open_source(location)
        self.root = location if self._url is not None else os.path.realpath(location)
        if self._source is not None:
            self.root = self._source.root
        self._listed: dict[str, Sample] | None = None
        self._by_name: dict[str, str] | None = None
        self._archives: dict[str, dict[str, Sample]] = {}
        self._lock = Lock()  # many threads ask, one looks

    def path(self, key: str) -> Path:
        """Where the file of a key (a video's too) lies. Raises MissingFile when it is not there."""
        return Path(self._there(key).path)

    def video(self, key: str) -> VideoFile:
        """The video of a frame. Raises MissingFile when it is not there."""
        return clip_file(self._there(key))

    def _there(self, key: str) -> Sample:
        sample = self.sample(key)
        is_file = sample.data is None and not is_url(sample.path)
        if is_file and not os.path.exists(sample.path):
            raise MissingFile(self._missing(key, Path(sample.path)))
        return sample

    def load(self, key: str, expected: Size, *, at_least: Size | None = None) -> Image:
        """The decoded image; JPEGs at a fraction that is still `at_least` (h, w).

        Raises MissingFile, and ImageError when it is damaged or not `expected` (H, W) px large.
        """
        sample = self._there(key)
        smallest = None if at_least is None else lambda size: at_least
        image = decode(read(sample), key=key, at_least=smallest)
        if image.original_size != expected:
            raise ImageError(
                f"the image is {_shown(image.original_size)} px, its row says {_shown(expected)}: "
                f"another image, or a resized copy of the one that was segmented"
            )
        return image

    def keys_of(self, path: Path) -> list[str]:
        """The keys that a file has if it is one of the images; empty when it cannot be one."""
        real = os.path.realpath(path)
        if self._url is not None:
            return []
        if self._folder is None:
            listed = self._all_samples().items()
            return [key for key, sample in listed if os.path.realpath(sample.path) == real]
        below = os.path.relpath(real, self.root)
        if below == os.pardir or below.startswith(os.pardir + os.sep):
            return []
        keys = {key_from_path(below), first_spelling(below)}
        return sorted(prefix + key for prefix in ("", *self._prefixes) for key in keys)

    def sample(self, key: str) -> Sample:
        """Where the image of a key should be. Raises ImageError when no list names it."""
        candidates = self._without_prefix(key)
        if self._folder is not None:
            paths = [self._folder / path_from_key(candidate) for candidate in candidates]
            path = next((path for path in paths if path.exists()), paths[0])
            if not path.exists():
                inside = (
                    self._member(path, candidate)
                    for path, candidate in zip(paths, candidates, strict=True)
                )
                if (found := next(filter(None, inside), None)) is not None:
                    return found
            return Sample(key, str(path))
        if self._url is not None:
            member = self._member_of_url(self._url, candidates[0])
            return member or sample_of_key(self._url, key, path_from_key(candidates[0]))
        listed = self._all_samples()
        for candidate in candidates:
            for name in (candidate, split_frame(candidate)[0]):
                if name in listed:
                    return listed[name]
        raise ImageError(f"{self.root} does not list it")

    def _member(self, path: Path, key: str) -> Sample | None:
        """The image in an archive, if one of the folders of `path` is an archive instead."""
        archive = next((f for f in path.parents if is_archive_name(f.name) and f.is_file()), None)
        if archive is None:
            return None
        below = key_from_path(os.path.relpath(archive, self.root))
        return self._images_of(str(archive), below).get(split_frame(key)[0])

    def _member_of_url(self, root: str, key: str) -> Sample | None:
        """The same below a URL, where a folder with the name of an archive is taken for one."""
        folders = key.split("/")[:-1]
        depth = next((i for i, name in enumerate(folders, 1) if is_archive_name(name)), None)
        if depth is None:
            return None
        below = "/".join(folders[:depth])
        archive = sample_of_key(root, below, path_from_key(below))
        return self._images_of(archive.path, below).get(split_frame(key)[0])

    def _images_of(self, archive: str, key: str) -> Mapping[str, Sample]:
        """Those of an archive whose own key is `key`, by their keys."""
        with self._lock:
            if archive not in self._archives:
                found = archive_images(archive, key)
                self._archives[archive] = {sample.key: sample for sample in found}
            return self._archives[archive]

    def _without_prefix(self, key: str) -> list[str]:
        """The key as it may be below the source: without a prefix of the run, or as it is."""
        key = normalized(key)
        bare = [key.removeprefix(p) for p in self._prefixes if key.startswith(p)]
        return [*reversed(bare), key]

    def _all_samples(self) -> Mapping[str, Sample]:
        with self._lock:
            if self._listed is None:
                self._listed = {sample.key: sample for sample in self._source or ()}
            return self._listed

    def _missing(self, key: str, path: Path) -> str:
        """Says where a file of that name lies now, if there is one."""
        with self._lock:
            if self._by_name is None:
                self._by_name = {} if self._folder is None else _names_below(self._folder)
        elsewhere = self._by_name.get(os.path.basename(path))
        if elsewhere is not None:
            there = os.path.relpath(elsewhere, self._folder)
            return (
                f"it is not at its place below {self.root}, but {there} has its name: was it "
                f"moved, or is this another folder than the run's?"
            )
        return f"no such file: {path}"


def _names_below(folder: Path) -> dict[str, str]:
    """Name -> path of the files below, at most _MOST_NAMES: a hint is not worth a long search."""
    found: dict[str, str] = {}
    pending = [str(folder)]
    while pending and len(found) < _MOST_NAMES:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    found.setdefault(entry.name, entry.path)
    return found


def images_of(given: str | None, roots: Mapping[str, Sequence[str]]) -> Images:
    """The images of a run: in `given`, or where the run found them, which may be several sources.

    `roots` are the source roots by key prefix. Raises UsageError if the images are not there.
    """
    if given is None and len(roots) > 1:
        there = {
            prefixed("", prefix): [root for root in found if os.path.exists(root) or is_url(root)]
            for prefix, found in roots.items()
        }
        if all(len(found) == 1 for found in there.values()):
            return Images({prefix: Place(found[0], [prefix]) for prefix, found in there.items()})
    return Images({"": Place(_source_of(given, roots), list(roots))})


def _source_of(given: str | None, roots: Mapping[str, Sequence[str]]) -> str:
    """Where the images are: as given, or where the run found them.

    `roots` are the source roots by key prefix. Raises UsageError when that does not tell.
    """
    if given is not None:
        return given
    known = sorted({root for found in roots.values() for root in found})
    there = [root for root in known if os.path.exists(root) or is_url(root)]
    if len(roots) == 1 and len(there) == 1:  # where it has been moved to
        if there[0].lower().endswith(".json"):
            raise UsageError(
                f"--images is needed: the masks were imported from {there[0]}, which does not "
                "state where the images are"
            )
        return there[0]
    told = "; ".join(known) if known else "unknown"
    raise UsageError(
        f"--images is needed: the images came from {told}"
        + ("" if len(known) > 1 else ", which is not there")
    )


def _shown(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
