import numpy as np
import pytest

from segcli.store.key_index import KeyIndex, Mark, pack


def marks(numbers, *, mtime=7):
    return [Mark(f"cam1/{i:08d}.jpg", 1000 + i, mtime, i % 10 == 0) for i in numbers]


def test_what_was_added_is_found_and_nothing_else():
    done = KeyIndex()
    done.add(marks(range(3)), 5, fresh=False)
    entry = done.find("cam1/00000001.jpg")
    assert (entry.part, entry.failed, entry.fresh) == (5, False, False)
    assert done.find("cam1/00000000.jpg").failed
    assert done.find("cam1/00000003.jpg") is None
    assert "cam1/00000002.jpg" in done
    assert "cam1/00000003.jpg" not in done


def test_parts_with_keys_that_nothing_listed():
    done = KeyIndex()
    for part in range(4):
        done.add(marks(range(10 * part, 10 * part + 10)), part, fresh=part == 3)
    assert done.unlisted_parts() == [0, 1, 2]
    for i in [*range(10), *range(11, 20), 999]:
        done.find_listed(f"cam1/{i:08d}.jpg")
    assert done.unlisted_parts() == [1, 2]
    assert not done.find("cam1/00000010.jpg").listed
    entry = done.find("cam1/00000011.jpg")
    assert (entry.listed, entry.fresh, entry.part, entry.same_mtime(7)) == (True, False, 1, True)
    assert KeyIndex().unlisted_parts() == []


def test_size_and_time_are_recognised():
    done = KeyIndex()
    done.add([Mark("a", 10, 20, False), Mark("b", None, None, True)], 0, fresh=True)
    a, b = done.find("a"), done.find("b")
    assert a.same_size(10)
    assert a.same_mtime(20)
    assert not a.same_size(11)
    assert not a.same_mtime(21)
    assert not a.same_size(None)
    assert b.same_size(None)
    assert not b.same_size(0)


@pytest.mark.slow
def test_many_keys_take_16_bytes_each():
    done = KeyIndex()
    for part in range(0, 60_000, 500):
        assert done.add(marks(range(part, part + 500)), part // 500, fresh=False) == 0
    assert len(done) == 60_000
    assert done.nbytes == 16 * 60_000
    assert len(done._table[1]) == 16  # so that a lookup or an addition touches few keys
    assert all(done.find(f"cam1/{i:08d}.jpg").part == i // 500 for i in range(0, 60_000, 77))
    assert all(f"cam1/{i:08d}.jpg" not in done for i in range(60_000, 61_000))


def test_loading_at_once_is_the_same_as_adding_part_by_part():
    packed = [pack(marks(range(p * 500, p * 500 + 500)), p, fresh=False) for p in range(20)]
    done = KeyIndex()
    assert done.insert(np.concatenate(packed, axis=1)) == 0
    assert len(done) == 10_000
    assert all(done.find(f"cam1/{i:08d}.jpg").part == i // 500 for i in range(10_000))


def test_a_key_added_again_counts_once_and_the_later_one_holds():
    done = KeyIndex()
    done.add(marks(range(10)), 1, fresh=False)
    assert done.add(marks(range(5, 15), mtime=8), 2, fresh=True) == 5
    assert len(done) == 15
    entry = done.find("cam1/00000007.jpg")
    assert (entry.part, entry.fresh) == (2, True)
    assert entry.same_mtime(8)
    assert done.find("cam1/00000004.jpg").part == 1


def test_equal_heads_are_told_apart_by_the_rest_of_the_hash(monkeypatch):
    monkeypatch.setattr("segcli.store.key_index._words", lambda key: (2**64 - 1, int(key)))
    done = KeyIndex()
    done.add([Mark(str(i), 0, 0, False) for i in (3, 1, 2)], 1, fresh=False)
    assert done.add([Mark("1", 0, 0, False), Mark("4", 0, 0, False)], 9, fresh=False) == 1
    assert [done.find(str(i)).part for i in (1, 2, 3, 4)] == [9, 1, 1, 9]
    assert done.find("5") is None


@pytest.mark.parametrize("count", [0, 1])
def test_small_counts(count):
    done = KeyIndex()
    done.add(marks(range(count)), 0, fresh=False)
    assert (len(done), done.nbytes) == (count, 16 * count)
