import pytest

from segcli.errors import UsageError
from segcli.store import ShardSpec


def test_every_key_has_one_shard():
    for count in (1, 2, 3, 7):
        for number in range(200):
            key = f"cam{number % 3}/{number:04d}.jpg"
            owners = [i for i in range(count) if key in ShardSpec(i, count)]
            assert len(owners) == 1


def test_the_split_never_changes():
    # Another hash would let a shard do again what another one has done: these stay for ever.
    whose = [next(i for i in range(5) if f"{name}.jpg" in ShardSpec(i, 5)) for name in "abcdefgh"]
    assert whose == [0, 1, 3, 1, 2, 2, 0, 0]


def test_the_shards_are_of_about_one_size():
    sizes = [sum(f"{n}.jpg" in ShardSpec(i, 8) for n in range(8000)) for i in range(8)]
    assert sum(sizes) == 8000
    assert all(900 < size < 1100 for size in sizes)


def test_the_frames_of_a_video_stay_together():
    for number in range(50):
        keys = [f"cam{number}.mp4#frame={frame}" for frame in range(20)]
        assert len({key in ShardSpec(0, 2) for key in keys}) == 1


@pytest.mark.parametrize("text", ["", "3", "a/b", "1/2/3", "-1/2", "1.5/3", "01/4", "0/0", " 0/2"])
def test_what_is_no_shard_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="expected I/N, e.g. 0/8"):
        ShardSpec.parse(text)


def test_shards_count_from_zero_and_the_refusal_says_so():
    assert str(ShardSpec.parse("0/3")) == "0/3"
    assert str(ShardSpec.parse("2/3")) == "2/3"
    with pytest.raises(UsageError, match="from 0, so the last one is 2/3 .*array of 0-2"):
        ShardSpec.parse("3/3")
    with pytest.raises(UsageError, match="100,000"):
        ShardSpec.parse("3/100001")


def test_a_part_of_another_shard_of_as_many_has_no_key_of_ours():
    split = ShardSpec(1, 3)
    assert [split.is_foreign(s) for s in ("0/3", "1/3", "2/3", "0/4", None)] == [
        True, False, True, False, False,
    ]  # fmt: skip
