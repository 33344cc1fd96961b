"""What `postgres/blob` is told: where the server and the store are, and how long to wait for what."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from themis_blobs import check_options, check_place, is_url
from themis_core import StorageBackend
from themis_plugin_postgres.address import has_password, mistake_in

__all__ = ["PostgresConfig"]


class PostgresConfig(StorageBackend):
    """The fields of the backend, apart from it: what opens a store reads them, and is imported by the backend."""

    # An error of pydantic would otherwise quote a URL, password included.
    model_config = ConfigDict(hide_input_in_errors=True)

    backend = "postgres"
    not_identity = frozenset(
        {
            "url_env",
            "url",
            "schema_name",
            "blobs",
            "blob_options",
            "blob_timeout_s",
            "inline_limit_bytes",
            "synchronous_commit",
            "connect_timeout_s",
            "reconnect_timeout_s",
            "statement_timeout_s",
            "lease_s",
        }
    )

    url_env: str = Field(
        default="THEMIS_POSTGRES_URL",
        description="Environment variable that holds the URL of the database, postgresql://user:password@host/database.",
    )
    url: str | None = Field(
        default=None,
        repr=False,
        description=(
            "URL of the database in place of the variable; without a password, which would be recorded with every run: "
            "that may be in PGPASSWORD or ~/.pgpass."
        ),
    )
    schema_name: str = Field(
        default="themis",
        description="Schema of the database that holds the store, made when needed; one store per schema.",
    )
    blobs: str = Field(
        default=".themis/blobs",
        description=(
            "Where the longer texts are: `database`, a folder (relative to that of the spec file), or a URL such as "
            "s3://bucket/prefix. Everyone who uses the store must reach the same texts there."
        ),
    )
    blob_options: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Options of the client of that URL, such as endpoint_url or region; no keys: those are in the environment."
        ),
    )
    blob_timeout_s: float = Field(
        default=60.0,
        ge=0.1,
        le=3_600.0,
        description=(
            "Seconds that one request to that URL may take. One that failed is tried again for reconnect_timeout_s."
        ),
    )
    inline_limit_bytes: int = Field(
        default=65_536,
        ge=1_024,
        le=100_000_000,
        description="Texts longer than this, in bytes of UTF-8, go there.",
    )
    synchronous_commit: Literal["on", "local", "off"] = Field(
        default="on",
        description=(
            "on: what is saved survives a power cut of the server (and of its synchronous standbys). local: it does "
            "not wait for standbys. off: a crash of the server may take the last seconds; for tests."
        ),
    )
    connect_timeout_s: float = Field(
        default=10.0,
        ge=1.0,
        le=3_600.0,
        description=(
            "Seconds to wait for the server when the store is opened, and for a reply before its connection is "
            "looked into."
        ),
    )
    reconnect_timeout_s: float = Field(
        default=60.0,
        ge=0.0,
        le=86_400.0,
        description="Seconds to try again when a connection is lost, as when the server restarts.",
    )
    statement_timeout_s: float = Field(
        default=600.0,
        ge=1.0,
        le=86_400.0,
        description="Seconds after which the server ends a statement, one that waits for another writer included.",
    )
    lease_s: float = Field(
        default=30.0,
        ge=1.0,
        le=3_600.0,
        description="Seconds after its last sign of life at which a process loses the run it works on to the next one.",
    )

    @field_validator("schema_name")
    @classmethod
    def _names_a_schema(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", value) or value.lower().startswith("pg_"):
            raise ValueError("schema_name must be 1 to 63 letters, digits and _, and not begin with a digit or pg_")
        return value

    @field_validator("url_env")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError("url_env must name an environment variable, such as THEMIS_POSTGRES_URL, not be the URL")
        return value

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if mistake := mistake_in(value):
            raise ValueError(f"url {mistake}")
        if has_password(value):
            raise ValueError(
                "url must not hold a password, which would be recorded with every run: put the whole URL in an "
                "environment variable and name that in url_env, or the password in PGPASSWORD or ~/.pgpass"
            )
        return value

    @field_validator("blobs")
    @classmethod
    def _names_a_place(cls, value: str) -> str:
        if value != "database" and value.strip().lower() == "database":
            raise ValueError(
                f"blobs: {value!r} is neither `database` nor a folder: write database, or ./{value.strip()}"
            )
        try:
            check_place(value)
        except ValueError as error:
            raise ValueError(f"blobs {error}") from None
        return value

    @model_validator(mode="after")
    def _has_options_without_secrets(self) -> Self:
        if self.blob_options and not is_url(self.blobs):
            raise ValueError("blob_options are those of the client of a URL, and blobs names none")
        try:
            check_options(self.blob_options)
        except ValueError as error:
            raise ValueError(f"blob_options {error}") from None
        return self

    @model_validator(mode="before")
    @classmethod
    def _has_no_former_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and "blob_root" in value:
            raise ValueError("blob_root is called blobs: write blobs: and the same folder")
        return value
