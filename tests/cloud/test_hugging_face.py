"""Data sets of the Hub, by a Hub of two classes: what is asked of it and what it answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from segcli.errors import ImageError, UsageError
from segcli.sources import open_source, read

FILES = {"train/0.png": b"zero", "train/b/1.jpg": b"one", "train/meta.json": b"{}", "x.png": b""}
ERRORS = {"gated": "GatedRepoError", "absent": "RepositoryNotFoundError"}


class Api:
    def list_repo_tree(self, repository: str, path: str | None, **options: Any) -> Any:
        assert options["recursive"]
        assert options["repo_type"] == "dataset"
        name = repository.partition("/")[2]
        if name in ERRORS:
            raise type(ERRORS[name], (Exception,), {})
        yield SimpleNamespace(path="train")  # a folder
        for name, data in FILES.items():
            if path is None or name.startswith(f"{path}/"):
                yield SimpleNamespace(path=name, size=len(data), blob_id="1")


class Files:
    def info(self, path: str) -> dict[str, Any]:
        return {"size": len(self.cat_file(path))}

    def cat_file(self, path: str) -> bytes:
        return FILES[path.removeprefix("datasets/owner/name@main/")]


@pytest.fixture(autouse=True)
def _hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "HfFileSystem", Files)


def test_the_images_of_a_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = open_source("hf://datasets/owner/name@main/train")
    assert source.root == "hf://datasets/owner/name@main/train"
    samples = list(source)
    assert [(s.key, s.size_bytes) for s in samples] == [("0.png", 4), ("b/1.jpg", 3)]
    assert [read(s) for s in samples] == [b"zero", b"one"]
    (one,) = open_source("hf://datasets/owner/name@main/train/b/1.jpg")
    assert (one.key, read(one)) == ("1.jpg", b"one")
    monkeypatch.setitem(FILES, "train/0.png", b"")
    monkeypatch.delitem(FILES, "train/b/1.jpg")
    with pytest.raises(ImageError, match="the request failed .KeyError."):
        read(samples[1])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hf://datasets/owner/gated", "the Hub forbids it; .* HF_TOKEN"),
        ("hf://datasets/owner/absent", "does not exist on the Hub"),
        ("hf://owner/name", "not a data set; expected hf://datasets/OWNER/NAME"),
    ],
)
def test_what_the_hub_refuses(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_source(url)
