"""The engine of the Responses interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from themis_core import Capabilities, Generation, Request
from themis_http import Dialect
from themis_plugin_openai.batches import TakesBatches
from themis_plugin_openai.responses_reply import RESPONSES, ResponsesStream, read_response
from themis_plugin_openai.responses_wire import responses_body
from themis_plugin_openai.streaming import Stream

if TYPE_CHECKING:
    from themis_http.connection import Connection

__all__ = ["OpenAIResponses"]


class OpenAIResponses(TakesBatches):
    """The Responses interface of OpenAI or any compatible server: `POST <base_url>/responses`.

    Nothing is kept by the server: each request holds the whole conversation, with reasoning as the server encrypted it.
    """

    path = "/responses"
    dialect: ClassVar[Dialect] = RESPONSES
    capabilities = Capabilities(logprobs=True, tools=True, images=True, files=True, structured=True, batches=True)

    reasoning_summary: Literal["auto", "concise", "detailed"] | None = Field(
        None, description="How the server is to sum up its reasoning, which it shows in no other way."
    )
    encrypted_reasoning: bool | None = Field(
        None,
        description="Whether the server is asked for its reasoning in encrypted form, which follow-up turns hand back. "
        "By default if a reasoning effort or a summary is asked for: models without reasoning refuse it.",
    )

    def body(self, request: Request) -> dict[str, Any]:
        return responses_body(request, self.reasoning_summary, self.encrypted_reasoning)

    def body_of_stream(self, request: Request) -> dict[str, Any]:
        return self.body(request) | {"stream": True}

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return read_response(data, latency_s)

    def stream_of(self, connection: Connection, request: Request) -> Stream:
        return ResponsesStream(connection.redaction, self.dialect, connection.url)
