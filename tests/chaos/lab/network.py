"""What stands between Themis and Postgres as people run it: a link that falls silent, a pooler, a standby.

with Link(server.port) as link:      # a client connects to link.port
    link.fall_silent()               # what is connected stays so, and nothing comes through any more
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from themis_core.testing.postgres import PostgresServer

__all__ = ["Link", "Standby", "certificate", "pooler"]


class Link:
    """Forwards connections to a port of 127.0.0.1 until it falls silent."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._opened: list[socket.socket] = []
        self._silence = threading.Event()
        """Of the connections that there are."""
        self._takes = threading.Event()
        self._takes.set()

    def __enter__(self) -> Link:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._takes.set()
        for each in (self._listener, *self._opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def fall_silent(self, *, new_too: bool = False) -> None:
        """Let nothing through on the connections there are; with `new_too`, on none until `take_new` is called."""
        if new_too:
            self._takes.clear()
        self._silence.set()
        self._silence = threading.Event()

    def take_new(self) -> None:
        self._takes.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._takes.wait()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._opened += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, sink, self._silence), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket, silence: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if silence.is_set():
                    continue  # it is taken, and goes nowhere
                sink.sendall(data)
            if not silence.is_set():
                sink.shutdown(socket.SHUT_RDWR)


class Standby(PostgresServer):
    """A copy of a server that follows it, until it is told to lag or is promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(tcp=True)
        self._primary = primary

    def _make(self) -> None:
        user = self._as_user()
        if user:
            shutil.chown(self._folder, user["user"])
        folder = ["-h", str(self._primary._folder), "-p", str(self._primary.port), "-U", "postgres"]
        command = [str(self._binary("pg_basebackup")), "-D", str(self._folder / "data"), "-R", "-c", "fast", *folder]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **user)

    @staticmethod
    def _as_user() -> dict[str, Any]:
        from themis_core.testing.postgres import _user

        return _user()

    def lag(self) -> None:
        """Receive nothing more."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.execute("SELECT pg_reload_conf()")
        until = time.monotonic() + 20
        while self.execute("SELECT 1 FROM pg_stat_wal_receiver"):
            assert time.monotonic() < until
            time.sleep(0.05)

    def promote(self) -> None:
        assert self.execute("SELECT pg_promote()") == [(True,)]


@contextmanager
def pooler(program: str, server: PostgresServer, user: str, password: str, mode: str, folder: Path) -> Iterator[int]:
    """Run PgBouncer in a mode (`session`, `transaction`, `statement`); give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder.mkdir(parents=True, exist_ok=True)
    users, settings, log = folder / "users.txt", folder / "pgbouncer.ini", folder / "pgbouncer.log"
    users.write_text(f'"{user}" "{password}"\n')
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\n"
    )
    as_user = Standby._as_user()
    readable = Path(f"/tmp/themis-pgbouncer-{port}") if as_user else folder
    if as_user:  # PgBouncer does not run as root, and another user does not reach the tests' folder
        shutil.copytree(folder, readable)
        settings = readable / "pgbouncer.ini"
        settings.write_text(settings.read_text().replace(str(folder), str(readable)))
        for each in (readable, *readable.iterdir()):
            shutil.chown(each, as_user["user"])
    with log.open("wb") as output:
        process = subprocess.Popen([program, str(settings)], stdout=output, stderr=output, **as_user)
    try:
        _wait_for(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        if as_user:
            shutil.rmtree(readable, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"PgBouncer did not start: {log.read_text(errors='replace')[-1000:]}")


def certificate(folder: Path) -> None:
    """Make `server.key` and `server.crt` for 127.0.0.1, owned by whoever runs the server."""
    command = (
        "openssl req -new -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    paths = [folder / "server.crt", folder / "server.key"]
    subprocess.run([*command.split(), "-out", str(paths[0]), "-keyout", str(paths[1])], check=True, capture_output=True)
    paths[1].chmod(0o600)
    if user := Standby._as_user():
        for each in paths:
            shutil.chown(each, user["user"])
