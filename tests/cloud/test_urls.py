"""What of a URL is shown and stored, and what is not."""

from pathlib import Path

import pytest

from segcli.cloud.errors import StoreError
from segcli.cloud.objects import _fetch_without_size, fetch
from segcli.cloud.urls import is_url, shown, split_bucket, url_of
from segcli.errors import ImageError, UsageError
from segcli.sources import open_source, read
from segcli.sources.remote import url_sample
from segcli.store import lock_output, part_paths, status


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pass@host:8080/a%20b.jpg", "https://host:8080/a%20b.jpg"),
        (
            "https://b.s3.amazonaws.com/k.jpg?X-Amz-Signature=1&X-Amz-Credential=2&id=3",
            "https://b.s3.amazonaws.com/k.jpg?id=3",
        ),
        (
            "https://a.blob.core.windows.net/c/k.jpg?sv=2&se=3&sp=r&sig=4",
            "https://a.blob.core.windows.net/c/k.jpg",
        ),
        ("https://host/k?sp=1&w=2#part", "https://host/k?sp=1&w=2"),
        ("https://host/k?access_token=1&API_KEY=2&size=3", "https://host/k?size=3"),
        ("cam=https://user:pass@host/x", "cam=https://host/x"),
        ("https://user:p[ss@host/x.jpg?token=1", "https://host/x.jpg"),
        ("s3://bucket/a?b#c.jpg", "s3://bucket/a?b#c.jpg"),
        ("s3://user:pass@bucket/a@b.jpg", "s3://bucket/a@b.jpg"),
        ("s3://user:pa/ss@bucket/a.jpg", "s3://bucket/a.jpg"),
        ("gs://user@bucket/a@b.jpg", "gs://bucket/a@b.jpg"),
        ("s3://bucket/a@b:c.jpg", "s3://bucket/a@b:c.jpg"),
        ("hf://datasets/owner/name@main", "hf://datasets/owner/name@main"),
        ("folder/a.jpg?token=1", "folder/a.jpg?token=1"),
    ],
)
def test_nothing_secret_of_a_url_is_shown(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_a_url_stays_one_as_a_path() -> None:
    assert url_of(Path("s3://bucket/a/b.parquet")) == "s3://bucket/a/b.parquet"
    assert url_of("S3://Bucket/a") == "s3://Bucket/a"
    assert not any(map(is_url, ["s3:", "s3://", "c:/x", "s3", "file://x", "ftp://x", ""]))


def test_a_bucket_and_its_key() -> None:
    assert split_bucket("gs://b/a/b c.jpg") == ("gs://b", "a/b c.jpg")
    assert split_bucket("az://b") == ("az://b", "")


def test_images_that_a_hidden_parameter_names_have_different_keys() -> None:
    written = [f"https://host/get?key={name}&w=9" for name in ("a.jpg", "b.jpg")]
    samples = [sample for url in written if (sample := url_sample(url)) is not None]
    assert len({sample.key for sample in samples}) == 2
    assert all(sample.key.startswith("https://host/get?w=9#") for sample in samples)
    assert [sample.path for sample in samples] == written
    signed = [url_sample(f"https://host/x?key=9&X-Amz-Signature={n}") for n in (1, 2)]
    assert [sample and sample.key for sample in signed] == ["https://host/x"] * 2


def test_a_malformed_url_is_an_error_of_its_image() -> None:
    with pytest.raises(StoreError, match="malformed"):
        fetch("https://user:p[ss@host/x.jpg")


@pytest.mark.parametrize("url", ["https://host/a b.jpg?token=hunter2", "https://me:hunter2@x y/"])
def test_errors_of_the_standard_library_do_not_quote_the_url(url: str) -> None:
    with pytest.raises(StoreError) as failed:
        _fetch_without_size(url, -1, None)
    assert "hunter2" not in str(failed.value)


def test_a_bucket_with_a_password_is_refused_without_showing_it(tmp_path: Path) -> None:
    url = "s3://user:hunter2@bucket/images"
    for call in (
        lambda: list(open_source(url)),
        lambda: part_paths(Path(url)),
        lambda: status(Path(url)),
        lambda: lock_output(Path(url)),
    ):
        with pytest.raises(UsageError, match="names and passwords in the URL") as error:
            call()
        assert "hunter2" not in str(error.value)
    (sample,) = [url_sample(f"{url}/a.jpg")]
    assert sample is not None
    assert sample.key == "s3://bucket/images/a.jpg"
    with pytest.raises(ImageError, match="names and passwords in the URL") as refused:
        read(sample)
    assert "hunter2" not in str(refused.value)
