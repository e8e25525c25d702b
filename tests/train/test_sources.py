from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.train.data import DataSet
from segcli.train.sources import Validation, read_sources


def test_a_data_file_names_all_sources(tmp_path) -> None:
    path = tmp_path / "data.toml"
    path.write_text(
        """
        categories = ["cat", "dog"]
        [[train]]
        images = "a/images"
        annotations = "a/ann.json"
        [[train]]
        images = "/b"
        annotations = "b.json"
        exhaustive = ["dog"]
        weight = 0.5
        [[val]]
        images = "v"
        annotations = "v/ann.json"
        """
    )
    found = read_sources(path)
    assert found.categories == ("cat", "dog")
    assert found.train == (
        DataSet(tmp_path / "a/images", tmp_path / "a/ann.json"),
        DataSet(Path("/b"), tmp_path / "b.json", frozenset({"dog"}), 0.5),
    )
    assert found.val == (Validation("v", tmp_path / "v", tmp_path / "v/ann.json"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[train]", "not a readable TOML file"),
        ("", r"has no data to train on"),
        ("[train]", r"expected \[\[train\]\] tables"),
        ("[[train]]\nimages = 'a'", r"expected annotations = 'PATH', got None"),
        ("[[train]]\nimages = 'a'\nann = 'b'", r"no key 'ann'; it has annotations, exhaustive"),
        ("[[train]]\nimages = 'a'\nannotations = 'b'\nweight = 0", "expected a number above 0"),
        ("[[train]]\nimages = 'a'\nannotations = 'b'\nexhaustive = 'cat'", "expected a list"),
    ],
)
def test_a_wrong_data_file_is_explained(tmp_path, text, reason) -> None:
    path = tmp_path / "data.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_sources(path)
