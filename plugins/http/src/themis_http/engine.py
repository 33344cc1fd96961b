"""An engine of a service that is asked over HTTP: from its start to its stop, and what a provider adds to it.

It neither retries, limits nor prices anything: the run does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import PrivateAttr

from themis_core import EngineError, Generation, Request
from themis_http.bodies import encode
from themis_http.carriers import Call, Way
from themis_http.config import ServerConfig, secrets_of
from themis_http.dialect import Dialect
from themis_http.environment import secrets_in_environment
from themis_http.opening import open_carrier
from themis_http.redaction import Redaction

if TYPE_CHECKING:
    from themis_http.connection import Connection, Received

__all__ = ["HttpEngine"]

MOST_KEPT: Final = 20


class HttpEngine(ServerConfig):
    """One POST per request, whose JSON becomes a generation.

    A provider says where to (`path`, or `path_of`), how a request becomes a body, and what a reply says; beside that
    its headers (`key_headers`, `plain_headers`) and how it speaks of failures (`dialect`).
    """

    path: ClassVar[str] = ""
    """Appended to the base URL, in front of its query."""
    dialect: ClassVar[Dialect] = Dialect()
    agent: ClassVar[str] = "themis-http"
    """What the server is told as User-Agent."""

    _connection: Connection | None = PrivateAttr(None)
    _kept_secret: list[str] = PrivateAttr(default_factory=list)
    """What `keep_secret` was told, the latest last."""

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """What is sent. Raises EngineError `unsupported` for what can't be asked."""

    @abstractmethod
    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        """What the server's JSON says, which took so many seconds. Raises EngineError."""

    def path_of(self, request: Request) -> str:
        """What is appended to the base URL for a request."""
        return self.path

    async def fresh_headers(self) -> dict[str, str]:
        """Headers, names in lower case, that are made when a request is sent, such as a token that expires; by default
        none. What in them is secret has to be told to `keep_secret`."""
        return {}

    def keep_secret(self, headers: Mapping[str, str]) -> None:
        """Take what is secret in these headers, too, out of what the server says, from now on."""
        # Those of before are still on their way with other requests.
        self._kept_secret = [*self._kept_secret, *secrets_of(headers)][-MOST_KEPT:]
        secrets = [*secrets_of(self.secret_headers()), *self._kept_secret]
        proxy = self.proxy()
        secrets += proxy.secrets if proxy else ()
        self.connection().redaction = Redaction(secrets, others=secrets_in_environment())

    async def start(self) -> None:
        from themis_http.connection import Connection  # which a plan or a check can do without

        if self._connection is not None:
            return
        secret, proxy = self.secret_headers(), self.proxy()
        own = [*secrets_of(secret), *(proxy.secrets if proxy else ())]
        url = self.url(self.path)
        standard = {"accept": "application/json", "accept-encoding": "identity", "user-agent": self.agent}
        way = Way(url, standard | self.plain_headers() | secret, self.connect_timeout_s, proxy)
        self._connection = Connection(
            url,
            open_carrier(self.http_client, way),
            redaction=Redaction(own, others=secrets_in_environment()),
            most_bytes=self.max_reply_bytes,
            dialect=self.dialect,
            proxied=proxy is not None,
        )

    async def stop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def check_params(self, params: dict[str, Any]) -> None:
        """Refuse what the body of a request can't hold."""
        try:
            self.body(Request("", [], params))
        except EngineError as error:
            raise ValueError(error.message) from error

    def check_request(self, request: Request) -> None:
        """Refuse what no body can say, or no path."""
        try:
            self.body(request)
            self.path_of(request)
        except EngineError as error:
            raise ValueError(error.message) from error

    async def generate(self, request: Request) -> Generation:
        return self.read(*await self.ask(self.body(request), self.path_of(request)))

    async def ask(self, body: Mapping[str, Any], path: str | None = None) -> tuple[dict[str, Any], float]:
        """What the server answers to a POST of JSON, and how long it took, in seconds. Raises EngineError."""
        connection = self.connection()
        path, fresh = self.path if path is None else path, await self.fresh_headers()
        if path == self.path and not fresh:
            received = await connection.post(encode(body))
        else:
            call = Call("POST", self.url(path), {"content-type": "application/json"} | fresh)
            received = await connection.call(encode(body), call)
        return connection.json_of(received), round(received.latency_s, 6)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int | None = None,
    ) -> Received:
        """Any other request of the same server, such as for a file or a batch. Raises EngineError.

        `path` is appended to the base URL, or is a whole address, which must be of the same server: keys go along.
        Header names are in lower case. `most_bytes` takes the place of `max_reply_bytes`.
        """
        call = Call(method, self._address(path), await self.fresh_headers() | dict(headers or {}))
        return await self.connection().call(body, call, most_bytes)

    def json_of(self, received: Received) -> dict[str, Any]:
        """The JSON object that was received; an error in it is raised as the EngineError that it stands for."""
        return self.connection().json_of(received)

    def connection(self) -> Connection:
        """The way to the server. Raises RuntimeError before `start` and after `stop`."""
        connection = self._connection  # once: pydantic takes its time to find a private attribute
        if connection is None:
            raise RuntimeError("the engine is not started")
        return connection

    def _address(self, path: str) -> str:
        if "://" not in path:
            return self.url(path)
        try:
            same = urlsplit(path)[:2] == urlsplit(self.base_url)[:2]
        except ValueError:  # it is no address
            same = False
        if not same:
            raise EngineError("redirect", "the server names an address of another server, which is not sent its key")
        return path
