"""The settings, where the URL comes from, and that no password is in anything that is shown."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from themis_core import StorageError, run
from themis_plugin_postgres.address import masked, mistake_in, shown
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.database import PostgresDatabase
from themis_sql import SqlStore

SECRET = "s3cr3t-c4n4ry"
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url_env": "postgresql://u@h/d"}, "must name an environment variable, such as THEMIS_POSTGRES_URL"),
        ({"schema_name": "a-b"}, "1 to 63 letters, digits and _"),
        ({"schema_name": "pg_mine"}, "not begin with a digit or pg_"),
        ({"schema_name": 'a"; DROP SCHEMA public'}, "1 to 63 letters"),
        ({"blobs": " "}, "blobs must name a folder, such as .themis/blobs, or a URL"),
        ({"blobs": "texts\0"}, "blobs must name a folder"),
        ({"blobs": f"s3://key:{SECRET}@bucket/x"}, "blobs must not hold a user or password"),
        ({"blobs": f"sftp://{SECRET}@host/x"}, "blobs must not hold a user or password"),
        ({"blobs": f"az://container/x?sig={SECRET}"}, "blobs must be a URL without"),
        ({"blobs": "Database"}, "is neither `database` nor a folder: write database, or ./Database"),
        ({"blobs": "s3:/bucket/x"}, "blobs must have two slashes if it is a URL: s3://bucket/prefix"),
        ({"blobs": " s3://bucket/x"}, "blobs must not begin or end with a space"),
        ({"blobs": "s3:///x"}, "blobs must name a bucket: s3://bucket/prefix"),
        ({"blobs": "file:///tmp/x"}, "blobs must name a folder as a path, without file://"),
        ({"blobs": "s3://b", "blob_options": {"secret_access_key": SECRET}}, "blob_options must not hold a secret"),
        ({"blobs": "az://b", "blob_options": {"sas_key": SECRET}}, "blob_options must not hold a secret"),
        ({"blobs": "sftp://b", "blob_options": {"password": SECRET}}, "blob_options must not hold a secret"),
        ({"blobs": "texts", "blob_options": {"region": "x"}}, "blob_options are those of the client of a URL"),
        ({"blob_root": "texts"}, "blob_root is called blobs: write blobs: and the same folder"),
        ({"blob_timeout_s": 0}, "type=greater_than_equal"),
        ({"url": "mysql://h/d"}, "is no database URL: write one like postgresql://"),
        ({"url": "postgresql://h:port/d"}, "can't be read as a URL"),
        ({"url": "postgresql://h:99999/d"}, "can't be read as a URL"),
        ({"url": f"postgresql://u:{SECRET}@h/d"}, "must not hold a password.*url_env.*PGPASSWORD"),
        ({"url": f"postgresql://h/d?password={SECRET}"}, "must not hold a password"),
        ({"url": f"postgresql://u:{SECRET}#1@h/d"}, "need %-escapes"),
        ({"lease_s": 0}, "type=greater_than_equal"),
        ({"synchronous_commit": "remote_write"}, "type=literal_error"),
        ({"root_dir": "x"}, "type=extra_forbidden"),
    ],
)
def test_a_config_mistake_is_refused_and_no_value_of_it_is_quoted(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}") as caught:
        PostgresBlobStorageSpec(**config)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:pw@db.example:5433/lab", "postgresql://u@db.example:5433/lab?schema=themis"),
        ("postgres://u:p%40w@db/lab?sslmode=require", "postgres://u@db/lab?schema=themis"),
        ("postgresql://u@[::1]:5433/lab?password=pw", "postgresql://u@[::1]:5433/lab?schema=themis"),
        ("postgresql://a:1,b:2/lab", "postgresql://a:1,b:2/lab?schema=themis"),
        ("postgresql://u@/lab?host=/var/run", "postgresql://u@/var/run/lab?schema=themis"),
        ("postgresql://", "postgresql://localhost/?schema=themis"),
    ],
)
def test_a_url_is_shown_without_password_and_options(url: str, place: str) -> None:
    assert mistake_in(url) is None
    assert shown(url, "themis") == place


@pytest.mark.parametrize("form", ["p@ss w", "p%40ss%20w"])
def test_a_password_is_masked_in_any_form_of_it(form: str) -> None:
    assert masked(f"can't take {form} here", "postgresql://u:p%40ss%20w@h/d") == "can't take *** here"


def test_a_variable_that_is_not_set_is_found_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_STORE", raising=False)
    backend = PostgresBlobStorageSpec(url_env="MY_STORE")
    assert backend.location(tmp_path) == "Postgres by MY_STORE"
    message = "the environment variable MY_STORE is not set: set it to the URL of the database, such as"
    with pytest.raises(ValueError, match=message):
        backend.check(tmp_path)
    with pytest.raises(StorageError, match=message):
        backend.open(tmp_path)


def test_a_variable_that_holds_no_url_is_an_error_that_quotes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (f"host=h password={SECRET}", f"postgresql://u:{SECRET}/x@h/d", f"postgresql://u:a#{SECRET}@h/d"):
        monkeypatch.setenv("THEMIS_POSTGRES_URL", value)
        with pytest.raises(ValueError, match="the environment variable THEMIS_POSTGRES_URL") as caught:
            PostgresBlobStorageSpec().check(tmp_path)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert SECRET not in PostgresBlobStorageSpec().location(tmp_path)


def test_a_server_that_is_not_there_is_an_error_that_says_so_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEMIS_POSTGRES_URL", f"postgresql://u:{SECRET}@/d?host={tmp_path}/none")
    with pytest.raises(
        StorageError, match="check that the server runs and can be reached by the URL in THEMIS"
    ) as caught:
        PostgresBlobStorageSpec().open(tmp_path)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_in_no_row_log_error_or_output(
    url: str,
    url_as: Callable[[str, str], str],
    schema_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE \"{schema_name}\" SUPERUSER LOGIN PASSWORD '{SECRET}'".encode())
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url_as(schema_name, SECRET))
    caplog.set_level(logging.DEBUG)
    rows = [{"id": "1", "output": "4", "reference": "4", "model": "m"}]
    spec = {
        "project": {"storage": {"backend": "postgres", "schema_name": schema_name}},
        "benchmark": {
            "benchmark_id": "canary",
            "models": [],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {
                        "source": "files/inline",
                        "fields": {"output": "output", "model": "model"},
                        "extras": {"rows": rows},
                    },
                    "scores": [{"name": "a", "metrics": ["text/exact_match"]}],
                }
            ],
        },
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    result = run(path)
    backend = PostgresBlobStorageSpec(schema_name=schema_name)
    seen = [repr(result), repr(backend), str(backend.model_dump()), backend.location(tmp_path)]
    store = backend.open(tmp_path)
    assert isinstance(store, SqlStore)
    tables = store._database.rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = to_regnamespace(?)",
        (f'"{schema_name}"',),
    )
    names = [name for (name,) in tables]
    assert {"events", "run_holders", "v_scores"} <= set(names)
    for name in names:
        seen += [row for (row,) in store._database.rows(f"SELECT t::text FROM {name} t")]
    seen.append(repr(list(store.events())))  # which are compressed in their table
    store._database.run("DROP TABLE trials CASCADE")
    with pytest.raises(StorageError) as caught:
        list(store.runs())
    seen += traceback.format_exception(caught.value)
    store.close()
    seen += [*caplog.messages, *capfd.readouterr()]
    assert not [each for each in seen if SECRET in each]


def test_the_readme_names_every_setting_with_its_default() -> None:
    text = README.read_text(encoding="utf-8")
    for name, field in PostgresBlobStorageSpec.model_fields.items():
        default = field.get_default(call_default_factory=True)
        default = f"{default:g}" if isinstance(default, float) else default
        assert f"| `{name}` | {f'`{default}`' if default is not None else ''} |".replace("  ", " ") in text


def test_naming_the_plugin_imports_no_driver() -> None:
    code = (
        "import sys; from themis_plugin_postgres import plugin; found = {}\n"
        "plugin.themis_register_storage_backends(found.setdefault)\n"
        "print(sorted(found), [name for name in ('psycopg', 'sqlalchemy', 'zstandard') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['blob'] []\n"


@pytest.mark.parametrize("synchronous_commit", ["on", "local", "off"])
def test_a_connection_is_set_up_as_the_config_says(
    url: str, schema_name: str, tmp_path: Path, synchronous_commit: str
) -> None:
    config: dict[str, Any] = {"synchronous_commit": synchronous_commit}
    backend = PostgresBlobStorageSpec(schema_name=schema_name, statement_timeout_s=7, lease_s=2, **config)
    store = backend.open(tmp_path)
    database = store._database  # type: ignore[attr-defined]
    assert isinstance(database, PostgresDatabase)
    names = ("synchronous_commit", "statement_timeout", "idle_in_transaction_session_timeout", "search_path")
    found = [database.row(f"SHOW {name}")[0] for name in names]
    assert found == [synchronous_commit, "7s", "8s", f'"{schema_name}"']
    store.close()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql://me:word@localhost/x", "localhost"),
        ("postgresql:///x", "localhost"),
        ("postgresql:///x?host=/run/postgres", "/run/postgres"),
        ("postgresql://%2Frun%2Fpostgres/x", "/run/postgres"),
        ("postgresql://me@[::1]:5432/x", "::1"),
        ("postgresql://127.0.0.1:1,127.0.0.2:2/x", "127.0.0.1"),
        ("postgresql://127.0.0.1:1,db.example:2/x", None),
        ("postgresql://db.example/x", None),
        ("postgresql:///x?host=db.example", None),
    ],
)
def test_what_other_machines_may_not_reach_is_told(
    url: str, host: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url)
    texts, *database = PostgresBlobStorageSpec().only_here(tmp_path)
    assert (texts.setting, texts.folder) == ("blobs", tmp_path / ".themis" / "blobs")
    assert [each.setting for each in database] == (["url_env"] if host else [])
    assert all(f"the database's host is {host}, " in each.advice and "word" not in each.advice for each in database)


def test_without_its_url_only_the_folder_of_texts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THEMIS_POSTGRES_URL", raising=False)
    assert [each.setting for each in PostgresBlobStorageSpec().only_here(tmp_path)] == ["blobs"]


@pytest.mark.parametrize(
    ("blobs", "told"), [("database", []), ("s3://bucket/x", []), ("memory://x", ["blobs"]), ("texts", ["blobs"])]
)
def test_long_texts_that_every_machine_reaches_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blobs: str, told: list[str]
) -> None:
    monkeypatch.delenv("THEMIS_POSTGRES_URL", raising=False)
    assert [each.setting for each in PostgresBlobStorageSpec(blobs=blobs).only_here(tmp_path)] == told
