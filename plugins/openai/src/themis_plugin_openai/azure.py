"""Chat completions of Azure: a deployment's path, a version, and a key or a token of Entra."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from themis_core import EngineError, Generation, Request, SpecError, looks_like_a_key
from themis_http import Dialect
from themis_plugin_openai.dialect import error_within
from themis_plugin_openai.engines import OpenAIChat
from themis_plugin_openai.tokens import TokenCommand
from themis_plugin_openai.usage import read_usage

__all__ = ["AzureChat"]

_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_OTHER_INTERFACE = re.compile(r"/(?:openai/v1|models)(?=/*$)")


def _hint(url: str) -> str:
    if "/openai/deployments/" in url:
        return "; is a deployment of that name in this resource, and does it know this api_version"
    return ""


class AzureChat(OpenAIChat):
    """Chat completions of a deployment: `POST <base_url>/openai/deployments/<deployment>/chat/completions`."""

    dialect: ClassVar[Dialect] = Dialect(read_usage=read_usage, error_within=error_within, path_hint=_hint)
    # Azure takes batches for deployments of a kind of their own, by paths and a form that are not spoken here.
    capabilities = replace(OpenAIChat.capabilities, batches=False)

    base_url: str = Field(
        description="Address of the resource, such as https://my-resource.openai.azure.com. Part of identity."
    )
    api_key_env: str | None = Field(
        "AZURE_OPENAI_API_KEY", description="Environment variable that holds the resource's key, sent as `api-key`."
    )
    token_env: str | None = Field(
        None,
        description="Environment variable that holds a token of Entra, sent as bearer token in place of the key.",
    )
    token_command: list[str] | None = Field(
        None,
        min_length=1,
        description="Command, as a list, that prints such a token; it is run again every few minutes.",
    )
    api_version: str = Field(
        "2024-10-21",
        pattern=r"^\d{4}-\d\d-\d\d(-preview)?$",
        description="Version of the interface. Part of identity: versions filter differently.",
    )
    deployment: str | None = Field(
        None, description="Name of the deployment; by default the name that the model is sent under."
    )

    not_identity: ClassVar[frozenset[str]] = OpenAIChat.not_identity | {"token_command", "token_env"}

    _tokens: TokenCommand | None = PrivateAttr(None)
    _known_token: str = PrivateAttr("")

    @field_validator("base_url")
    @classmethod
    def _is_that_of_a_resource(cls, value: str) -> str:
        parts = urlsplit(value)
        if "/deployments/" in parts.path or "api-version" in parts.query:
            raise ValueError(
                "write the address of the resource alone, such as https://my-resource.openai.azure.com, and the rest "
                "in `deployment` and `api_version`"
            )
        if found := _OTHER_INTERFACE.search(parts.path):
            raise ValueError(
                f"{found[0]} is the address of an interface without deployments' paths: leave it out, or use "
                "`provider: openai/chat` with this base_url, `api_key_env: null` and "
                "`headers_env: {api-key: AZURE_OPENAI_API_KEY}`"
            )
        return value.removesuffix("/openai")

    @field_validator("deployment")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not _DEPLOYMENT.fullmatch(value):
            raise ValueError("a deployment's name has letters, digits, hyphens, dots and underscores")
        return value

    @field_validator("token_env")
    @classmethod
    def _names_a_variable_too(cls, value: str | None) -> str | None:
        return cls._names_a_variable(value)

    @field_validator("token_command")
    @classmethod
    def _holds_no_key(cls, value: list[str] | None) -> list[str] | None:
        if value and any(map(looks_like_a_key, value)):
            raise ValueError("the command holds what looks like a key, and specs are stored")
        return value

    @model_validator(mode="after")
    def _has_one_source(self) -> AzureChat:
        if self.token_env is not None and self.token_command is not None:
            raise ValueError("token_env and token_command both give a token: keep one")
        return self

    def check(self, base_dir: Path) -> None:
        super().check(base_dir)
        if self.token_command and shutil.which(self.token_command[0]) is None:
            raise SpecError(f"token_command names {self.token_command[0]!r}, and there is no such program here")

    async def start(self) -> None:
        await super().start()
        self._tokens = TokenCommand(self.token_command) if self.token_command else None

    async def fresh_headers(self) -> dict[str, str]:
        if self._tokens is None:
            return {}
        token = await self._tokens.token()
        headers = {"authorization": f"Bearer {token}"}
        if token != self._known_token:
            self._known_token = token
            self.keep_secret(headers)
        return headers

    def key_headers(self, key: str) -> dict[str, str]:
        return {"api-key": key}

    def secret_headers(self) -> dict[str, str]:
        if self.token_env is None and self.token_command is None:
            return super().secret_headers()
        headers = {name.lower(): self.variable(variable) for name, variable in self.headers_env.items()}
        token = {} if self.token_env is None else {"authorization": f"Bearer {self.variable(self.token_env)}"}
        return headers | token

    def path_of(self, request: Request) -> str:
        name = self.deployment or request.model_id
        if not _DEPLOYMENT.fullmatch(name):
            raise EngineError(
                "unsupported", f"no deployment can have the name {name!r}: write `deployment` into the model's `extras`"
            )
        return f"/openai/deployments/{name}/chat/completions?api-version={self.api_version}"

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        generation = super().read(data, latency_s)
        if generation.status != "refused" or generation.refusal is not None:
            return generation
        found = _filtered(data["choices"][0])
        return replace(generation, refusal=f"filtered by Azure: {', '.join(found)}") if found else generation


def _filtered(choice: dict[str, Any]) -> list[str]:
    """Which of the filters took the answer away, and how sure they were, in their own words."""
    results = choice.get("content_filter_results")
    given = (
        {name: each for name, each in results.items() if isinstance(each, dict)} if isinstance(results, dict) else {}
    )
    named = [(name, each.get("severity")) for name, each in given.items() if each.get("filtered") is True]
    return [f"{name} ({severity})" if isinstance(severity, str) else name for name, severity in named][:10]
