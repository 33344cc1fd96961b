"""What an engine of a service is configured with, checked: the server, its key, its headers. No I/O."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import ConfigDict, Field, field_validator

from themis_core import Engine, SpecError, looks_like_a_key
from themis_http.environment import Proxy, check_certificates, proxy_for
from themis_http.opening import CarrierName, check_carrier

__all__ = ["ServerConfig", "check_shown", "secrets_of"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_SECRET_HEADER = re.compile(
    r"(?:^|[-_])(?:auth|authorization|authentication|api-?key|apikey|key|token|secret|cookie|password|credentials?|sig|signature)"
    r"(?:$|[-_])",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"\s*(?:bearer|basic)\s|sk-", re.IGNORECASE)
_SCHEME = re.compile(r"^\s*(?:basic|bearer|digest|negotiate|token|api-?key)\s+(?=\S)", re.IGNORECASE)
_BETWEEN_PARTS = re.compile(r"[\s;,=]+")
SHORTEST_PART = 6
"""Shorter parts of a header's value, such as `v1` or `Path`, are words of many a message."""
_VISIBLE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)
_PORTS = {"http": 80, "https": 443}


class ServerConfig(Engine):
    """A server, and how to reach it.

    A provider gives `base_url` and `api_key_env` defaults by declaring them anew.
    """

    # A mistaken config may hold a key, so error messages must not repeat what was given.
    model_config = ConfigDict(hide_input_in_errors=True)

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {
            "api_key_env",
            "connect_timeout_s",
            "headers_env",
            "http_client",
            "identity_name",
            "max_reply_bytes",
            "trust_env",
        }
    )

    base_url: str = Field(
        description="Address that the interface's path is appended to, in front of its query, if there is one, such as "
        "`?api-version=2024-10-21`. Part of identity: another server may serve another model under the same name.",
    )
    identity_name: str | None = Field(
        None,
        min_length=1,
        description="Stands for base_url in identity, so that answers stay valid when a server moves to another "
        "address or port.",
    )
    api_key_env: str | None = Field(
        None,
        description="Environment variable that holds the key. Null for servers without keys; a local server gets none "
        "if the variable is not set.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="Further headers. Shown and stored, so nothing secret."
    )
    headers_env: dict[str, str] = Field(
        default_factory=dict,
        description="Header name to the environment variable that holds its value, for secrets.",
    )
    connect_timeout_s: float = Field(
        30,
        gt=0,
        description="Seconds that opening a connection may take. The whole attempt's limit is the execution policy's.",
    )
    http_client: CarrierName = Field(
        "pyreqwest",
        description="What carries requests: pyreqwest, which is fast and has wheels for the usual platforms, or httpx.",
    )
    max_reply_bytes: int = Field(32 * 2**20, ge=1024, description="Bytes that a reply may have, packed and unpacked.")
    trust_env: bool = Field(
        False,
        description="Whether to go through the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name. One "
        "that can't be used is an error.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = _split(value)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("write a whole address, such as http://127.0.0.1:8000/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "the address holds credentials, which would be stored: put them into an environment variable and "
                "name it in api_key_env or headers_env"
            )
        if any(
            _SECRET_HEADER.search(name) or looks_like_a_key(given) for name, given in parse_qsl(parts.query, True)
        ) or any(map(looks_like_a_key, parts.path.split("/"))):
            raise ValueError(
                "the address holds a key, which would be stored: put it into an environment variable and name it in "
                "api_key_env or headers_env"
            )
        if parts.fragment:
            raise ValueError("leave out what follows #")
        if not _VISIBLE.fullmatch(value) or " " in value:
            raise ValueError("an address has no spaces, control characters or letters beyond ASCII")
        return parts._replace(path=parts.path.rstrip("/")).geturl() if parts.query else value.rstrip("/?")

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        if value is not None:
            _check_variable(value)
        return value

    @field_validator("identity_name")
    @classmethod
    def _is_shown(cls, value: str | None) -> str | None:
        return check_shown(value)

    @field_validator("headers")
    @classmethod
    def _hold_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            _check_header(name)
            if _SECRET_HEADER.search(name) or _SECRET_VALUE.match(content) or looks_like_a_key(content):
                raise ValueError(
                    f"{name} looks like a secret, and specs are stored: put it into an environment variable and name "
                    f"that in headers_env"
                )
            if not _VISIBLE.fullmatch(content):
                raise ValueError(f"{name}: use visible ASCII characters only")
        return value

    @field_validator("headers_env")
    @classmethod
    def _name_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, variable in value.items():
            _check_header(name)
            _check_variable(variable)
        return value

    @property
    def endpoint(self) -> str:
        """`scheme://host:port`."""
        parts = _split(self.base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"

    def identity(self) -> dict[str, Any]:
        data = super().identity()
        if self.identity_name is not None:
            data["base_url"] = self.identity_name
        return data

    def check(self, base_dir: Path) -> None:
        """Raise SpecError, naming the variable, if a key that will be needed is not in the environment, or if it names
        a proxy or certificates that can't be used; PluginError if what carries requests is not installed."""
        check_carrier(self.http_client)
        self.secret_headers()
        self.proxy()
        if _split(self.base_url).scheme == "https":
            check_certificates()

    def proxy(self) -> Proxy | None:
        """The proxy to go through, if the environment is to be trusted and names one. Raises SpecError."""
        return proxy_for(self.base_url) if self.trust_env else None

    def url(self, path: str) -> str:
        """What is called: the base URL with a path after its own, and the queries of both after that."""
        path, _, query = path.partition("?")
        parts = _split(self.base_url)
        return parts._replace(path=parts.path + path, query="&".join(filter(None, (parts.query, query)))).geturl()

    def plain_headers(self) -> dict[str, str]:
        """The headers that anybody may see, in lower case, without those that describe the body."""
        return {name.lower(): value for name, value in self.headers.items()}

    def key_headers(self, key: str) -> dict[str, str]:
        """The headers, in lower case, by which the server is told the key: as bearer token."""
        return {"authorization": f"Bearer {key}"}

    def secret_headers(self) -> dict[str, str]:
        """The headers that come from the environment, in lower case. Raises SpecError if one is missing."""
        headers = {name.lower(): self.variable(variable) for name, variable in self.headers_env.items()}
        if self.api_key_env is None or not headers.keys().isdisjoint(self.key_headers("")):
            return headers
        if not os.environ.get(self.api_key_env, "").strip() and _is_local(_split(self.base_url)):
            return headers
        return headers | self.key_headers(self.variable(self.api_key_env))

    def variable(self, name: str) -> str:
        """What an environment variable holds, for a header. Raises SpecError if it is not set."""
        value = os.environ.get(name, "").strip()
        if not value:
            raise SpecError(
                f"environment variable {name} is not set, and {self.base_url} needs it. Set it, name another in "
                f"api_key_env or headers_env, or write `api_key_env: null` for a server without keys"
            )
        if not _VISIBLE.fullmatch(value):
            raise SpecError(f"environment variable {name} holds characters that no HTTP header can carry")
        return value


def check_shown(value: str | None) -> str | None:
    """A text that is sent in a header and stored; ValueError if it looks like a key or can't be sent."""
    if value is not None and looks_like_a_key(value):
        raise ValueError("that looks like a key: put it into an environment variable and name it in api_key_env")
    if value is not None and not _VISIBLE.fullmatch(value):
        raise ValueError("use visible ASCII characters only")
    return value


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """What is secret in headers: each value, without a scheme such as `Bearer` before it, and each of its parts.

    A server may quote a part alone, such as one value of a cookie or the password of a `Basic` header.
    """
    secrets = []
    for value in headers.values():
        bare = _SCHEME.sub("", value, count=1)  # what it says of the scheme is to stay readable
        parts = _BETWEEN_PARTS.split(bare)
        secrets += [bare, *(part for part in parts if len(part) >= SHORTEST_PART)]
        if value[:6].lower() == "basic ":
            pair = _decoded(bare)
            secrets += [pair, pair.partition(":")[2]]
    return list(dict.fromkeys(filter(None, secrets)))


def _decoded(basic: str) -> str:
    try:
        return b64decode(basic, validate=True).decode()
    except ValueError:
        return ""


def _split(address: str) -> SplitResult:
    """Take an address apart. Raises ValueError, which does not repeat the address, if that can't be done."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError("write a whole address, such as http://127.0.0.1:8000/v1") from None
    return parts


def _check_header(name: str) -> None:
    if not _HEADER.fullmatch(name):
        raise ValueError("a header's name has letters, digits and hyphens only")
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"{name} is set by the engine: leave it out")


def _check_variable(name: str) -> None:
    if not _VARIABLE.fullmatch(name) or looks_like_a_key(name):
        raise ValueError("write the name of an environment variable, such as OPENAI_API_KEY, and never the key itself")


def _is_local(parts: SplitResult) -> bool:
    """Whether an address is plain HTTP to this machine or network, where servers without keys are the rule."""
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    if "." not in host and ":" not in host:
        return True
    if host.endswith((".localhost", ".local")):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False
