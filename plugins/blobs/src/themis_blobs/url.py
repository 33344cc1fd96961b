"""Long texts as objects `ab/<sha256>.zst` beneath a URL: several at once, and again after a failure that may pass.

It knows no client: that is an `Objects`.
"""

from __future__ import annotations

import logging
import random
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from typing import Final, NoReturn, TypeVar

from themis_blobs.base import Blobs, BlobUnreachable, StoredBlob, object_name, pack, unpack
from themis_blobs.objects import Objects
from themis_blobs.threads import at_once
from themis_core import StorageError
from themis_secrets import without_secrets

__all__ = ["UrlBlobs", "told"]

T = TypeVar("T")
_AT_ONCE: Final = 16
"""Requests at a time. Each has one text, compressed, in memory."""
_FIRST_WAIT_S: Final = 0.1
_MOST_WAIT_S: Final = 5.0
_OPENING_S: Final = 2.0
"""Seconds for which a place is tried that can't be written to when it is opened."""
_MARGIN_S: Final = 5.0
"""Seconds beyond its own time-outs after which a client is taken to hang."""
_PROBE: Final = "themis-probe-"
_NAME: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.zst")
_PART: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.zst\.[0-9a-f]+\.part")
_SHOWN: Final = 600
"""Characters of a client's message that are shown."""

logger = logging.getLogger(__name__)


