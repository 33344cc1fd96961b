"""Tokens that expire, made by a command such as `az account get-access-token`. No key or token is in any message."""

from __future__ import annotations

import asyncio
import re
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from themis_core import EngineError

__all__ = ["TokenCommand"]

FRESH_S: Final = 240.0
"""A token is asked for again after that time: the makers of such commands keep one themselves until it is near its end,
and then hand out a new one at least five minutes before."""
LONGEST_S: Final = 60.0
_TOKEN = re.compile(rb"[\x21-\x7e]{8,16384}")


class TokenCommand:
    """Runs a command, and keeps what it says for a while. Used from one event loop."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._lock = asyncio.Lock()
        self._token = ""
        self._made = 0.0

    async def token(self) -> str:
        """The token. Raises EngineError `unauthorized` if the command gives none."""
        async with self._lock:
            if not self._token or time.monotonic() - self._made > FRESH_S:
                self._token = await self._run()
                self._made = time.monotonic()
            return self._token

    async def _run(self) -> str:
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        except (OSError, ValueError) as error:
            raise self._failed(f"can't be started: {type(error).__name__}") from None
        try:
            async with asyncio.timeout(LONGEST_S):
                said, _ = await process.communicate()
        except TimeoutError:
            raise self._failed(f"gave none within {LONGEST_S:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            raise self._failed(f"ended with status {process.returncode}")
        if not _TOKEN.fullmatch(said.strip()):
            raise self._failed("printed something else than one token")
        return said.strip().decode("ascii")

    def _failed(self, what: str) -> EngineError:
        return EngineError("unauthorized", f"the command of token_command ({self._command[0]}) {what}: try it by hand")
