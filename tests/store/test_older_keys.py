"""Outputs whose keys were escaped as the first versions did go on, each image once."""

import pyarrow.parquet as pq

from segcli.keys import first_spelling, key_from_path
from segcli.store import ShardSpec, compact

PATHS = ["a/IMG (1) copy #2.png", "b\\c.png", "take#frame=3", "plain.png"]


def test_images_of_an_older_output_are_done(output, sample, record, tmp_path):
    with output() as out:
        out.commit([record(first_spelling(path), 2) for path in PATHS])
    with output() as out:
        assert [out.state(sample(key_from_path(path))) for path in PATHS] == ["done"] * 4
        changed = sample(key_from_path(PATHS[0]), version=2)
        assert out.state(changed) == "changed"
        out.replace([record(changed.key, 1, version=2)])
        assert out.images == 4
    compact(tmp_path / "masks.parquet", images=100)
    found = pq.read_table(tmp_path / "masks.parquet").to_pylist()
    assert sorted({row["key"] for row in found}) == sorted(
        [PATHS[0], *(first_spelling(path) for path in PATHS[1:])]
    )
    assert len(found) == 1 + 3 * 2


def test_the_shard_of_an_image_does_not_depend_on_the_version():
    # As computed by the first version, from the escaped key.
    for path, shard in (("copy #2.png", 4), ("b\\c.png", 4), ("take#frame=3", 4), ("#1.mp4", 6)):
        key = key_from_path(path)
        assert [key in ShardSpec(i, 8) for i in range(8)].index(True) == shard
    assert [("#1.mp4#frame=7" in ShardSpec(i, 8)) for i in range(8)].index(True) == 6
