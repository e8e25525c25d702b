import pytest

from segcli.errors import UsageError
from segcli.store import part_paths, read_images, read_masks, read_roots, read_settings


@pytest.fixture
def path(output, record, settings):
    with output(settings=settings(default_score=0.4)) as out:
        out.commit([record("a", 3), record("b", 0)])
        out.commit([record("c", error="bad"), record("d", 1)])
        return out.path


def gathered(batches):
    return [row for batch in batches for row in batch.to_pylist()]


def test_masks_are_the_rows_that_hold_one(path):
    rows = gathered(read_masks(path))
    assert sorted((r["key"], r["mask"]) for r in rows) == [("a", 0), ("a", 1), ("a", 2), ("d", 0)]
    assert all(r["rle"] is not None and r["height"] == 48 for r in rows)


def test_only_what_was_asked_for_comes_in_that_order(path):
    rows = gathered(read_masks(path, columns=["score", "key"], min_score=0.8))
    assert sorted(rows, key=str) == [
        {"score": 0.8, "key": "a"}, {"score": 0.9, "key": "a"}, {"score": 0.9, "key": "d"},
    ]  # fmt: skip
    assert list(rows[0]) == ["score", "key"]


def test_images_come_once_each_with_or_without_masks(path):
    rows = gathered(read_images(path))
    assert sorted((r["key"], r["status"], r["masks"]) for r in rows) == [
        ("a", "ok", 3), ("b", "ok", 0), ("c", "failed", None), ("d", "ok", 1),
    ]  # fmt: skip
    assert "mask" not in rows[0]
    assert sorted(r["key"] for r in gathered(read_images(path, columns=["key"]))) == [*"abcd"]


def test_a_large_part_comes_in_batches(output, record):
    with output() as out:
        out.commit([record(f"{i:06d}", 10) for i in range(4000)])
    batches = [*read_masks(out.path, columns=["key"])]
    assert len(batches) > 2
    assert sum(b.num_rows for b in batches) == 40_000
    assert len({*gathered_keys(read_images(out.path, columns=["key"]))}) == 4000


def gathered_keys(batches):
    return [key for batch in batches for key in batch.column("key").to_pylist()]


def test_facts_are_flat_and_tell_the_categories(path):
    settings = read_settings(path)
    assert settings["default_score"] == 0.4
    assert settings["source_root"] == "/archive"
    assert settings["category_names"] == ("person", "car")
    assert settings["category_ids"] == (1, 3)


def test_roots_by_key_prefix(path, output, record, settings):
    with output(settings=settings("/cam2", "cam2/", default_score=0.4)) as out:
        out.commit([record("cam2/a")])
    with output(settings=settings("/moved", default_score=0.4), same_source=True) as out:
        out.commit([record("e")])
    assert read_roots(path) == {"": ["/archive", "/moved"], "cam2/": ["/cam2"]}


def test_what_is_no_output_is_said_at_once(tmp_path, path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, why in (("no", "does not exist"), ("empty", "is empty"), ("file", "is a file")):
        for reader in (read_masks, read_images, read_settings, read_roots, part_paths):
            with pytest.raises(UsageError, match=why):
                reader(tmp_path / name)
    with pytest.raises(UsageError, match=r"no column 'scroe'; its columns are: key, "):
        next(read_masks(path, columns=["scroe"]))
    (path / "notes.txt").touch()
    with pytest.raises(UsageError, match="notes.txt"):
        read_masks(path)


def test_a_damaged_page_is_named(path):
    part = part_paths(path)[0]
    data = bytearray(part.read_bytes())
    data[4:400] = bytes(396)
    part.write_bytes(data)
    with pytest.raises(UsageError, match=f"{part.name} cannot be read"):
        gathered(read_masks(path))
