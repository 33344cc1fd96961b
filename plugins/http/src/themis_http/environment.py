"""What variables of the environment say of the way to a server: its proxy, and whom to trust.

What was asked for and can't be used is an error: to go without a proxy would show the prompts to another network.
Loads urllib.request and ssl only if a variable is to be read.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from themis_core import SpecError

__all__ = ["Proxy", "check_certificates", "proxy_for", "secrets_in_environment", "unused_proxy"]

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""How `openssl rehash` names certificates, which is how they are found in a folder."""


_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api_?keys?|keys?|tokens?|secrets?|passw(?:or)?d|passphrase|credentials?)(?:_|$)|^pgpassword$"
)
_SHORTEST = 8
"""Shorter values, such as the `true` of `SAVE_KEYS`, may be words."""


class Proxy(NamedTuple):
    """The proxy to go through."""

    url: str
    """Without credentials."""
    headers: dict[str, str]
    """What the proxy is told of the user."""
    secrets: tuple[str, ...]
    """What of its address must be shown nowhere."""


def proxy_for(address: str) -> Proxy | None:
    """The proxy that the environment names for an address; None if there is none.

    `http_proxy` and `https_proxy` count by the address's scheme, then `all_proxy`; lower case before upper case, as
    curl has it. Raises SpecError, which repeats no credential, if it can't be used.
    """
    found = _named_proxy(address)
    return None if found is None else _proxy(*found)


def unused_proxy(address: str) -> str | None:
    """The variable that names a proxy for an address of another machine, for who goes there without one."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    found = _named_proxy(address)
    return None if found is None else found[0]


def _named_proxy(address: str) -> tuple[str, str] | None:
    """The variable that counts for an address, and its value."""
    # Without what macOS and Windows have in their settings: the documentation promises these variables.
    from urllib.request import getproxies_environment

    named = getproxies_environment()
    parts = urlsplit(address)
    kind = next((kind for kind in (parts.scheme.lower(), "all") if named.get(kind)), None)
    if kind is None or _bypassed(parts, named.get("no", "")):
        return None
    variable = f"{kind}_proxy" if os.environ.get(f"{kind}_proxy") else f"{kind}_proxy".upper()
    return variable, named[kind].strip()


def _proxy(variable: str, value: str) -> Proxy:
    whole = value if "://" in value else f"http://{value}"  # as curl reads it
    try:
        parts = urlsplit(whole)
        port = parts.port or 80
    except ValueError:
        raise _unusable(variable, "no address, such as http://proxy.example.org:3128") from None
    if parts.scheme.lower() != "http":
        raise _unusable(variable, f"a proxy that speaks {parts.scheme}:, and only http: is spoken here")
    if not parts.hostname or re.search(r"[^\x21-\x7e]", whole) or parts.path.strip("/") or parts.query:
        raise _unusable(variable, "no address, such as http://proxy.example.org:3128")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.username is None:
        return Proxy(f"http://{host}:{port}", {}, ())
    pair = f"{user}:{password}"
    headers = {"proxy-authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    secrets = (parts.netloc.rpartition("@")[0], pair, user, password, parts.username, parts.password or "")
    return Proxy(f"http://{host}:{port}", headers, tuple(dict.fromkeys(filter(None, secrets))))


def _unusable(variable: str, what: str) -> SpecError:
    return SpecError(
        f"{variable} names {what}. Name another proxy, list the server's host in NO_PROXY, or write `trust_env: false` "
        f"to go without"
    )


def _bypassed(parts: SplitResult, no_proxy: str) -> bool:
    """Whether NO_PROXY lists a host: by name, with or without a leading dot, port, `*` or a network's address."""
    host, port = (parts.hostname or "").rstrip("."), parts.port or {"http": 80, "https": 443}[parts.scheme.lower()]
    for entry in re.split(r"[\s,]+", no_proxy.strip().lower()):
        name, _, number = entry.rpartition(":") if re.fullmatch(r"[^:]+:\d+|\[.*\]:\d+", entry) else (entry, "", "")
        if number and int(number) != port:
            continue
        name = name.strip("[]").removeprefix("*.").strip(".") if name != "*" else name
        if name and (name in ("*", host) or host.endswith(f".{name}") or _in_network(host, name)):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def check_certificates() -> None:
    """Raise SpecError if SSL_CERT_FILE or, without it, SSL_CERT_DIR names what holds no certificate."""
    if file := os.environ.get("SSL_CERT_FILE"):
        _check_file(file)
    elif (folders := os.environ.get("SSL_CERT_DIR")) and not any(map(_HASHED.fullmatch, _names(folders))):
        raise SpecError(
            f"SSL_CERT_DIR names {folders}, in which there are no certificates under their hashes, or which can't be "
            "read: run `openssl rehash` there, or name one file in SSL_CERT_FILE"
        )


def _check_file(file: str) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        Path(file).open("rb").close()
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise SpecError(f"SSL_CERT_FILE names {file}, which holds no certificate in PEM form") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"SSL_CERT_FILE names {file}, which can't be read: {reason}") from None


def _names(folders: str) -> Iterator[str]:
    for folder in folders.split(os.pathsep):
        try:
            yield from (each.name for each in Path(folder).iterdir())
        except OSError:
            continue


def secrets_in_environment() -> Iterator[str]:
    """Keys and passwords of whatever else the run uses: other engines, stores, proxies. Theirs, too, may be repeated
    by a server, such as a gateway that all of them share.

    Variables whose names say that they hold one, and passwords in addresses such as `postgresql://me:password@host`.
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name.lower()):
            yield value
        elif "://" in value and "@" in value:
            password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
            yield from (each for each in (password, unquote(password)) if len(each) >= _SHORTEST)
