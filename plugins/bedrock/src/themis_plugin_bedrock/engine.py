"""The engine: its config, and how a call of the SDK, which blocks, becomes one that doesn't."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from themis_core import Capabilities, Engine, EngineError, Generation, Request, looks_like_a_key
from themis_lanes import Overdue, Threads
from themis_pacing import attempt_ends
from themis_plugin_bedrock.client import MOST_CALLS, Hidden, Way, check_way, open_client
from themis_plugin_bedrock.failures import failure_of
from themis_plugin_bedrock.reply import read_converse
from themis_plugin_bedrock.wire import CachePart, Options, converse_request

__all__ = ["BedrockConverse"]

GRACE_S = 0.25
"""How much later than the attempt a thread gives up: until then the caller has."""
NO_LIMIT_S = 600.0
_NAME = re.compile(r"[A-Za-z0-9_.+@/-]+")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


class BedrockConverse(Engine):
    """Models of Amazon Bedrock by its Converse interface, over the AWS SDK for Python (boto3)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    # How it is reached, what is cached and for how long changes no answer.
    not_identity: ClassVar[frozenset[str]] = frozenset({"cache", "cache_ttl", "connect_timeout_s", "profile", "region"})
    capabilities = Capabilities(tools=True, images=True, audio=True, files=True, structured=True)

    region: str | None = Field(
        None, description="Region of the service. By default what the SDK finds: AWS_REGION, or that of the profile."
    )
    profile: str | None = Field(
        None,
        description="Profile of the AWS configuration, which may name a role to assume. By default what the SDK finds.",
    )
    endpoint_url: str | None = Field(
        None,
        description="Another address of the service, such as that of a private endpoint. Part of identity, as another "
        "server may serve another model under the same name.",
    )
    connect_timeout_s: float = Field(
        30,
        gt=0,
        description="Seconds that opening a connection may take. The whole attempt's limit is the execution policy's.",
    )
    additional_fields: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings that only this model has, sent as additionalModelRequestFields, such as "
        "`{thinking: {type: enabled, budget_tokens: 2048}}` or `{top_k: 40}`.",
    )
    guardrail: dict[str, str] | None = Field(
        None,
        description="A guardrail, sent as guardrailConfig: `guardrailIdentifier`, `guardrailVersion` and, if wanted, "
        "`trace`.",
    )
    cache: list[CachePart] = Field(
        default_factory=list,
        description="Up to which parts the provider is to keep the prompt: `tools`, `system`, `history` (all but the "
        "last message) and `prompt` (all).",
    )
    cache_ttl: Literal["5m", "1h"] = Field("5m", description="How long the provider keeps it.")

    _threads: Threads | None = PrivateAttr(None)
    _client: asyncio.Task[tuple[Any, Hidden]] | None = PrivateAttr(None)

    @field_validator("endpoint_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://h")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                "write a whole address without a query, such as https://bedrock-runtime.eu-west-1.amazonaws.com"
            )
        if (
            parts.username is not None
            or parts.password is not None
            or any(map(looks_like_a_key, parts.path.split("/")))
        ):
            raise ValueError("the address holds credentials, which would be stored: the SDK finds them by itself")
        return value

    @field_validator("region", "profile")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and (not _NAME.fullmatch(value) or looks_like_a_key(value)):
            raise ValueError("write a name, and never a key: the SDK finds credentials by itself")
        return value

    @field_validator("guardrail")
    @classmethod
    def _names_a_guardrail(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        needed, known = {"guardrailIdentifier", "guardrailVersion"}, {"trace"}
        if value is not None and not needed <= value.keys() <= needed | known:
            raise ValueError("write {guardrailIdentifier: ..., guardrailVersion: ...} and, if wanted, trace")
        return value

    @property
    def endpoint(self) -> str:
        """The address, or the region and the profile that stand for one."""
        if self.endpoint_url is not None:
            parts = urlsplit(self.endpoint_url)
            return f"{parts.scheme}://{parts.netloc}"
        region = self.region or next(filter(None, map(os.environ.get, _REGIONS)), None)
        return " ".join(filter(None, ("bedrock-runtime", region, self.profile and f"({self.profile})")))

    def check(self, base_dir: Path) -> None:
        """Raise SpecError if the SDK finds no region, profile or credentials; PluginError if it is not installed."""
        check_way(self._way())

    def check_params(self, params: dict[str, Any]) -> None:
        """Refuse what a call can't hold."""
        try:
            self._asked(Request("", [], params))
        except EngineError as error:
            raise ValueError(error.message) from error

    def check_request(self, request: Request) -> None:
        """Refuse what a call can't hold."""
        try:
            self._asked(request)
        except EngineError as error:
            raise ValueError(error.message) from error

    async def start(self) -> None:
        if self._threads is None:
            self._threads = Threads(MOST_CALLS, "themis-bedrock")

    async def stop(self) -> None:
        threads, client = self._threads, self._client
        self._threads = self._client = None
        if threads is None:
            return
        threads.close()
        if client is not None:
            client.cancel()
            done = await asyncio.gather(client, return_exceptions=True)
            if not isinstance(done[0], BaseException):
                done[0][0].close()

    async def generate(self, request: Request) -> Generation:
        asked = self._asked(request)
        left = _left()
        client, hidden = await self._opened(left)
        begun = time.perf_counter()
        try:
            reply = await self._in_thread(lambda: client.converse(**asked), _left())
        except Overdue:
            message = "no reply in the time of the attempt"
            raise EngineError("timeout", message, retryable=True, unknown_outcome=True) from None
        except Exception as error:
            failure = failure_of(error, hidden.redaction)
            if failure is None:
                raise
        else:
            return read_converse(reply, round(time.perf_counter() - begun, 6))
        # Outside the handler, so that the SDK's exception, which holds the request, is not dragged along as context.
        raise failure

    async def _opened(self, left: float | None) -> tuple[Any, Hidden]:
        """The client, which is made once: that takes some tenths of a second, and asks services for credentials."""
        if self._client is None:
            self._client = asyncio.create_task(self._in_thread(lambda: open_client(self._way(), left), None))
        return await asyncio.shield(self._client)

    async def _in_thread(self, function: Any, left: float | None) -> Any:
        threads = self._threads
        if threads is None:
            raise RuntimeError("the engine is not started")
        limit_s = NO_LIMIT_S if left is None else left + GRACE_S
        return await threads.call("bedrock/converse", limit_s, function)

    def _asked(self, request: Request) -> dict[str, Any]:
        options = Options(self.additional_fields, self.cache, self.cache_ttl, self.guardrail)
        return converse_request(request, options)

    def _way(self) -> Way:
        return Way(self.region, self.profile, self.endpoint_url, self.connect_timeout_s)


def _left() -> float | None:
    """Seconds until the attempt is given up."""
    ends = attempt_ends.get()
    return None if ends is None else max(0.0, ends - time.monotonic())
