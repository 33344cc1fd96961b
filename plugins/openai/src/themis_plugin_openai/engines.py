"""The two engines of completions: how a request becomes a body, and a reply a generation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from themis_core import Capabilities, Generation, Request
from themis_plugin_openai.batches import TakesBatches
from themis_plugin_openai.reply import read_chat, read_completion
from themis_plugin_openai.roles import SystemRole
from themis_plugin_openai.wire import Names, chat_body, completions_body

__all__ = ["OpenAIChat", "OpenAICompletions"]


class OpenAIChat(TakesBatches):
    """Chat completions of OpenAI or any compatible server: `POST <base_url>/chat/completions`."""

    path = "/chat/completions"
    capabilities = Capabilities(
        seed=True, logprobs=True, n=True, tools=True, images=True, audio=True, files=True, structured=True, batches=True
    )

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens",
        description="Name under which max_tokens is sent: OpenAI's reasoning models want max_completion_tokens.",
    )

    seed_field: Literal["seed", "random_seed"] = Field(
        "seed", description="Name under which a seed is sent: Mistral takes random_seed."
    )
    system_role: SystemRole = Field(
        "as_written",
        description="Role of instructions (messages of the system or developer): as_written, system, developer, or "
        "user for servers that know none, which puts their text in front of the user message that follows.",
    )
    reasoning_tag: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$",
        description="Name of the tag, such as think, in which the server leaves reasoning at the beginning of the "
        "text; it is then kept apart from the answer.",
    )
    hand_back: list[str] = Field(
        default_factory=list,
        description="Further fields of an answer's message, such as reasoning_content or reasoning_details, that the "
        "server wants to see again in the turns that follow.",
    )

    @field_validator("hand_back")
    @classmethod
    def _are_further_fields(cls, value: list[str]) -> list[str]:
        if known := sorted({"role", "content", "tool_calls"} & set(value)):
            raise ValueError(f"{', '.join(known)} is handed back anyhow: leave it out")
        return value

    def identity(self) -> dict[str, Any]:
        # Fields that came later count once they are used, so that answers of before stay valid.
        later: dict[str, Any] = {
            "seed_field": "seed",
            "system_role": "as_written",
            "reasoning_tag": None,
            "hand_back": [],
        }
        return {name: each for name, each in super().identity().items() if name not in later or each != later[name]}

    def body(self, request: Request) -> dict[str, Any]:
        return chat_body(request, Names(self.max_tokens_field, self.seed_field), self.system_role)

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return read_chat(data, latency_s, self.reasoning_tag, self.hand_back)


class OpenAICompletions(TakesBatches):
    """Text completions, for base models: `POST <base_url>/completions`.

    The prompt is the text of the messages in their order; roles are not written.
    """

    path = "/completions"
    capabilities = Capabilities(seed=True, logprobs=True, n=True, structured=True, batches=True)

    separator: str = Field("\n\n", description="Put between the texts of several messages.")

    def body(self, request: Request) -> dict[str, Any]:
        return completions_body(request, self.separator)

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return read_completion(data, latency_s)
