"""The two engines of completions: how a request becomes a body, and a reply a generation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from themis_core import Capabilities, Generation, Request
from themis_plugin_openai.config import OpenAIEngine
from themis_plugin_openai.reply import read_chat, read_completion
from themis_plugin_openai.wire import chat_body, completions_body

__all__ = ["OpenAIChat", "OpenAICompletions"]


class OpenAIChat(OpenAIEngine):
    """Chat completions of OpenAI or any compatible server: `POST <base_url>/chat/completions`."""

    path = "/chat/completions"
    capabilities = Capabilities(
        seed=True, logprobs=True, n=True, tools=True, images=True, audio=True, files=True, structured=True
    )

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens",
        description="Name under which max_tokens is sent: OpenAI's reasoning models want max_completion_tokens.",
    )

    def body(self, request: Request) -> dict[str, Any]:
        return chat_body(request, self.max_tokens_field)

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return read_chat(data, latency_s)


class OpenAICompletions(OpenAIEngine):
    """Text completions, for base models: `POST <base_url>/completions`.

    The prompt is the text of the messages in their order; roles are not written.
    """

    path = "/completions"
    capabilities = Capabilities(seed=True, logprobs=True, n=True, structured=True)

    separator: str = Field("\n\n", description="Put between the texts of several messages.")

    def body(self, request: Request) -> dict[str, Any]:
        return completions_body(request, self.separator)

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return read_completion(data, latency_s)
