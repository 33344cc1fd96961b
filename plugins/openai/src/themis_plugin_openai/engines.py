"""The two engines: how a request becomes a body, and a reply a generation.

Neither retries, limits or prices anything: the run does.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from themis_core import Capabilities, EngineError, Generation, Request
from themis_plugin_openai.carriers import Way
from themis_plugin_openai.config import ServerConfig, secrets_of
from themis_plugin_openai.environment import secrets_in_environment
from themis_plugin_openai.opening import open_carrier
from themis_plugin_openai.redaction import Redaction
from themis_plugin_openai.reply import json_object, read_chat, read_completion
from themis_plugin_openai.wire import chat_body, completions_body, encode

if TYPE_CHECKING:
    from themis_plugin_openai.connection import Connection

__all__ = ["OpenAIChat", "OpenAICompletions"]


class OpenAIEngine(ServerConfig):
    """What chat and text completions share: one POST per request."""

    path: ClassVar[str]
    """Appended to the base URL."""

    _connection: Connection | None = PrivateAttr(None)

    async def start(self) -> None:
        from themis_plugin_openai.connection import Connection  # which a plan or a check can do without

        if self._connection is not None:
            return
        secret, proxy = self.secret_headers(), self.proxy()
        own = [*secrets_of(secret), *(proxy.secrets if proxy else ())]
        url = self.url(self.path)
        way = Way(url, STANDARD_HEADERS | self.plain_headers() | secret, self.connect_timeout_s, proxy)
        self._connection = Connection(
            url,
            open_carrier(self.http_client, way),
            redaction=Redaction(own, others=secrets_in_environment()),
            most_bytes=self.max_reply_bytes,
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

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """What is sent. Raises EngineError `unsupported` for what can't be asked."""

    async def _ask(self, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """What the server answers, and how long it took, in seconds."""
        connection = self._connection  # once: pydantic takes its time to find a private attribute
        if connection is None:
            raise RuntimeError("the engine is not started")
        content, took, headers = await connection.post(encode(body))
        return json_object(content.pop(), connection.redaction, connection.url, headers), round(took, 6)


STANDARD_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "themis-plugin-openai",
}


class OpenAIChat(OpenAIEngine):
    """Chat completions of OpenAI or any compatible server: `POST <base_url>/chat/completions`."""

    path = "/chat/completions"
    capabilities = Capabilities(seed=True, logprobs=True, n=True, tools=True, images=True)

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens",
        description="Name under which max_tokens is sent: OpenAI's reasoning models want max_completion_tokens.",
    )

    def body(self, request: Request) -> dict[str, Any]:
        return chat_body(request, self.max_tokens_field)

    async def generate(self, request: Request) -> Generation:
        return read_chat(*await self._ask(self.body(request)))


class OpenAICompletions(OpenAIEngine):
    """Text completions, for base models: `POST <base_url>/completions`.

    The prompt is the text of the messages in their order; roles are not written.
    """

    path = "/completions"
    capabilities = Capabilities(seed=True, logprobs=True, n=True)

    separator: str = Field("\n\n", description="Put between the texts of several messages.")

    def body(self, request: Request) -> dict[str, Any]:
        return completions_body(request, self.separator)

    async def generate(self, request: Request) -> Generation:
        return read_completion(*await self._ask(self.body(request)))