class UrlBlobs(Blobs):
    """What is beneath a URL."""

    def __init__(self, url: str, objects: Objects, *, timeout_s: float, retry_s: float) -> None:
        """`timeout_s` bounds one request, `retry_s` how long one that failed is repeated."""
        self._url = url
        self._objects = objects
        self._timeout_s = timeout_s
        self._retry_s = retry_s

    @property
    def place(self) -> str:
        return self._url

    def where(self, digest: bytes) -> str:
        return f"the object {self._url}/{object_name(digest)}"

    def prepare(self) -> None:
        # Of its own name: not every service keeps apart what many who open a store at once would write to one object.
        name, said = f"{_PROBE}{secrets.token_hex(8)}.txt", secrets.token_bytes(16)
        try:
            self._ask(lambda: self._objects.put(name, said), retry_s=min(self._retry_s, _OPENING_S))
            found = self._ask(lambda: self._objects.get(name), retry_s=0)
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            self._refuse("can't be written to", error)
        with suppress(Exception):  # to remove it may need a right that runs don't
            self._ask(lambda: self._objects.remove(name), retry_s=0)
        if found != said:
            raise StorageError(f"{self._url} gives back something else than was written to it: name another place")

    def write(self, texts: Mapping[bytes, bytes]) -> None:
        # Without asking what is there: that it exists would prove nothing, and two requests take longer than one.
        def put(digest: bytes) -> None:
            packed = pack(texts[digest])
            # A bucket that was there when the store was opened will be there again.
            self._again(lambda: self._objects.put(object_name(digest), packed), passing=(FileNotFoundError,))

        try:
            for _ in self._at_once(put, texts):
                pass
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            self._refuse("could not be written to", error)

    def read(self, digest: bytes) -> bytes:
        return self.read_many((digest,))[digest]

    def read_many(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        try:
            return dict(self._at_once(self._read, digests))
        except TimeoutError as error:
            raise BlobUnreachable(f"{self._url}, where the long texts are, can't be read: {error}") from error

    def _read(self, digest: bytes) -> bytes:
        try:
            return self._read_once(digest)
        except BlobUnreachable:
            raise
        except StorageError:  # what lies between may have cut it off
            return self._read_once(digest)

    def _read_once(self, digest: bytes) -> bytes:
        where = self.where(digest)
        try:
            packed = self._again(lambda: self._objects.get(object_name(digest)))
        except FileNotFoundError as error:
            raise StorageError(f"{where} is missing: bring it back from a backup") from error
        except Exception as error:
            raise BlobUnreachable(f"{where} can't be read: {told(error)}") from error
        return unpack(packed, digest, where)

    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        def is_missing(digest: bytes) -> bool:
            try:
                self._again(lambda: self._objects.check(object_name(digest)))
            except FileNotFoundError:
                return True
            return False

        try:
            return {digest for digest, gone in self._at_once(is_missing, digests) if gone}
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            self._refuse("could not be asked", error)

    def stored(self) -> Iterator[StoredBlob]:
        for number in range(256):
            yield from sorted(self._stored_in(f"{number:02x}"), key=lambda each: each.digest or b"")

    def _stored_in(self, folder: str) -> list[StoredBlob]:
        try:
            found = self._ask(lambda: list(self._objects.list(folder)), retry_s=self._retry_s)
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            self._refuse("could not be listed", error)
        now = time.time()
        # Some services list an object twice after two wrote it at once, as `rclone serve s3` does.
        latest = {each[0]: each for each in sorted(found, key=itemgetter(0, 2))}
        return [
            StoredBlob(f"{self._url}/{name}", digest, size, max(0.0, now - written_at))
            for name, size, written_at in latest.values()
            if (digest := _digest(name)) is not None or _PART.fullmatch(name)
        ]

    def remove(self, blob: StoredBlob) -> None:
        name = blob.path.removeprefix(f"{self._url}/")
        try:
            self._ask(lambda: self._objects.remove(name), retry_s=self._retry_s)
        except Exception as error:
            raise StorageError(f"can't remove {blob.path}: {told(error)}") from error

    def _at_once(self, do: Callable[[bytes], T], digests: Iterable[bytes]) -> Iterator[tuple[bytes, T]]:
        limit_s = self._retry_s + 2 * self._timeout_s + _MARGIN_S
        return at_once(do, digests, threads=_AT_ONCE, limit_s=limit_s)

    def _ask(self, do: Callable[[], T], *, retry_s: float) -> T:
        """Return what one request says, which may hang."""
        limit_s = retry_s + 2 * self._timeout_s + _MARGIN_S
        for _, result in at_once(lambda _: self._again(do, retry_s), (None,), threads=1, limit_s=limit_s):
            return result
        raise AssertionError("one request, and no result")

    def _again(
        self, do: Callable[[], T], retry_s: float | None = None, *, passing: tuple[type[Exception], ...] = ()
    ) -> T:
        """Return what it returns, repeated while what it raises may pass; the time begins with the first failure."""
        deadline: float | None = None
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return do()
            except Exception as error:
                if isinstance(error, self._objects.lasting) and not isinstance(error, passing):
                    raise
                now = time.monotonic()
                if deadline is None:
                    deadline = now + (self._retry_s if retry_s is None else retry_s)
                    logger.debug("%s failed (%s); trying again", self._url, told(error))
                if now + wait_s > deadline:
                    raise
            time.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(2 * wait_s, _MOST_WAIT_S)

    def _refuse(self, what: str, error: Exception) -> NoReturn:
        if isinstance(error, self._objects.denied):
            advice = "look at the credentials in the environment, and at the rights that they give there"
        elif isinstance(error, FileNotFoundError):
            advice = "it is not there: make the bucket or folder that blobs names, or name another one"
        else:
            advice = "look whether the service can be reached from here, then run the same command again"
        raise StorageError(f"{self._url}, where the long texts are, {what} ({told(error)}): {advice}") from error


def _digest(name: str) -> bytes | None:
    """Return the digest that the name of an object is made of; None of any other name."""
    if _NAME.fullmatch(name) and name[:2] == name[3:5]:
        return bytes.fromhex(name[3:67])
    return None


def told(error: BaseException) -> str:
    """Return what a client's error says, in one line and without what looks like a secret."""
    text = str(error).partition("\n\nDebug source")[0] or type(error).__name__
    text = " ".join(without_secrets(text).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
