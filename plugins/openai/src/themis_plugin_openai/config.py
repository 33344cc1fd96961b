"""What engines of OpenAI's protocol are configured with beside the server itself. No I/O."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from themis_core import EngineError, Generation, Request
from themis_http import Call, Dialect, HttpEngine, check_shown, encode
from themis_plugin_openai.dialect import DIALECT
from themis_plugin_openai.streaming import CompletionStream, Stream

if TYPE_CHECKING:
    from themis_http.connection import Connection

__all__ = ["OpenAIEngine"]

_WHOLE_PATH = re.compile(r"(/(?:chat/)?completions|/responses)/*$")


class OpenAIEngine(HttpEngine):
    """A server that speaks OpenAI's protocol."""

    dialect: ClassVar[Dialect] = DIALECT
    agent: ClassVar[str] = "themis-plugin-openai"
    not_identity: ClassVar[frozenset[str]] = HttpEngine.not_identity | {
        "organization",
        "project",
        "stream",
        "stream_usage",
    }

    base_url: str = Field(
        "https://api.openai.com/v1",
        description="Address that the interface's path is appended to, in front of its query, if there is one, such as "
        "`?api-version=2024-10-21`. Part of identity: another server may serve another model under the same name.",
    )
    api_key_env: str | None = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key, sent as bearer token. Null for servers without keys; "
        "a local server gets none if the variable is not set.",
    )
    organization: str | None = Field(None, description="Sent as OpenAI-Organization: whose account is billed.")
    project: str | None = Field(None, description="Sent as OpenAI-Project: whose account is billed.")

    stream: bool = Field(
        False, description="Whether replies are asked for as a stream of events, for servers that give no other."
    )
    stream_usage: bool = Field(
        True,
        description="Whether a stream is asked to count tokens (`stream_options`), which some servers don't take.",
    )

    @field_validator("base_url")
    @classmethod
    def _ends_before_the_path(cls, value: str) -> str:
        if found := _WHOLE_PATH.search(urlsplit(value).path):
            raise ValueError(f"leave out {found[1]} at its end: the engine appends its path")
        return value

    @field_validator("organization", "project")
    @classmethod
    def _may_be_shown(cls, value: str | None) -> str | None:
        return check_shown(value)

    def plain_headers(self) -> dict[str, str]:
        billed = {"openai-organization": self.organization, "openai-project": self.project}
        return super().plain_headers() | {name: value for name, value in billed.items() if value is not None}

    def stream_of(self, connection: Connection, request: Request) -> Stream:
        """What the streamed reply to a request is read by."""
        said = connection.redaction, self.dialect, connection.url
        return CompletionStream(*said, choices=request.params.get("n") or 1)

    def body_of_stream(self, request: Request) -> dict[str, Any]:
        """What is sent for a stream."""
        body = self.body(request) | {"stream": True}
        if self.stream_usage:
            further = body.get("stream_options")  # of the request's `extra_body`
            body["stream_options"] = {"include_usage": True} | (further if isinstance(further, dict) else {})
        return body

    async def generate(self, request: Request) -> Generation:
        return await (self._streamed(request) if self.stream else super().generate(request))

    async def _streamed(self, request: Request) -> Generation:
        connection = self.connection()
        headers = {"accept": "text/event-stream", "content-type": "application/json"} | await self.fresh_headers()
        stream = self.stream_of(connection, request)
        call = Call("POST", self.url(self.path_of(request)), headers, piecemeal=True)
        begun = latest = time.perf_counter()

        def take(piece: bytes) -> bool:
            nonlocal latest
            latest = time.perf_counter()
            return stream.take(piece)

        try:
            await connection.stream(encode(self.body_of_stream(request)), call, take)
        except EngineError as error:
            # What comes after the whole answer is no more than its count of tokens: not worth paying twice.
            if error.code != "connection" or not stream.complete:
                raise
        return self.read(stream.reply(), round(latest - begun, 6))
