"""What engines of OpenAI's protocol are configured with beside the server itself. No I/O."""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from themis_http import Dialect, HttpEngine, check_shown
from themis_plugin_openai.dialect import DIALECT

__all__ = ["OpenAIEngine"]

_WHOLE_PATH = re.compile(r"(/(?:chat/)?completions)/*$")


class OpenAIEngine(HttpEngine):
    """A server that speaks OpenAI's protocol."""

    dialect: ClassVar[Dialect] = DIALECT
    agent: ClassVar[str] = "themis-plugin-openai"
    not_identity: ClassVar[frozenset[str]] = HttpEngine.not_identity | {"organization", "project"}

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
