"""Images in a bucket (s3://, gs://, az://) or a data set of the Hugging Face Hub (hf://).

The store is listed page by page, in the order of the keys. An object is treated as a file at a
path, so the rules for names of files and folders apply, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from segcli.cloud.errors import Kind, StoreError
from segcli.cloud.hugging_face import fetch_file, list_files, repository_of
from segcli.cloud.objects import Fetched, Listed, fetch, head, list_objects
from segcli.cloud.urls import joined, scheme_of, shown, split_bucket
from segcli.errors import ImageError, UsageError
from segcli.keys import key_from_path, prefixed
from segcli.sources.folder import (
    SYSTEM_FOLDERS,
    is_image_name,
    is_media_name,
    is_video_name,
)
from segcli.types import Sample

NOT_STREAMED = "{} in object stores and on web servers are not read: copy it to a disk first"


def list_bucket(
    url: str,
    key_prefix: str = "",
    wanted: Callable[[str], bool] | None = None,
    *,
    containers: bool = False,
    all_folders: bool = False,
    left_out: set[str] | None = None,
) -> Iterator[Sample]:
    """All objects below `url` with the suffix of an image, as `list_folder` lists files.

    The key of a sample is the part of the object's key below `url`. Raises UsageError if the
    store cannot be listed completely.
    """
    is_named = is_media_name if containers else is_image_name
    inside, listed = _listing(url)
    start = len(inside) + 1 if inside else 0
    try:
        for found in listed:
            if not is_named(found.key):
                continue
            below = found.key[start:]
            if "." in below[:1] or "/" in below:
                folder = _passed_by(below, all_folders)
                if folder is not None:
                    if left_out is not None and folder:
                        left_out.add(joined(url, folder))
                    continue
            key = prefixed(key_from_path(below), key_prefix)
            if wanted is None or wanted(key):
                path = joined(url, below)
                yield Sample(key, path, size_bytes=found.size, mtime_ns=found.mtime_ns)
    except StoreError as error:
        raise UsageError(f"cannot list {shown(url)}: {error}") from None


def find_object(url: str) -> Listed | None:
    """The object at exactly this URL, or None. Raises UsageError."""
    if scheme_of(url) == "hf" or not split_bucket(url)[1]:
        return None
    try:
        return head(url)
    except StoreError as error:
        if error.kind == Kind.MISSING:
            return None
        raise UsageError(f"cannot read {shown(url)}: {error}") from None


def read_object(sample: Sample, *, most: int, limit: int) -> bytes:
    """The encoded image at a URL, or its first `most` bytes.

    Raises ImageError with a reason for the row, which contains neither the URL nor credentials.
    """
    if is_video_name(sample.path):
        raise ImageError("a video, not an image")
    try:
        found = _fetched(sample.path, most, limit)
    except StoreError as error:
        if error.kind == Kind.MISSING and sample.size_bytes is not None:
            raise ImageError("the object has vanished since it was listed") from None
        raise ImageError(f"cannot fetch the object: {error}") from None
    except UsageError as error:
        raise ImageError(str(error)) from None
    if found.content_type is not None and found.content_type.startswith("text/html"):
        raise ImageError("the server sent a web page (text/html) instead of an image")
    return found.data


def _fetched(url: str, most: int, limit: int) -> Fetched:
    if scheme_of(url) == "hf":
        return fetch_file(url, limit)
    return fetch(url, most=most, limit=limit)


def _listing(url: str) -> tuple[str, Iterator[Listed]]:
    """The common beginning of the keys of all objects below `url`, and the objects."""
    if scheme_of(url) == "hf":
        return url.removeprefix(repository_of(url)).strip("/"), list_files(url)
    return split_bucket(url)[1], list_objects(url)


def _passed_by(path: str, all_folders: bool) -> str | None:
    """ "" for a hidden path, the folder of a NAS or archive tool that contains it, or None."""
    *folders, name = path.split("/")
    if name.startswith(".") or any(folder.startswith(".") for folder in folders):
        return ""
    if not all_folders:
        for depth, folder in enumerate(folders, start=1):
            if folder.lower().encode() in SYSTEM_FOLDERS:
                return "/".join(folders[:depth]) + "/"
    return None
