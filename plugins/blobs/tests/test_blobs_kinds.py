"""What every kind of place promises: folder, bucket, any URL of fsspec."""

from __future__ import annotations

import hashlib
import secrets
import threading
from pathlib import Path

import pytest

from themis_blobs import Blobs, open_place
from themis_blobs.testing import S3Server
from themis_core import StorageError


def digest_of(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def place(kind: str) -> str:
    name = secrets.token_hex(4)
    return {"folder": "texts", "s3": f"s3://bucket/{name}", "fsspec": f"memory://{name}"}[kind]


def opened(place: str, folder: Path) -> Blobs:
    return open_place(place, "id", folder, {}, timeout_s=5, retry_s=1)


@pytest.fixture(params=["folder", "s3", "fsspec"])
def blobs(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> Blobs:
    return opened(place(request.param), tmp_path)


def test_what_is_written_is_read_back(blobs: Blobs) -> None:
    texts = [b"", b"\0\xff" * 10, "ünï".encode(), b"word " * 2_000_000, *(b"%d" % number for number in range(40))]
    by_digest = {digest_of(text): text for text in texts}
    blobs.prepare()
    blobs.write(by_digest)
    assert blobs.read_many(by_digest) == by_digest
    assert blobs.missing([*by_digest, digest_of(b"other")]) == {digest_of(b"other")}
    found = list(blobs.stored())
    assert [each.digest for each in found] == sorted(by_digest)
    assert all(each.size_bytes > 0 and 0 <= each.age_s < 60 for each in found)


def test_what_was_removed_is_missing_and_the_rest_stays(blobs: Blobs) -> None:
    texts = {digest_of(text): text for text in (b"one", b"two")}
    blobs.write(texts)
    for each in list(blobs.stored()):
        if each.digest == digest_of(b"one"):
            blobs.remove(each)
            blobs.remove(each)  # it is gone already
    with pytest.raises(StorageError, match="is missing: bring it back from a backup"):
        blobs.read(digest_of(b"one"))
    assert blobs.read(digest_of(b"two")) == b"two"


def test_an_empty_place_holds_nothing(blobs: Blobs) -> None:
    assert list(blobs.stored()) == []
    assert blobs.missing([digest_of(b"x")]) == {digest_of(b"x")}
    blobs.write({})


def test_two_stores_in_one_place_do_not_see_each_other(s3: S3Server, tmp_path: Path) -> None:
    for kind in ("folder", "s3", "fsspec"):
        where = place(kind)
        one, other = (open_place(where, name, tmp_path, {}, timeout_s=5, retry_s=1) for name in ("1", "2"))
        one.write({digest_of(b"x"): b"x"})
        assert list(other.stored()) == []
        assert len(list(one.stored())) == 1


def test_several_write_the_same_at_once(blobs: Blobs) -> None:
    texts = {digest_of(text): text for text in (b"%d" % number * 10_000 for number in range(20))}
    errors: list[BaseException] = []

    def write() -> None:
        try:
            blobs.write(texts)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert blobs.read_many(texts) == texts
    assert [each.digest for each in blobs.stored()] == sorted(texts)
