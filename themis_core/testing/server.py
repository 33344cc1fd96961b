"""A scripted model server, in a process of its own, with a ledger of every request.

It speaks the protocols of `themis_core.testing.wires`: OpenAI's, Anthropic's, Gemini's, and Bedrock's Converse.

It knows no plugin and no client: what it says is in `themis_core.testing.script`.

    with ScriptedServer({"answers": {"rule": "echo"}, "faults": [{"at": 2, "status": 500}]}) as server:
        ...                      # send requests to server.base_url
        assert server.count == 2

`python -m themis_core.testing.server` serves in the foreground; it reads a script, one line of JSON, from
standard input, prints its address, and ends when standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from themis_core.testing.batches import BatchBook
from themis_core.testing.native_batches import AnthropicBatches, GeminiBatches
from themis_core.testing.script import Reply, Script, simple_reply
from themis_core.testing.wires import understood

__all__ = ["ScriptedServer", "ServedRequest"]

CONTROL = "/__control__/"


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One line of the ledger. Times are of `time.monotonic`, which all processes of a machine share."""

    ordinal: int
    """1 for the first request after the start or the last reset."""
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    prompt: str
    status: int | None
    """None if the request could not be read."""
    started: float
    finished: float | None
    """When the last byte was handed over; None if that has not come to pass."""
    model: str = ""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat request; none for others."""
        return list(self.body.get("messages", ()))


class ScriptedServer:
    """A scripted server as tests use it. `script` is described at `themis_core.testing.script.Script`.

    With `cpu`, the server's process is bound to that core. A relative path in a script starts at the current folder.
    """

    def __init__(self, script: Mapping[str, Any] | None = None, *, cpu: int | None = None) -> None:
        self._script = dict(script or {})
        self._cpu = cpu
        self._process: subprocess.Popen[str] | None = None
        self.origin = ""
        """`http://127.0.0.1:<port>`, once started."""

    def start(self) -> ScriptedServer:
        """Start the process and wait until it listens. Raises ValueError for a script that makes no sense."""
        Script(self._script)
        command = [sys.executable, "-m", "themis_core.testing.server"]
        if self._cpu is not None:
            command += ["--cpu", str(self._cpu)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        send, receive = self._pipes()
        send.write(json.dumps(self._script) + "\n")
        send.flush()
        line = receive.readline()
        if not line:
            self.stop()
            raise RuntimeError("the scripted server did not start; its own words are on standard error")
        self.origin = json.loads(line)["origin"]
        return self

    def stop(self) -> None:
        """End the process. Calling it again does nothing."""
        if self._process is None:
            return
        send, receive = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            send.close()  # which is how the process learns that it is to end
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        receive.close()
        self._process = None

    @property
    def base_url(self) -> str:
        """What a client of OpenAI's protocol is configured with: the origin and `/v1`. Others take the `origin`."""
        return f"{self.origin}/v1"

    @property
    def pid(self) -> int:
        """Number of the server's process. Raises RuntimeError if it is not started."""
        if self._process is None:
            raise RuntimeError("the scripted server is not started")
        return self._process.pid

    @property
    def count(self) -> int:
        """Requests that arrived since the start or the last reset."""
        return int(self._control("count")["count"])

    @property
    def peak(self) -> int:
        """Most requests that were being answered at one time since the start or the last reset."""
        return int(self._control("count")["peak"])

    def requests(self) -> list[ServedRequest]:
        """The ledger since the start or the last reset, in the order of arrival."""
        return [ServedRequest(**entry) for entry in self._control("ledger")["requests"]]

    def batches(self) -> list[dict[str, Any]]:
        """The batches that were made, as `themis_core.testing.batches.BatchBook.made` tells them."""
        made: list[dict[str, Any]] = self._control("batches")["batches"]
        return made

    def reset(self, script: Mapping[str, Any] | None = None) -> None:
        """Empty the ledger, count ordinals from 1 again, and go by another script if one is given."""
        if script is not None:
            Script(script)
            self._script = dict(script)
        self._control("reset", self._script)

    def _control(self, name: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=60)
        try:
            connection.request("POST", CONTROL + name, json.dumps(data or {}).encode())
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the scripted server is not running")
        return self._process.stdin, self._process.stdout

    def __enter__(self) -> ScriptedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server:
    """The state of the process: script, ledger, open connections."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.ledger: list[dict[str, Any]] = []
        self.batches = self._books()
        self.active = 0
        self.peak = 0

    def answer(self, method: str, path: str, headers: dict[str, str], content: bytes) -> tuple[Reply, dict[str, Any]]:
        """Return the reply to a request, and the request's line of the ledger."""
        if path.startswith(CONTROL):
            return simple_reply(200, self._control(path.removeprefix(CONTROL), content)), {}
        entry: dict[str, Any] = {
            "ordinal": len(self.ledger) + 1,
            "method": method,
            "path": path,
            "headers": headers,
            "body": {},
            "prompt": "",
            "status": None,
            "started": time.monotonic(),
            "finished": None,
            "model": "",
        }
        self.ledger.append(entry)
        book = next((each for each in self.batches if each.serves(method, path, headers)), None)
        if book is not None:
            status, body = book.reply(method, path, headers, content)
            entry["status"] = status
            return simple_reply(status, body, latency_s=self.script.latency_s), entry
        call = understood(entry["ordinal"], path, headers, json.loads(content) if content else {}, method)
        reply = self.script.reply(call)
        entry.update(body=call.body, prompt=call.prompt, status=reply.status, model=call.model)
        return reply, entry

    def _books(self) -> tuple[BatchBook | AnthropicBatches | GeminiBatches, ...]:
        """The batches of each protocol that has some."""
        script = self.script

        def answered(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            return script.result(understood(0, path, {}, body))

        return tuple(kind(script.batches, answered) for kind in (BatchBook, AnthropicBatches, GeminiBatches))

    def _control(self, name: str, content: bytes) -> dict[str, Any]:
        if name == "count":
            return {"count": len(self.ledger), "peak": self.peak}
        if name == "ledger":
            return {"requests": self.ledger}
        if name == "batches":
            return {"batches": [made for book in self.batches for made in book.made()]}
        self.script = Script(json.loads(content))
        self.ledger = []
        self.batches = self._books()
        self.peak = self.active
        return {}


class _Connection(asyncio.Protocol):
    """One connection: requests are read and answered one after another.

    A bare protocol because it costs a third of what streams do, and it is the client that is measured.
    """

    transport: asyncio.Transport

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._pieces: Iterator[tuple[float, bytes]] | None = None
        self._reply: tuple[Reply, dict[str, Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._done()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._reply is None:
            self._next_request()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._timer is None and not self.transport.is_closing():
            self._write()

    def _next_request(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        start, length = end + 4, int(headers.get("content-length", 0))
        if len(self._received) < start + length:
            return
        content = bytes(self._received[start : start + length])
        del self._received[: start + length]
        method, path, _ = first.split(" ", 2)
        self._reply = self._server.answer(method, path, headers, content)
        self._server.active += 1
        self._server.peak = max(self._server.peak, self._server.active)
        self._pieces = self._reply[0].pieces
        self._write()

    def _write(self) -> None:
        if self._pieces is None:
            return
        for wait, piece in self._pieces:
            if wait:
                self._timer = self._loop.call_later(wait, self._write_late, piece)
                return
            self.transport.write(piece)
            if self._paused or self.transport.is_closing():
                return
        self._finish()

    def _write_late(self, piece: bytes) -> None:
        self._timer = None
        self.transport.write(piece)
        if not self._paused and not self.transport.is_closing():
            self._write()

    def _finish(self) -> None:
        assert self._reply is not None
        reply, entry = self._reply
        self._pieces = None
        if reply.ending == "stall":
            return
        if entry:
            entry["finished"] = time.monotonic()
        self._done()
        if reply.ending == "keep":
            self._next_request()
        elif reply.ending == "close":
            self.transport.close()
        else:
            self._reset_connection()

    def _reset_connection(self) -> None:
        # To linger for 0 seconds makes closing send a reset instead of an orderly end.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _done(self) -> None:
        if self._reply is not None:
            self._server.active -= 1
        self._reply = None
        self._pieces = None


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = _Server(Script(json.loads(sys.stdin.readline())))
    listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", port, backlog=1024)
    host, port = listening.sockets[0].getsockname()
    print(json.dumps({"origin": f"http://{host}:{port}"}), flush=True)  # noqa: T201
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.set() if not os.read(0, 4096) else None)
    await ended.wait()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A scripted model server; its script is read from standard input.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; any free one by default")
    parser.add_argument("--cpu", type=int, help="core to be bound to")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port))


if __name__ == "__main__":
    main()
