"""The engine: its config, and how requests and replies go through `themis_http`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import Field, field_validator

from themis_core import Capabilities, Generation, Request
from themis_http import Dialect
from themis_plugin_google.batches import TakesBatches
from themis_plugin_google.failures import error_within, meaning, path_hint
from themis_plugin_google.reply import read_gemini, read_usage
from themis_plugin_google.wire import CATEGORIES, THRESHOLDS, Options, gemini_body, model_path

__all__ = ["GoogleGemini"]


class GoogleGemini(TakesBatches):
    """Models of Gemini's API, or of Vertex AI: `POST <base_url>/models/MODEL:generateContent`."""

    agent = "themis-plugin-google"
    capabilities = Capabilities(
        seed=True, logprobs=True, n=True, tools=True, images=True, audio=True, files=True, structured=True, batches=True
    )
    dialect = Dialect(read_usage=read_usage, error_within=error_within, meaning=meaning, path_hint=path_hint)

    base_url: str = Field(
        "https://generativelanguage.googleapis.com/v1beta",
        description="Address that /models/MODEL:generateContent is appended to, with the version of the interface. "
        "Part of identity: another server may serve another model under the same name.",
    )
    api_key_env: str | None = Field(
        "GEMINI_API_KEY",
        description="Environment variable that holds the key, sent as x-goog-api-key. Null for servers without keys.",
    )
    thinking_budget: int | None = Field(
        None,
        ge=-1,
        description="Tokens that thoughts may take, for models that want a number: 0 for none, -1 for as many as the "
        "model sees fit. Models that want a level get it by the setting `reasoning_effort`.",
    )
    include_thoughts: bool | None = Field(
        None, description="Whether the reply holds summaries of the thoughts, which are kept apart from the answer."
    )
    safety: dict[str, str] = Field(
        default_factory=dict,
        description="Category of harm to the threshold from which on something is blocked, such as "
        "`harassment: only_high`. The words are Google's, in lower case and without HARM_CATEGORY_ and BLOCK_.",
    )

    @field_validator("safety")
    @classmethod
    def _has_known_words(cls, value: dict[str, str]) -> dict[str, str]:
        return {
            _word(category, CATEGORIES, "HARM_CATEGORY_"): _word(level, THRESHOLDS, "BLOCK_")
            for category, level in value.items()
        }

    def key_headers(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}  # and not in the URL, which ends up in logs

    def path_of(self, request: Request) -> str:
        return quote(model_path(request.model_id), safe="/:@-._~")

    def body(self, request: Request) -> dict[str, Any]:
        return gemini_body(request, Options(self.thinking_budget, self.include_thoughts, self.safety))

    def read(self, data: dict[str, Any], latency_s: float | None) -> Generation:
        return read_gemini(data, latency_s)


def _word(given: str, known: dict[str, str], prefix: str) -> str:
    """A word in the provider's own form."""
    bare = given.strip().lower().removeprefix(prefix.lower())
    if bare not in known:
        raise ValueError(f"{given!r} is none of {', '.join(known)}")
    return known[bare]
