"""The engine: its config, and how requests and replies go through `themis_http`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from themis_core import Capabilities, Generation, Request
from themis_http import Dialect, HttpEngine
from themis_plugin_anthropic.batches import TakesBatches
from themis_plugin_anthropic.reply import error_within, meaning, path_hint, read_message, read_usage
from themis_plugin_anthropic.wire import LEAST_BUDGET, CachePart, Options, message_body

__all__ = ["AnthropicMessages"]


class AnthropicMessages(TakesBatches):
    """Messages of Anthropic, or of a server that speaks the same: `POST <base_url>/v1/messages`."""

    path = "/v1/messages"
    agent = "themis-plugin-anthropic"
    capabilities = Capabilities(tools=True, images=True, files=True, structured=True, batches=True)
    dialect = Dialect(read_usage=read_usage, error_within=error_within, meaning=meaning, path_hint=path_hint)
    # What is cached, and how long, costs less or more and changes no answer.
    not_identity: ClassVar[frozenset[str]] = HttpEngine.not_identity | {"cache", "cache_ttl"}

    base_url: str = Field(
        "https://api.anthropic.com",
        description="Address that /v1/messages is appended to. Part of identity: another server may serve another "
        "model under the same name.",
    )
    api_key_env: str | None = Field(
        "ANTHROPIC_API_KEY",
        description="Environment variable that holds the key, sent as x-api-key. Null for servers without keys.",
    )
    anthropic_version: str = Field("2023-06-01", min_length=1, description="Sent as anthropic-version.")
    anthropic_beta: list[str] = Field(
        default_factory=list, description="Beta features that are switched on, sent as anthropic-beta."
    )
    thinking: Literal["adaptive", "disabled"] | None = Field(
        None,
        description="Whether the model thinks as much as it sees fit, or not at all. The setting `reasoning_effort` "
        "says how hard it tries. By default nothing is sent, and the model's own default holds.",
    )
    thinking_budget: int | None = Field(
        None,
        ge=LEAST_BUDGET,
        description="Tokens that thinking may take, for models that want a number; below the setting `max_tokens`.",
    )
    thinking_display: Literal["summarized", "omitted"] | None = Field(
        None, description="Whether the reply holds a summary of the thinking. By default the model's own default holds."
    )
    cache: list[CachePart] = Field(
        default_factory=list,
        description="Up to which parts the provider is to keep the prompt: `tools`, `system`, `history` (all but the "
        "last message) and `prompt` (all).",
    )
    cache_ttl: Literal["5m", "1h"] = Field("5m", description="How long the provider keeps it.")
    structured_by: Literal["format", "tool"] = Field(
        "format",
        description="How `response_format` is asked for: by the format of the output, or, for models that do not know "
        "that, by a tool that must be called.",
    )

    @field_validator("anthropic_version")
    @classmethod
    def _goes_into_a_header(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError("use visible ASCII characters only")
        return value

    @field_validator("anthropic_beta")
    @classmethod
    def _are_names(cls, value: list[str]) -> list[str]:
        if any(not each or not each.isascii() or not each.isprintable() or "," in each for each in value):
            raise ValueError("write a list of names, such as [context-1m-2025-08-07]")
        return value

    @field_validator("cache")
    @classmethod
    def _is_named_once(cls, value: list[CachePart]) -> list[CachePart]:
        if len({*value}) < len(value):
            raise ValueError("name each part once")
        return value

    @model_validator(mode="after")
    def _thinks_in_one_way(self) -> AnthropicMessages:
        if self.thinking is not None and self.thinking_budget is not None:
            raise ValueError("thinking_budget switches thinking on by itself: leave out `thinking`, or the budget")
        if self.thinking_display is not None and self.thinking != "adaptive" and self.thinking_budget is None:
            raise ValueError("thinking_display needs `thinking: adaptive` or a thinking_budget")
        return self

    def key_headers(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    def plain_headers(self) -> dict[str, str]:
        beta = {"anthropic-beta": ",".join(self.anthropic_beta)} if self.anthropic_beta else {}
        return {"anthropic-version": self.anthropic_version} | beta | super().plain_headers()

    def body(self, request: Request) -> dict[str, Any]:
        options = Options(
            self.thinking,
            self.thinking_budget,
            self.thinking_display,
            self.cache,
            self.cache_ttl,
            self.structured_by == "tool",
        )
        return message_body(request, options)

    def read(self, data: dict[str, Any], latency_s: float | None) -> Generation:
        return read_message(data, latency_s)
