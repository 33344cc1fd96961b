"""What goes wrong on the way to the server, each with its own advice; and what keeps a check from its work."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from themis_core import StorageError
from themis_core.testing.events import run_started
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres.address import masked
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.faults import PostgresFault, advice_on, state_at_connecting, unable_to_check
from themis_plugin_postgres.store import PostgresStore

PASSWORD = "l0ng-and-s3cret"


@pytest.fixture(scope="module")
def tcp() -> Iterator[PostgresServer]:
    """A server over TCP, with scram."""
    with PostgresServer(tcp=True) as server:
        server.execute(f"CREATE ROLE ada LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        server.execute("CREATE ROLE full_role LOGIN CONNECTION LIMIT 0 PASSWORD 'r'")
        server.execute("CREATE ROLE barred NOLOGIN PASSWORD 'r'")
        server.execute("CREATE DATABASE lab OWNER ada TEMPLATE template0")
        yield server


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("postgresql://ada:wrong@127.0.0.1:{port}/lab", "check the user and the password"),
        ("postgresql://ada@127.0.0.1:{port}/lab", "check the user and the password"),
        ("postgresql://nobody:r@127.0.0.1:{port}/lab", "check the user and the password"),
        (f"postgresql://ada:{PASSWORD}@127.0.0.1:{{port}}/nowhere", "make it with createdb, or correct the URL"),
        ("postgresql://full_role:r@127.0.0.1:{port}/lab", "no free connection: end some, or raise its max_connections"),
        ("postgresql://barred:r@127.0.0.1:{port}/lab", "by no rule: ask for one in its pg_hba.conf"),
        (f"postgresql://ada:{PASSWORD}@127.0.0.1:{{port}}/lab?sslmode=require", "correct sslmode"),
        (f"postgresql://ada:{PASSWORD}@127.0.0.1:{{closed}}/lab", "check that the server runs and can be reached"),
        (f"postgresql://ada:{PASSWORD}@no-such-host.invalid/lab", "the name of the host is not known here"),
        ("postgresql://ada@/lab?host=/no/such/folder", "check that the server runs and can be reached"),
    ],
)
def test_what_keeps_a_store_from_opening_is_told_with_its_advice(
    tcp: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, advice: str
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url.format(port=tcp.port, closed=closed_port()))
    with pytest.raises(StorageError, match=advice) as caught:
        PostgresBlobStorageSpec(connect_timeout_s=2).open(tmp_path)
    assert PASSWORD not in str(caught.value)
    assert "***" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("FATAL:  sorry, too many clients already", "53300"),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", "53300"),
        ("FATAL: no more connections allowed (max_client_conn)", "53300"),
        ("FATAL:  the database system is starting up", "57P03"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ada", database "lab", no encryption', "TLS"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ada", database "lab", SSL encryption', "28000"),
        ("SSL error: certificate verify failed", "TLS"),
        ("server does not support SSL, but SSL was required", "TLS"),
        ('could not translate host name "db" to address: Temporary failure in name resolution', "NAME"),
        ("connection timeout expired", "DOWN"),
        ('FATAL:  Peer authentication failed for user "ada"', "28P01"),
        ("FATAL:  SASL authentication failed", "28P01"),
        ("FATAL:  no such database: lab", "3D000"),
        ("something that nobody knows", ""),
    ],
)
def test_messages_at_connecting_are_told_apart(message: str, state: str) -> None:
    assert state_at_connecting(message) == state
    assert advice_on(PostgresFault(message, state))


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("error near the word role", "postgresql://u:r@h/d", "error near the word role"),
        ("can't use postgresql://u:r@h/d", "postgresql://u:r@h/d", "can't use postgresql://u:***@h/d"),
        ("password=r host=r", "postgresql://h/d?password=r", "password=*** host=r"),
        ("password: 'r'", "postgresql://u:r@h/d", "password: '***'"),
        ('database "postgres" is away', "postgresql://postgres:postgres@h/postgres", 'database "postgres" is away'),
        ("token long-secret-1 is bad", "postgresql://u:long-secret-1@h/d", "token *** is bad"),
        ("sslpassword=k1 is bad", "postgresql://h/d?sslpassword=k1", "sslpassword=*** is bad"),
        ("p%40ss%20word", "postgresql://u:p%40ss%20word@h/d", "***"),
    ],
)
def test_a_password_is_masked_where_it_stands_as_one(text: str, url: str, shown: str) -> None:
    assert masked(text, url) == shown


@pytest.mark.parametrize(
    ("state", "unable"),
    [
        ("42501", True), ("25006", True), ("53100", True), ("53200", True), ("57014", True), ("55P03", True),
        ("", True),
        ("XX001", False), ("XX002", False), ("42P01", False), ("42703", False), ("22021", False),
    ],
)  # fmt: skip
def test_a_check_that_could_not_be_done_is_no_damage(state: str, *, unable: bool) -> None:
    assert unable_to_check(PostgresFault("", state)) is unable


def test_verify_without_the_right_to_temporary_tables_is_an_error_of_its_own(
    tcp: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEMIS_POSTGRES_URL", f"postgresql://ada:{PASSWORD}@127.0.0.1:{tcp.port}/lab")
    spec = PostgresBlobStorageSpec(schema_name=f"s_{secrets.token_hex(4)}")
    store = spec.open(tmp_path)
    assert isinstance(store, PostgresStore)
    store.append([run_started()])
    assert list(store.verify()) == []
    store._database.run("REVOKE TEMPORARY ON DATABASE lab FROM PUBLIC, ada")
    with pytest.raises(StorageError, match=r"the check could not be done: .*permission denied to create temporary"):
        list(store.verify())
    store._database.run("GRANT TEMPORARY ON DATABASE lab TO ada")
    store.close()


def test_a_wrong_password_is_told_at_once_and_a_server_that_starts_is_waited_for(
    tcp: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEMIS_POSTGRES_URL", f"postgresql://ada:{PASSWORD}@127.0.0.1:{tcp.port}/lab")
    store: Any = PostgresBlobStorageSpec(schema_name=f"s_{secrets.token_hex(4)}").open(tmp_path)
    tcp.restart(down_s=0.2)
    store.append([run_started()])
    with psycopg.connect(tcp.url, autocommit=True) as admin:
        admin.execute("ALTER ROLE ada PASSWORD 'other'")
    tcp.terminate_backends()
    tcp.restart()
    with pytest.raises(StorageError, match="check the user and the password"):
        list(store.runs())
    with psycopg.connect(tcp.url, autocommit=True) as admin:
        admin.execute(f"ALTER ROLE ada PASSWORD '{PASSWORD}'".encode())
    store.close()
