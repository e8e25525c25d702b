"""All masks checked at once, against the check of one at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.batch import Masks, measure


def sizes(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


def test_areas_of_several_masks() -> None:
    square = np.zeros((5, 7), bool)
    square[1:3, 2:6] = True
    texts = [rle.encode(square), rle.encode(~square), rle.encode(np.zeros((2, 2), bool))]
    areas = measure(Masks.of(texts), sizes((5, 7), (5, 7), (2, 2)), name=str)
    assert areas.tolist() == [8, 27, 0]


def test_no_mask_at_all() -> None:
    assert measure(Masks.of([]), sizes(), name=str).tolist() == []


def test_texts_come_back() -> None:
    masks = Masks.of([b"12", b"", b"345"])
    assert masks.texts() == [b"12", b"", b"345"]
    assert masks.text(2) == b"345"
    assert masks.take(np.array([2, 0])).texts() == [b"345", b"12"]


@pytest.mark.parametrize(
    "text", [b"", b"5", b"o", b"\xff", b"0o", b"oooooooo0", b"<0000", b"1111111111"]
)
def test_a_damaged_mask_is_named(text: bytes) -> None:
    good = rle.encode(np.eye(4, dtype=bool))
    with pytest.raises(UsageError, match="mask number 1: "):
        measure(
            Masks.of([good, text, good]),
            sizes((4, 4), (4, 4), (4, 4)),
            name=lambda i: f"mask number {i}",
        )


@pytest.mark.parametrize("size", [(0, 4), (-1, 4), (2**40, 2**40), (8, 2)])
def test_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        measure(Masks.of([rle.encode(np.eye(5, dtype=bool))]), sizes(size), name=str)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 6), st.integers(0, 6)), max_size=5)
)
def test_any_bytes_get_the_verdict_of_the_careful_check(
    masks: list[tuple[bytes, int, int]],
) -> None:
    verdicts = []
    for text, height, width in masks:
        try:
            verdicts.append(rle.area(text, height, width))
        except UsageError:
            verdicts.append(-1)
    given_sizes = sizes(*((height, width) for _, height, width in masks))
    texts = Masks.of([text for text, _, _ in masks])
    if -1 in verdicts:
        with pytest.raises(UsageError, match=f"number {verdicts.index(-1)}:"):
            measure(texts, given_sizes, name=lambda i: f"number {i}")
    else:
        assert measure(texts, given_sizes, name=str).tolist() == verdicts


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.data())
def test_one_changed_byte_gets_the_verdict_of_the_careful_check(data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=12, max_size=12))
    text = bytearray(rle.encode(np.array(mask).reshape(3, 4)))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(40, 120))
    try:
        area = rle.area(bytes(text), 3, 4)
    except UsageError:
        with pytest.raises(UsageError):
            measure(Masks.of([bytes(text)]), sizes((3, 4)), name=str)
    else:
        assert measure(Masks.of([bytes(text)]), sizes((3, 4)), name=str).tolist() == [area]
