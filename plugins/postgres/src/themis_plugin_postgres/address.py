"""URLs of databases: what is wrong with one, and how it is shown without its password.

It connects to nothing.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit, urlunsplit

__all__ = ["has_password", "masked", "mistake_in", "own_host", "shown"]

_SCHEMES: Final = ("postgresql", "postgres")
_SECRET_OPTIONS: Final = ("password", "sslpassword")
_NO_WORD: Final = 6
"""Characters from which a password is hardly a word of a message by chance."""
_EXAMPLE: Final = "postgresql://user@host:5432/database"


def mistake_in(url: str) -> str | None:
    """Say what is wrong with a URL, quoting nothing of it; None if it can be tried."""
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in _SCHEMES:
            return f"is no database URL: write one like {_EXAMPLE}"
        _ = [_port(each) for each in _hosts(parts)]
        parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return f"can't be read as a URL like {_EXAMPLE}: characters such as @ : / # ? % in a password need %-escapes"
    if parts.fragment or "\0" in url:
        return "has a # or NUL: characters such as @ : / # ? % in a password need %-escapes"
    return None


def has_password(url: str) -> bool:
    return bool(_secrets(url))


def masked(text: str, url: str) -> str:
    """Return the text with the URL's password made unreadable where it stands as one.

    That is in a URL, after `password=`, and, if it is too long to be a word of the message by chance, as a whole word.
    """
    for secret in sorted(_secrets(url), key=len, reverse=True):
        for form in {secret, unquote(secret), quote(unquote(secret), safe="")}:
            form = re.escape(form)
            text = re.sub(rf"(://[^\s/@:]*:){form}(?=@)", r"\1***", text)
            text = re.sub(rf"(password\s*[=:]?\s*['\"]?){form}(?![^\s'\"&;,)])", r"\1***", text, flags=re.IGNORECASE)
            if len(form) >= _NO_WORD and unquote(secret) not in _plain_parts(url):
                text = re.sub(rf"(?<!\w){form}(?!\w)", "***", text)
    return text


def _plain_parts(url: str) -> set[str]:
    """Return user, hosts and database: what messages may name, even if a password is equal to it."""
    parts = urlsplit(url.strip())
    user, _, hosts = parts.netloc.rpartition("@")
    names = [user.partition(":")[0], parts.path[1:], *re.split(r"[,:]", hosts)]
    return {unquote(name) for name in names}


def shown(url: str, schema_name: str) -> str:
    """Return host, port, database and schema as a URL: no password, no other option."""
    parts = urlsplit(url.strip())
    user, _, hosts = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    socket = parse_qs(parts.query).get("host", [""])[0]
    host = hosts or quote(socket, safe="/,.:[]") or "localhost"
    place = f"{name}@{host}" if name else host
    return urlunsplit((parts.scheme, place, parts.path or "/", f"schema={quote(schema_name)}", ""))


def own_host(url: str) -> str | None:
    """The host, if it is whichever machine asks: a loopback address, a socket's folder, or none at all."""
    parts = urlsplit(url.strip())
    named = [each for each in (*_hosts(parts), *parse_qs(parts.query).get("host", [""])[0].split(",")) if each]
    hosts = [unquote(urlsplit(f"//{each}").hostname or each) for each in named] or ["localhost"]
    own = [host for host in hosts if host in ("localhost", "::1") or host.startswith(("127.", "/"))]
    return own[0] if len(own) == len(hosts) else None


def _secrets(url: str) -> list[str]:
    try:
        parts = urlsplit(url.strip())
        options = parse_qs(parts.query)
    except ValueError:
        return []
    user = parts.netloc.rpartition("@")[0]
    found = [user.partition(":")[2], *(value for name in _SECRET_OPTIONS for value in options.get(name, ()))]
    return [each for each in found if each]


def _hosts(parts: SplitResult) -> list[str]:
    """Return `host:port` of each of the hosts, of which a URL for Postgres may name several."""
    return parts.netloc.rpartition("@")[2].split(",")


def _port(host: str) -> int | None:
    return urlsplit(f"//{host}").port
