"""What a user writes as the place of long texts: a folder or a URL. How that is checked, and opened.

It imports a client only for who names such a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from themis_blobs.base import Blobs
from themis_blobs.folder import FolderBlobs
from themis_core import StorageError, resolve_path
from themis_secrets import find_key

__all__ = ["check_options", "check_place", "is_url", "need_client", "open_place"]

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKETS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
"""Schemes of buckets, and the extra that installs what they need."""

_ALMOST: Final = re.compile(rf"({'|'.join(_BUCKETS)}):", re.IGNORECASE)
_SECRET_OPTION: Final = re.compile(
    r"(?:^|_)(?:sas|token|pwd|(?:account|customer|encryption|sas)_key(?:_base64)?)$", re.IGNORECASE
)
"""Names of options of clients that hold a secret, whatever its form, beside those that everybody knows."""


def is_url(place: str) -> bool:
    """Whether it is a URL and no folder."""
    return _URL.match(place) is not None


def check_place(place: str) -> None:
    """Raise ValueError if no long texts can be there, whatever is installed; nothing that is secret is repeated."""
    if not place.strip() or "\0" in place:
        raise ValueError("must name a folder, such as .themis/blobs, or a URL, such as s3://bucket/prefix")
    if place != place.strip():
        raise ValueError("must not begin or end with a space")
    match = _URL.match(place)
    if match is None:
        if (found := _ALMOST.match(place)) is not None:  # a folder of that name is meant by nobody
            raise ValueError(f"must have two slashes if it is a URL: {found[1].lower()}://bucket/prefix")
        return
    scheme, rest = match[1].lower(), match[2]
    host = rest.partition("/")[0]
    if "@" in host and not (scheme in ("abfs", "abfss") and ":" not in host):  # there it is container@account
        raise ValueError(
            "must not hold a user or password, which would be recorded with every run: give them to the client of "
            f"{scheme}:// by its environment variables or profiles"
        )
    if "?" in rest or "#" in rest:
        raise ValueError(
            "must be a URL without ? and #: options of the client belong in blob_options, keys and signatures in its "
            "environment variables"
        )
    if scheme in ("file", "local"):
        raise ValueError(f"must name a folder as a path, without {scheme}://")
    if scheme in _BUCKETS and not host.strip():
        raise ValueError(f"must name a bucket: {scheme}://bucket/prefix")


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ValueError if options hold what looks like a secret, by its name or its form; it is not repeated."""
    if find_key(options, by_name=True) is not None or any(map(_SECRET_OPTION.search, options)):
        raise ValueError(
            "must not hold a secret, which would be recorded with every run: give it to the client by its environment "
            "variables or profiles"
        )


def need_client(place: str, *, distribution: str) -> None:
    """Import what a URL needs. Raises ValueError that says what to install, as an extra of a distribution."""
    match = _URL.match(place)
    if match is None:
        return
    scheme = match[1].lower()
    extra = _BUCKETS.get(scheme, "fsspec")
    install = f"pip install '{distribution}[{extra}]'"
    try:
        if scheme in _BUCKETS:
            import obstore  # noqa: F401

            return
        import fsspec
    except ImportError as error:
        raise ValueError(f"{scheme}:// needs {error.name}: {install}") from None
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise ValueError(f"{scheme}:// needs a package more: {error}") from None
    except ValueError:
        raise ValueError(f"{scheme}:// is no kind of URL that fsspec knows: s3://, gs://, az://, sftp://, …") from None


def open_place(
    place: str, name: str, base_dir: Path, options: Mapping[str, Any], *, timeout_s: float, retry_s: float
) -> Blobs:
    """Return the long texts of the store of that name, beneath a folder (from `base_dir` on) or a URL; makes nothing.

    Raises StorageError if the client refuses its settings.
    """
    match = _URL.match(place)
    if match is None:
        return FolderBlobs(resolve_path(place, base_dir) / name)
    from themis_blobs.url import UrlBlobs, told

    scheme = match[1].lower()
    url = f"{scheme}://{match[2].rstrip('/')}/{name}"
    try:
        return UrlBlobs(url, _objects(scheme, url, options, timeout_s), timeout_s=timeout_s, retry_s=retry_s)
    except Exception as error:
        raise StorageError(
            f"{place} can't be opened ({told(error)}): look at blobs, blob_options and the environment of its client"
        ) from error


def _objects(scheme: str, url: str, options: Mapping[str, Any], timeout_s: float) -> Any:
    if scheme in _BUCKETS:
        from themis_blobs.buckets import BucketObjects

        return BucketObjects(url, options, timeout_s)
    from themis_blobs.file_systems import FileSystemObjects

    return FileSystemObjects(url, options, timeout_s)
