"""What of a URL is shown and stored, and what is not."""

from pathlib import Path

import pytest

from segcli.cloud.urls import is_url, shown, split_bucket, url_of


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
        ("s3://bucket/a?b#c.jpg", "s3://bucket/a?b#c.jpg"),
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
