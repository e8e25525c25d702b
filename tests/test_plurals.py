"""Counts in messages."""

import pytest

from segcli.plurals import counted, with_count


def test_a_noun_follows_its_number() -> None:
    words = ("image", "category", "box")
    assert [counted(1, word) for word in words] == ["1 image", "1 category", "1 box"]
    assert [counted(2000, word) for word in words] == [
        "2,000 images",
        "2,000 categories",
        "2,000 boxes",
    ]
    assert counted(0, "mask") == "0 masks"


@pytest.mark.parametrize(
    ("sentence", "one"),
    [
        ("{} masks were left out", "1 mask was left out"),
        ("the tracks of {} masks were left out", "the tracks of 1 mask were left out"),
        ("{} categories have no name; their id is used", "1 category has no name; its id is used"),
        ("{} image names have bytes that are not text", "1 image name has bytes that are not text"),
        ("{} invalid boxes were ignored", "1 invalid box was ignored"),
        (
            "{} outlines extend beyond their image and were cut off",
            "1 outline extends beyond its image and was cut off",
        ),
        (
            "{} labels were left out, such as 'their {}s were.txt'",
            "1 label was left out, such as 'their {}s were.txt'",
        ),
        ("{} images were lost: their files are gone", "1 image was lost: their files are gone"),
    ],
)
def test_a_sentence_with_a_count_of_one_is_in_the_singular(sentence: str, one: str) -> None:
    assert with_count(sentence, 1) == one
    assert with_count(sentence, 2000) == sentence.replace("{}", "2,000", 1)
