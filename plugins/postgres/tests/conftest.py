"""One server per session, and in it a schema of its own for each test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from themis_blobs.testing import S3Server
from themis_core.testing.postgres import PostgresServer, server_for_tests


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with server_for_tests() as server:
        yield server


@pytest.fixture(scope="session")
def database_url(server: PostgresServer) -> str:
    return server.new_database()


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the database for tests, also in the variable that the backend reads."""
    monkeypatch.setenv("THEMIS_POSTGRES_URL", database_url)
    return database_url


@pytest.fixture
def url_as(url: str) -> Callable[[str, str], str]:
    """Return the URL with another user and password."""

    def url_as(user: str, password: str) -> str:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{hosts}"))

    return url_as


@pytest.fixture
def schema_name() -> str:
    """A schema that nothing else uses: made much faster than a database."""
    return f"Test_{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3") / "data") as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3-compatible server, in the environment of this process."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server
