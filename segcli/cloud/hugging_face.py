"""Files of data sets on the Hugging Face Hub: hf://datasets/OWNER/NAME[@REVISION]/PATH."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segcli.cloud.errors import Kind, StoreError, not_installed
from segcli.cloud.objects import Fetched, Listed
from segcli.errors import UsageError


def list_files(url: str) -> Iterator[Listed]:
    """The files below a URL, page by page; their keys begin below the data set. Raises StoreError.

    The Hub states no modification times.
    """
    repository, revision, path = _split(url)
    try:
        tree = _api().list_repo_tree(
            repository, path or None, recursive=True, revision=revision, repo_type="dataset"
        )
        for entry in tree:
            if (size := getattr(entry, "size", None)) is not None:  # else a folder
                yield Listed(entry.path, size, None, getattr(entry, "blob_id", None))
    except Exception as error:  # of the HTTP library, which has changed between versions
        raise _translated(error) from None


def fetch_file(url: str, limit: int | None = None) -> Fetched:
    """The bytes of one file. Raises StoreError."""
    try:
        files = _file_system()
        path = url.removeprefix("hf://")
        size = files.info(path)["size"]
        if limit is not None and size > limit:
            raise StoreError(
                Kind.FAILED, f"the file has {size:,} bytes; larger than {limit:,} is not read"
            )
        return Fetched(files.cat_file(path), None, None)
    except Exception as error:
        raise _translated(error) from None


def head_file(url: str) -> int:
    """The size of one file in bytes. Raises StoreError."""
    try:
        return int(_file_system().info(url.removeprefix("hf://"))["size"])
    except Exception as error:
        raise _translated(error) from None


def fetch_file_range(url: str, start: int, end: int) -> bytes:
    """The bytes of one file from `start` to before `end`. Raises StoreError."""
    try:
        data = _file_system().cat_file(url.removeprefix("hf://"), start=start, end=end)
    except Exception as error:
        raise _translated(error) from None
    return bytes(data)


def repository_of(url: str) -> str:
    """The URL of the data set itself, with its revision."""
    repository, revision, _ = _split(url)
    return f"hf://datasets/{repository}" + (f"@{revision}" if revision else "")


def _split(url: str) -> tuple[str, str | None, str]:
    """(OWNER/NAME, revision, path). Raises UsageError."""
    words = url.removeprefix("hf://").strip("/").split("/")
    if words[0] != "datasets" or len(words) < 3:
        raise UsageError(f"{url} is not a data set; expected hf://datasets/OWNER/NAME[/PATH]")
    name, _, revision = words[2].partition("@")
    return f"{words[1]}/{name}", revision or None, "/".join(words[3:])


def _api() -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise not_installed("hf", "huggingface_hub", "huggingface_hub") from None
    return HfApi()


def _file_system() -> Any:
    try:
        from huggingface_hub import HfFileSystem
    except ImportError:
        raise not_installed("hf", "huggingface_hub", "huggingface_hub") from None
    return HfFileSystem()


def _translated(error: Exception) -> Exception:
    if isinstance(error, StoreError | UsageError):
        return error
    name = type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if name == "GatedRepoError" or status in (401, 403):
        return StoreError(
            Kind.FORBIDDEN, "the Hub forbids it; is the data set private, and HF_TOKEN set?"
        )
    if isinstance(error, FileNotFoundError) or "NotFound" in name or status == 404:
        return StoreError(Kind.MISSING, "it does not exist on the Hub")
    words = f"the Hub answered {status}" if status else f"the request failed ({name})"
    return StoreError(Kind.FAILED, words)
