"""A service that fails, hangs, cuts what it says, or refuses: bounded waits and clear errors."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

from themis_blobs import Blobs, BlobUnreachable, open_place
from themis_blobs.base import object_name, pack
from themis_blobs.buckets import BucketObjects
from themis_blobs.objects import Stat
from themis_blobs.testing import S3Server
from themis_core import StorageError

TEXT = b"a long text " * 10_000
DIGEST = hashlib.sha256(TEXT).digest()


@pytest.fixture
def url() -> str:
    return f"s3://bucket/{secrets.token_hex(4)}"


def opened(url: str, *, timeout_s: float = 1.0, retry_s: float = 2.0) -> Blobs:
    return open_place(url, "id", Path(), {}, timeout_s=timeout_s, retry_s=retry_s)


@pytest.mark.parametrize("fault", ["503", "hang", "lost"])
def test_a_write_that_fails_for_a_moment_is_repeated(between: Any, url: str, fault: str) -> None:
    blobs = opened(url)
    between.faults = [("PUT", fault)]
    blobs.write({DIGEST: TEXT})
    assert [method for method, _ in between.seen] == ["PUT", "PUT"]
    assert blobs.read(DIGEST) == TEXT


@pytest.mark.parametrize("fault", ["503", "hang", "lost", "cut", "garbled"])
def test_a_read_that_fails_for_a_moment_is_repeated(between: Any, url: str, fault: str) -> None:
    blobs = opened(url)
    blobs.write({DIGEST: TEXT})
    between.faults = [("GET", fault)]
    assert blobs.read(DIGEST) == TEXT
    assert [method for method, _ in between.seen] == ["PUT", "GET", "GET"]


@pytest.mark.parametrize("fault", ["503", "hang", "lost"])
def test_a_write_that_goes_on_failing_is_an_error_within_bounds(between: Any, url: str, fault: str) -> None:
    blobs = opened(url, timeout_s=0.3, retry_s=0.5)
    between.faults = [("PUT", fault)] * 1_000
    with pytest.raises(StorageError, match=r"could not be written to .*: look whether the service can be reached"):
        blobs.write({DIGEST: TEXT})
    assert 2 <= len(between.seen) <= 10


def test_a_read_that_goes_on_failing_says_nothing_of_what_is_stored(between: Any, url: str) -> None:
    blobs = opened(url, timeout_s=0.3, retry_s=0.5)
    blobs.write({DIGEST: TEXT})
    between.faults = [("GET", "503")] * 1_000
    with pytest.raises(BlobUnreachable, match="can't be read"):
        blobs.read(DIGEST)


def test_a_write_that_is_denied_is_not_repeated(between: Any, url: str) -> None:
    between.faults = [("PUT", "403")] * 10
    with pytest.raises(StorageError, match=r"could not be written to .*403.*: look at the credentials"):
        opened(url).write({DIGEST: TEXT})
    assert len(between.seen) == 1


def test_a_text_that_is_denied_is_not_taken_for_missing(between: Any, url: str) -> None:
    blobs = opened(url)
    between.faults = [("GET", "403"), ("HEAD", "403")]
    with pytest.raises(BlobUnreachable, match="can't be read"):
        blobs.read(DIGEST)
    with pytest.raises(StorageError, match=r"could not be asked .*: look at the credentials"):
        blobs.missing([DIGEST])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pack(TEXT)[:-10], "is damaged: bring it back from a backup"),
        (b"", "is damaged: bring it back from a backup"),
        (b"x" * 100, "is damaged: bring it back from a backup"),
        (pack(b"another text"), "does not match its hash: bring it back from a backup"),
        (None, "is missing: bring it back from a backup"),
    ],
)
def test_a_text_that_is_not_what_was_written_is_named(s3: S3Server, url: str, data: bytes | None, message: str) -> None:
    blobs = opened(url)
    blobs.write({DIGEST: TEXT})
    bucket = from_url(f"{url}/id", client_options={"allow_http": True})
    if data is None:
        obstore.delete(bucket, object_name(DIGEST))
    else:
        obstore.put(bucket, object_name(DIGEST), data)
    with pytest.raises(StorageError, match=f"the object {url}/id/{object_name(DIGEST)} {message}"):
        blobs.read(DIGEST)
    blobs.write({DIGEST: TEXT})  # whoever has the text mends it
    assert blobs.read(DIGEST) == TEXT


def test_a_bucket_that_is_not_there_is_found_before_anything_is_written(s3: S3Server) -> None:
    with pytest.raises(
        StorageError, match=r"s3://nothing/x/id.* can't be written to .*: it is not there: make the bucket"
    ):
        opened("s3://nothing/x").prepare()


def test_a_bucket_that_is_read_only_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with S3Server(tmp_path / "data", read_only=True) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StorageError, match="can't be written to"):
            opened(url, retry_s=0.2).prepare()


def test_a_service_that_is_not_there_is_found_within_bounds(monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"can't be written to .*: look whether the service can be reached"):
        opened("s3://bucket/x", retry_s=0.3).prepare()


def test_wrong_keys_are_found_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame-open-4711")
    with pytest.raises(StorageError, match=r"can't be written to .*: look at the credentials") as caught:
        opened("s3://bucket/x").prepare()
    assert "sesame" not in str(caught.value) + caplog.text
    assert s3.environment["AWS_ACCESS_KEY_ID"] not in str(caught.value) + caplog.text


def test_many_texts_are_sent_side_by_side_and_not_too_many(between: Any, url: str) -> None:
    texts = {hashlib.sha256(text).digest(): text for text in (b"%d" % number * 1_000 for number in range(64))}
    blobs = opened(url, timeout_s=20)
    between.together = threading.Barrier(4)
    blobs.write(texts)
    between.together = threading.Barrier(1)
    assert len(between.seen) == 64
    assert 4 <= between.most_at_once <= 16
    assert blobs.read_many(texts) == texts


def test_one_text_of_many_that_fails_fails_all_and_no_further_one_is_sent(between: Any, url: str) -> None:
    texts = {hashlib.sha256(text).digest(): text for text in (b"%d" % number for number in range(400))}
    between.faults = [("PUT", "403")]
    with pytest.raises(StorageError, match="could not be written to"):
        opened(url, timeout_s=20).write(texts)
    assert len(between.seen) < 200


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("not\nthis"), MemoryError()])
def test_whatever_a_client_raises_is_an_error_of_the_store(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    import fsspec.implementations.memory

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "pipe_file", fail)
    with pytest.raises(StorageError, match="could not be written to"):
        opened("memory://x", retry_s=0.1).write({DIGEST: TEXT})


def test_a_client_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.implementations.memory

    from themis_blobs import url

    ended = threading.Event()
    monkeypatch.setattr(url, "_MARGIN_S", 0.1)
    monkeypatch.setattr(
        fsspec.implementations.memory.MemoryFileSystem, "pipe_file", lambda *_, **__: ended.wait() and None
    )
    try:
        with pytest.raises(StorageError, match=r"could not be written to .*no reply within 0.3 s"):
            opened("memory://x", timeout_s=0.1, retry_s=0).write({DIGEST: TEXT})
    finally:
        ended.set()


def test_an_object_that_is_listed_twice_is_stored_once_and_as_old_as_the_latest_says(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, url: str
) -> None:
    """As `rclone serve s3` lists an object that two wrote at once: with a time from before, too."""
    blobs = opened(url)
    blobs.write({DIGEST: TEXT})
    listing = BucketObjects.list

    def twice(objects: BucketObjects, folder: str) -> Iterator[Stat]:
        for each in listing(objects, folder):
            yield from (each._replace(written_at=each.written_at - 3_600), each, each._replace(written_at=0.0))

    monkeypatch.setattr(BucketObjects, "list", twice)
    (found,) = blobs.stored()
    assert (found.digest, found.age_s < 1_800) == (DIGEST, True)
