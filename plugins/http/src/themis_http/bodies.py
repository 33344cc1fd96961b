"""Bodies of requests and replies as JSON. No I/O."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from typing import Any, Final

from themis_core import EngineError
from themis_http.answers import invalid
from themis_http.dialect import Dialect
from themis_http.failures import USUAL, inner_error
from themis_http.redaction import Redaction

__all__ = ["STREAM", "encode", "json_object", "json_value"]

STREAM: Final = (
    "the reply is a stream of events, which was not asked for: switch streaming off at the server or gateway, tell it "
    "by `extra_body: {stream: false}`, or, if the engine has that setting, ask for it by `extras: {stream: true}`"
)

_STREAM = re.compile(rb"(?:data|event|id|retry)?:")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON in ASCII, so that lone surrogates get through without loss."""
    return _encode(body).encode("ascii")


def json_object(
    content: bytes,
    redaction: Redaction,
    url: str = "",
    headers: Callable[[], Mapping[str, str]] = dict,
    dialect: Dialect = USUAL,
) -> dict[str, Any]:
    """Decode the body of a 200 that came from `url`, with such headers; an error in it is raised as what it is.

    A server that puts an error into a 200 may have recovered: it may be asked again. JSON of the wrong shape was made
    (and billed) on purpose and may not.
    """
    beginning, text = _decoded(content)
    del content  # so that a huge reply is there once only while it is parsed
    data = _parsed(text, beginning, url, dialect)
    if not isinstance(data, dict):
        raise invalid("the reply is not a JSON object")
    if (inner := dialect.error_within(data)) is not None:
        raise inner_error(inner, headers(), redaction, url, dialect)
    return data


def json_value(content: bytes, url: str = "", dialect: Dialect = USUAL) -> Any:
    """Decode the body of a 200 that came from `url`. Raises EngineError.

    What is no JSON may be a reply cut short or a gateway's page: it may be asked for again.
    """
    beginning, text = _decoded(content)
    del content
    return _parsed(text, beginning, url, dialect)


def _decoded(content: bytes) -> tuple[bytes, str | None]:
    """How the body begins, and its text; None if it is no UTF-8."""
    content = content.removeprefix(BOM_UTF8)  # some servers begin with it; `utf-8-sig` would copy every reply
    beginning = content[:1000].lstrip()[:20]
    try:
        return beginning, content.decode("utf-8")
    except UnicodeDecodeError:
        return beginning, None


def _parsed(text: str | None, beginning: bytes, url: str, dialect: Dialect) -> Any:
    kind = "not JSON"
    try:
        if text is not None:
            return json.loads(text)
    except ValueError:
        pass
    except RecursionError:
        kind = "nested too deeply"
    if _STREAM.match(beginning):
        raise invalid(STREAM)
    if beginning[:1] == b"<":
        kind = f"HTML, a page for people (called: {url}{dialect.path_hint(url)})"
    raise EngineError("invalid_reply", f"the reply is {kind}", retryable=True, status=200, unknown_outcome=True)
