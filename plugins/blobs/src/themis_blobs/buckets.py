"""Objects in buckets of S3, Google Cloud Storage and Azure, by obstore."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import obstore
from obstore.exceptions import (
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import from_url

from themis_blobs.objects import Objects, Stat

__all__ = ["BucketObjects"]

_WHOLE: Final = 64 * 1024 * 1024
"""Bytes up to which an object is sent by one request: parts of one that was broken off would stay, and cost."""
_CONNECT_S: Final = 10
_OF_S3: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables by which obstore finds credentials itself."""


class BucketObjects(Objects):
    """A bucket, or what is beneath a prefix in it. Credentials are those of the environment."""

    lasting = (
        *Objects.lasting,
        *(InvalidPathError, NotSupportedError, PermissionDeniedError, UnauthenticatedError),
        UnknownConfigurationKeyError,
    )
    denied = (PermissionDeniedError, UnauthenticatedError)

    def __init__(self, url: str, options: Mapping[str, Any], timeout_s: float) -> None:
        config = dict(options)
        further: dict[str, Any] = {}
        if url.startswith(("s3://", "s3a://")) and (provider := _profile(config)) is not None:
            further["credential_provider"] = provider
        make: Any = from_url  # its types are those of each kind of URL apart
        self._store = make(
            url,
            config=config,
            client_options={
                "timeout": timedelta(seconds=timeout_s),
                "connect_timeout": timedelta(seconds=min(_CONNECT_S, timeout_s)),
                "allow_http": _is_plain(config),
            },
            # Who asks repeats, whatever the client: once, not by two layers.
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=timeout_s)},
            **further,
        )

    def put(self, name: str, data: bytes) -> None:
        obstore.put(self._store, name, data, use_multipart=len(data) > _WHOLE)

    def get(self, name: str) -> bytes:
        return bytes(obstore.get(self._store, name).bytes())

    def check(self, name: str) -> None:
        obstore.head(self._store, name)

    def list(self, folder: str) -> Iterator[Stat]:
        for page in obstore.list(self._store, prefix=folder):
            for each in page:
                yield Stat(each["path"], each["size"], each["last_modified"].timestamp())

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self._store, name)


def _is_plain(config: Mapping[str, Any]) -> bool:
    """Whether the server is named by http://, so that it is meant to be asked without TLS."""
    named = [value for key, value in config.items() if "endpoint" in key.lower()]
    named += [value for key, value in os.environ.items() if key.upper().startswith("AWS_ENDPOINT_URL")]
    return any(str(each).lower().startswith("http://") for each in named)


def _profile(config: Mapping[str, Any]) -> Any:
    """Return what gives the credentials of AWS's profiles, single sign-on included, which obstore does not read.

    None if there are none, or if the environment says it all. Raises ValueError if a profile is named and boto3 lacks.
    """
    if any(map(os.environ.get, _OF_S3)) or str(config.get("skip_signature", "")).lower() == "true":
        return None
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if name := os.environ.get("AWS_PROFILE"):
            raise ValueError(f"the profile {name} of AWS_PROFILE is read by boto3: pip install boto3") from None
        return None
    session = boto3.Session()
    credentials = session.get_credentials()
    return None if credentials is None else Boto3CredentialProvider(session)
