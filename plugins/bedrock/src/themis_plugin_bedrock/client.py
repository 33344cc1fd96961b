"""The SDK's client: made from its own chain of regions, profiles and credentials, with its retries off."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from themis_core import PluginError, SpecError
from themis_http import Redaction, json_object, secrets_in_environment

__all__ = ["MOST_CALLS", "Hidden", "Way", "check_way", "open_client"]

MOST_CALLS: Final = 1024
"""Calls at one time; the execution policy's limits are far below."""
BEARER: Final = "AWS_BEARER_TOKEN_BEDROCK"


class Way(NamedTuple):
    """How the service is reached."""

    region: str | None
    profile: str | None
    endpoint_url: str | None
    connect_timeout_s: float


def check_way(way: Way) -> None:
    """Raise SpecError if the SDK finds no such profile, no region or no credentials; PluginError without the SDK."""
    session = _session(way)
    if session.region_name is None:
        raise SpecError("Bedrock needs a region: set `region`, AWS_REGION, or one in the profile")
    if session.get_credentials() is None and not _bearer():
        raise SpecError(
            "the AWS SDK finds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`, log "
            f"in (`aws sso login`), or set {BEARER}"
        )


class Hidden:
    """What keeps a client's secrets out of texts, those included that the SDK renews while a run goes on."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        self.redaction = Redaction(self._secrets, others=secrets_in_environment())

    def add(self, secret: str) -> None:
        """Hide this one as well, from now on."""
        if secret not in self._secrets:
            self._secrets = (*self._secrets, secret)
            self.redaction = Redaction(self._secrets, others=secrets_in_environment())


def open_client(way: Way, attempt_s: float | None) -> tuple[Any, Hidden]:
    """A client whose calls wait so many seconds for a reply, and what keeps its secrets out of texts."""
    session = _session(way)
    from botocore.config import Config

    config = Config(
        # The run retries; a second layer would multiply its attempts, and hide them from its limits and accounts.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=way.connect_timeout_s,
        read_timeout=math.ceil(attempt_s) + 1 if attempt_s is not None else 600,
        max_pool_connections=MOST_CALLS,
        user_agent_extra="themis-plugin-bedrock",
    )
    client = session.client("bedrock-runtime", endpoint_url=way.endpoint_url, config=config)
    hidden = Hidden(_secrets(session))

    def sent(request: Any, **_: Any) -> None:
        if token := request.headers.get("X-Amz-Security-Token"):
            hidden.add(token.decode("latin-1") if isinstance(token, bytes) else token)

    def checked(response_dict: dict[str, Any], **_: Any) -> None:
        redaction = hidden.redaction
        response_dict["body"] = redaction.answer(response_dict["body"])
        if response_dict["status_code"] == 200:  # of what is no JSON the SDK makes an empty reply
            json_object(response_dict["body"], redaction, client.meta.endpoint_url)

    client.meta.events.register("before-send.bedrock-runtime.Converse", sent)
    client.meta.events.register("before-parse.bedrock-runtime.Converse", checked)
    return client, hidden


def _session(way: Way) -> Any:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise PluginError(f"bedrock/converse needs boto3, which can't be imported: {error}") from error
    try:
        return boto3.session.Session(region_name=way.region, profile_name=way.profile)
    except BotoCoreError as error:  # an unknown profile, a file that can't be read
        raise SpecError(f"the AWS SDK can't use its configuration: {error}") from error


def _secrets(session: Any) -> Iterable[str]:
    credentials = session.get_credentials()
    frozen = () if credentials is None else credentials.get_frozen_credentials()
    return [*filter(None, (*frozen[:3], _bearer()))]


def _bearer() -> str:
    return os.environ.get(BEARER, "").strip()
