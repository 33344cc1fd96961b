"""Long texts in the database, in a bucket, by fsspec, in a folder: saved with what refers to them, kept in order."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from themis_blobs import Blobs
from themis_blobs.testing import S3Server
from themis_core import StorageError
from themis_core.testing.events import generation_recorded, key_of, run_started
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.store import PostgresStore
from themis_sql.database import CommitUnknown

KINDS = ("database", "folder", "s3", "fsspec")
LONG = "long " * 1_000


def place(kind: str) -> str:
    name = secrets.token_hex(4)
    return {"database": "database", "folder": "texts", "s3": f"s3://bucket/{name}", "fsspec": f"memory://{name}"}[kind]


def backend_of(kind: str, schema_name: str, **more: Any) -> PostgresBlobStorageSpec:
    return PostgresBlobStorageSpec(schema_name=schema_name, blobs=place(kind), inline_limit_bytes=1_024, **more)


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, url: str, schema_name: str, s3: S3Server) -> PostgresBlobStorageSpec:
    return backend_of(request.param, schema_name)


def opened(backend: PostgresBlobStorageSpec, folder: Path, mode: Any = "write") -> PostgresStore:
    store = backend.open(folder, mode=mode)
    assert isinstance(store, PostgresStore)
    return store


def long_answer(name: str, text: str = LONG) -> Any:
    recorded = generation_recorded(name)
    return replace(recorded, generation=replace(recorded.generation, text=text))


def filled(backend: PostgresBlobStorageSpec, folder: Path) -> PostgresStore:
    store = opened(backend, folder)
    store.append([run_started(), *(long_answer(str(number), f"{number} {LONG}") for number in range(5))])
    return store


def test_a_whole_store_verifies_and_rebuilds_and_shows_the_beginning_of_long_texts(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    store = filled(backend, tmp_path)
    assert list(store.verify()) == []
    store.rebuild()
    assert list(store.verify()) == []
    [shown] = {len(row[0]) for row in store._database.rows("SELECT answer FROM v_generations")}
    assert shown == 1_000
    store.close()
    store = opened(backend, tmp_path, "read")
    assert store.generations([key_of("3")])[key_of("3")].text == f"3 {LONG}"
    assert list(store.verify()) == []
    store.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["missing", "torn", "another"])
def test_a_long_text_that_is_not_what_was_saved_is_told(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path, kind: str, damage: str
) -> None:
    backend = backend_of(kind, schema_name)
    store = filled(backend, tmp_path)
    digest = hashlib.sha256(f"3 {LONG}".encode()).digest()
    spoil(store._blobs, url, schema_name, digest, damage)
    problem = {"missing": "is missing", "torn": "is damaged", "another": "does not match its hash"}[damage]
    with pytest.raises(StorageError, match=f"{digest.hex()}.* {problem}: bring it back from a backup"):
        store.generations([key_of("3")])
    [told] = store.verify()
    assert problem in told.problem
    assert digest.hex() in told.problem
    assert len(store.generations([key_of("2")])) == 1
    store.close()


def spoil(blobs: Blobs, url: str, schema: str, digest: bytes, damage: str) -> None:
    from themis_blobs.base import object_name, pack
    from themis_blobs.url import UrlBlobs

    data = {"missing": None, "torn": pack(LONG.encode())[:-3], "another": pack(b"another")}[damage]
    if blobs.transactional:
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(
                f'DELETE FROM "{schema}".blobs WHERE digest = %s'.encode()
                if data is None
                else f'UPDATE "{schema}".blobs SET body = %s WHERE digest = %s'.encode(),
                (digest,) if data is None else (data, digest),
            )
            assert done.rowcount == 1
    elif isinstance(blobs, UrlBlobs):
        blobs._objects.remove(object_name(digest))
        if data is not None:
            blobs._objects.put(object_name(digest), data)
    else:
        path = Path(blobs.where(digest).removeprefix("the blob file "))
        path.unlink() if data is None else path.write_bytes(data)


def test_what_a_crash_left_is_removed_and_nothing_else(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    store = filled(backend, tmp_path)
    text = b"of a batch that was never committed"
    if not store._blobs.transactional:
        store._blobs.write({hashlib.sha256(text).digest(): text})
        [seen] = store.remove_unused_files(older_than_s=0, dry_run=True)
        assert hashlib.sha256(text).hexdigest() in seen.path
        assert list(store.remove_unused_files(older_than_s=3_600, dry_run=False)) == []
        assert list(store.remove_unused_files(older_than_s=0, dry_run=False)) == [
            replace(seen, age_s=pytest.approx(seen.age_s, abs=60))
        ]
    assert list(store.remove_unused_files(older_than_s=0, dry_run=False)) == []
    assert list(store.verify()) == []
    store.close()


def test_a_text_that_is_removed_as_unused_while_it_is_saved_is_there_in_the_end(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cleaner = filled(backend, tmp_path), opened(backend, tmp_path)
    write = store._blobs.write
    removed = []

    def write_and_lose(texts: Any) -> None:
        write(texts)
        if not removed:  # between the writing and the transaction that refers to it
            removed.extend(cleaner.remove_unused_files(older_than_s=0, dry_run=False))

    if not store._blobs.transactional:
        monkeypatch.setattr(store._blobs, "write", write_and_lose)
    store.append([long_answer("new", f"new {LONG}")])
    assert len(removed) == (0 if store._blobs.transactional else 1)
    assert store.generations([key_of("new")])[key_of("new")].text == f"new {LONG}"
    assert list(store.verify()) == []
    cleaner.close()
    store.close()


def test_a_batch_that_is_repeated_after_its_commit_was_lost_is_there_once(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(backend, tmp_path)
    run, lost = store._database.run, []

    def lose(sql: str, *values: Any) -> None:
        run(sql, *values)
        if sql == "COMMIT" and not lost:
            lost.append(1)
            raise CommitUnknown(RuntimeError("the reply was lost"))

    monkeypatch.setattr(store._database, "run", lose)
    store.append([long_answer("new", f"new {LONG}")])
    assert lost
    assert store.generations([key_of("new")])[key_of("new")].text == f"new {LONG}"
    assert list(store.verify()) == []
    store.close()


def test_two_writers_save_one_text_at_once(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    stores = [opened(backend, tmp_path) for _ in range(2)]
    for number, store in enumerate(stores):
        store.append([long_answer(f"{number}")])
    for number, store in enumerate(reversed(stores)):
        assert store.generations([key_of(f"{number}")])[key_of(f"{number}")].text == LONG
    assert list(stores[0].verify()) == []
    for store in stores:
        store.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_place_that_has_none_of_the_long_texts_is_refused_before_anything_is_saved(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path, kind: str, other: str
) -> None:
    if (kind, other) == ("database", "database"):
        return  # a schema has one such table
    first, second = backend_of(kind, schema_name), backend_of(other, schema_name)
    if first.blobs == second.blobs:
        second = second.model_copy(update={"blobs": "elsewhere"})
    filled(first, tmp_path).close()
    with pytest.raises(StorageError, match=r"the long texts of the store .* are not in .*: name in blobs the place"):
        second.open(tmp_path)
    opened(first, tmp_path).close()


def test_long_texts_that_were_copied_to_another_place_are_found_there(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backend_of("folder", schema_name)
    filled(first, tmp_path).close()
    (tmp_path / "data" / "bucket").mkdir(parents=True)
    (tmp_path / "texts").rename(tmp_path / "data" / "bucket" / "copied")  # as a tool for buckets would
    with S3Server(tmp_path / "data") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        store = opened(first.model_copy(update={"blobs": "s3://bucket/copied"}), tmp_path)
        store.append([long_answer("new")])
        assert len(store.generations([key_of(str(number)) for number in range(5)])) == 5
        assert list(store.verify()) == []
        store.close()


def test_a_bucket_that_is_missing_is_found_when_the_store_is_opened_to_write(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path
) -> None:
    backend = PostgresBlobStorageSpec(schema_name=schema_name, blobs="s3://nothing/here")
    with pytest.raises(StorageError, match=r"s3://nothing/here/.* can't be written to .*make the bucket"):
        backend.open(tmp_path)


def test_a_folder_that_can_not_be_written_to_is_found_when_the_store_is_opened_to_write(
    url: str, schema_name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    backend = PostgresBlobStorageSpec(schema_name=schema_name, blobs="file/texts")
    with pytest.raises(StorageError, match="file is no folder"):
        backend.open(tmp_path)


@pytest.mark.parametrize(
    ("blobs", "module", "install"),
    [
        ("s3://bucket/x", "obstore", r"pip install 'themis-plugin-postgres\[s3\]'"),
        ("gs://bucket/x", "obstore", r"pip install 'themis-plugin-postgres\[gcs\]'"),
        ("az://bucket/x", "obstore", r"pip install 'themis-plugin-postgres\[azure\]'"),
        ("memory://x", "fsspec", r"pip install 'themis-plugin-postgres\[fsspec\]'"),
    ],
)
def test_a_client_that_is_not_installed_is_found_by_the_check(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blobs: str, module: str, install: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=install):
        PostgresBlobStorageSpec(blobs=blobs).check(tmp_path)
    with pytest.raises(StorageError, match=install):
        PostgresBlobStorageSpec(blobs=blobs).open(tmp_path)


def test_a_kind_of_url_that_nobody_knows_is_found_by_the_check(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonsense:// is no kind of URL that fsspec knows"):
        PostgresBlobStorageSpec(blobs="nonsense://x").check(tmp_path)
    with pytest.raises(ValueError, match=r'needs a package more: .*"paramiko"'):
        PostgresBlobStorageSpec(blobs="sftp://host/x").check(tmp_path)


def test_an_option_that_the_client_does_not_know_is_told(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path
) -> None:
    backend = PostgresBlobStorageSpec(schema_name=schema_name, blobs="s3://bucket/x", blob_options={"nonsense": 1})
    with pytest.raises(StorageError, match=r"s3://bucket/x can't be opened .*nonsense.*: look at blobs, blob_options"):
        backend.open(tmp_path)


def test_the_server_of_a_bucket_can_be_named_in_the_spec(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_REGION")
    backend = PostgresBlobStorageSpec(
        schema_name=schema_name,
        blobs="s3://bucket/x",
        blob_options={"endpoint_url": s3.url, "region": "us-east-1", "skip_signature": False},
    )
    opened(backend, tmp_path).close()


def test_keys_may_be_in_a_profile(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys = tmp_path / "credentials"
    key, secret = s3.environment["AWS_ACCESS_KEY_ID"], s3.environment["AWS_SECRET_ACCESS_KEY"]
    keys.write_text(f"[lab]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    opened(backend_of("s3", schema_name), tmp_path).close()
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StorageError, match="the profile lab of AWS_PROFILE is read by boto3: pip install boto3"):
        backend_of("s3", schema_name).open(tmp_path)


def test_a_backup_says_for_each_kind_what_to_do(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    store = filled(backend, tmp_path)
    dump = f"run pg_dump --schema={backend.schema_name}"
    what = {
        "database": f"{dump}, which has all of it",
        "texts": f"{dump}, and then copy the folder {tmp_path / 'texts'}",
    }.get(backend.blobs, f"{dump}, and then copy {backend.blobs}/.* with a tool of that service")
    with pytest.raises(StorageError, match=what):
        store.back_up(tmp_path / "copy")
    store.close()


def test_long_texts_in_the_database_stay_when_the_projections_are_made_anew(
    url: str, schema_name: str, tmp_path: Path
) -> None:
    store = filled(backend_of("database", schema_name), tmp_path)
    with store._postgres.transaction():
        store._postgres.remake_projections()
    store.rebuild()
    assert list(store.verify()) == []
    assert len(store.generations([key_of("3")])) == 1
    store.close()


def test_reading_from_a_place_that_was_never_made_makes_nothing(url: str, schema_name: str, tmp_path: Path) -> None:
    filled(backend_of("folder", schema_name), tmp_path).close()
    store = opened(backend_of("database", schema_name), tmp_path, "read")
    with pytest.raises(StorageError, match="is missing: bring it back from a backup"):
        store.generations([key_of("3")])
    [(made,)] = store._database.rows("SELECT to_regclass(?) IS NOT NULL", (f'"{schema_name}".blobs',))
    assert not made
    store.close()


def test_other_writers_do_not_wait_for_a_bucket(
    url: str, schema_name: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of("s3", schema_name)
    slow, other = opened(backend, tmp_path), opened(backend, tmp_path)
    write = slow._blobs.write

    def write_meanwhile(texts: Any) -> None:
        other.append([generation_recorded("meanwhile")])  # would wait for ever if a transaction were open
        write(texts)

    monkeypatch.setattr(slow._blobs, "write", write_meanwhile)
    slow.append([long_answer("slow")])
    assert len(other.generations([key_of("slow"), key_of("meanwhile")])) == 2
    for store in (slow, other):
        store.close()


def test_a_huge_text_comes_back_whole(url: str, schema_name: str, s3: S3Server, tmp_path: Path) -> None:
    store = opened(backend_of("s3", schema_name), tmp_path)
    huge = os.urandom(5_000_000).hex()
    store.append([long_answer("huge", huge)])
    assert store.generations([key_of("huge")])[key_of("huge")].text == huge
    store.close()


def test_long_answers_are_read_together(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(backend, tmp_path)
    asked: list[int] = []
    read_many = store._blobs.read_many

    def count(digests: Any) -> dict[bytes, bytes]:
        asked.append(len(digests))
        return read_many(digests)

    monkeypatch.setattr(store._blobs, "read_many", count)
    keys = [key_of(str(number)) for number in range(5)]
    assert {each.text for each in store.generations(keys).values()} == {f"{number} {LONG}" for number in range(5)}
    assert asked == [5]
    store.close()
