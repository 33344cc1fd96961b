"""What servers of OpenAI's protocol say in their own way of failures. No I/O."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from themis_http import Dialect
from themis_plugin_openai.usage import read_usage

__all__ = ["DIALECT", "error_within", "path_hint"]

_OTHER_PATH = re.compile(r"/(completions|responses|models|embeddings|messages|generate)/(?:chat/)?completions$")
_VERSION = re.compile(r"/v\d|/openai/deployments/")


def error_within(data: dict[str, Any]) -> Any:
    """The error that the body of a 200 carries: its own, a choice's, or the whole body; None if it is none."""
    error = data.get("error")
    choices = data.get("choices")
    if error and not (choices and _says_nothing(error)):
        return data
    if isinstance(choices, list) and choices:
        found = next((each["error"] for each in choices if isinstance(each, dict) and each.get("error")), None)
        return None if found is None else {"error": found, "usage": data.get("usage")}
    if data.get("object") == "error" or data.get("type") == "error":
        return data
    if isinstance(data.get("base_resp"), dict):  # MiniMax
        return {"error": data["base_resp"], "usage": data.get("usage")}
    said = (data.get(name) for name in ("message", "msg", "detail", "error_msg", "error_message", "errors"))
    return data if choices is None and any(each and isinstance(each, str | list) for each in said) else None


def _says_nothing(error: Any) -> bool:
    if not isinstance(error, dict):
        return error in ("none", "None", "null", "ok", "OK")
    return not error.get("message") and error.get("code") in (None, "", 0, "0", 200, "200")


def path_hint(url: str) -> str:
    """What may be wrong with the path of an address that was called, as a clause; empty if it looks right."""
    parts = urlsplit(url)
    if found := _OTHER_PATH.search(parts.path):
        return f"; the engine appends its path, so leave out what ends with /{found[1]} from base_url"
    if "/v1/v1/" in parts.path:
        return "; /v1 is there twice: leave one out of base_url"
    if "/openai/deployments/" in parts.path and "api-version=" not in parts.query:
        return "; Azure's deployments want ?api-version=... in base_url"
    return "" if _VERSION.search(parts.path) else "; most servers want /v1 at the end of base_url"


DIALECT = Dialect(read_usage=read_usage, error_within=error_within, path_hint=path_hint)
