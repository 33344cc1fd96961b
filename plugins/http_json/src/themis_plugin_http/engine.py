"""The engine: a request is a form that is filled in, and paths say where in the reply things are."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import parse_qsl

from pydantic import Field, JsonValue, field_validator

from themis_core import Capabilities, EngineError, Generation, Request
from themis_http import Dialect, HttpEngine, encode, inner_error, json_value
from themis_plugin_http.finding import Finding, find, read
from themis_plugin_http.forms import Form, context_of, path_form
from themis_secrets import find_key

__all__ = ["HttpJson"]


class _Forms(NamedTuple):
    path: Form
    body: Form

    def reads(self, variable: str) -> set[str] | None:
        """The fields of a variable that are read; none if it is not read, and None if all of it is."""
        found = [form.reads[variable] for form in self if variable in form.reads]
        return None if None in found else {name for each in found for name in each or ()}


class HttpJson(HttpEngine):
    """Any service that answers JSON over HTTP."""

    dialect: ClassVar[Dialect] = Dialect(error_within=lambda data: None)
    agent: ClassVar[str] = "themis-plugin-http"

    base_url: str = Field(description="Address that `path` is appended to. Part of identity.")
    method: Literal["POST", "GET", "PUT", "PATCH"] = Field("POST", description="How it is asked.")
    request_path: str = Field(
        "", alias="path", description="Template of what follows base_url; what it inserts is encoded for an address."
    )
    request_body: JsonValue = Field(
        None,
        alias="body",
        description="What is sent as JSON: data whose texts are templates over item, messages, model, params, prompt "
        "and seed. A text that is one variable becomes its value; where that is none, it is left out.",
    )
    reply: Finding = Field(description="Where in the reply each thing is, as JMESPath expressions.")

    @field_validator("request_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if value and not value.startswith(("/", "?")):
            raise ValueError("begin it with / or ?: it is put at the end of base_url")
        if "://" in value or "#" in value:
            raise ValueError("write the server into base_url, and leave out what follows #")
        if _holds_key(value):
            raise ValueError(
                "it holds a key or password, or what looks like one, and specs are shown and stored: put it into an "
                "environment variable, and name that in api_key_env or headers_env"
            )
        path_form(value)
        return value

    @field_validator("request_body")
    @classmethod
    def _is_a_form(cls, value: JsonValue) -> JsonValue:
        Form(value, "body")
        return value

    @cached_property
    def forms(self) -> _Forms:
        """Both templates, compiled."""
        return _Forms(path_form(self.request_path), Form(self.request_body, "body"))

    @property
    def item_fields(self) -> tuple[str, ...]:
        fields = self.forms.reads("item")
        return ("*",) if fields is None else tuple(sorted(fields))

    @property
    def reads_prompt(self) -> bool:
        return any(name in form.reads for form in self.forms for name in ("messages", "prompt"))

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        whole = any("messages" in form.reads for form in self.forms)
        settings = self.forms.reads("params")
        seed = any("seed" in form.reads for form in self.forms)
        return Capabilities(
            seed=seed or self._takes(settings, "seed"),
            tools=self._takes(settings, "tools"),
            structured=self._takes(settings, "response_format"),
            images=whole,
            audio=whole,
            files=whole,
            costs=self.reply.cost is not None,
        )

    def _takes(self, settings: set[str] | None, name: str) -> bool:
        return settings is None or name in settings

    def check_params(self, params: dict[str, Any]) -> None:
        """Refuse settings that no template reads: they would change nothing."""
        settings = self.forms.reads("params")
        taken = params.keys() if settings is None else settings
        also = {"seed"} if self.capabilities.seed else set()
        if unread := sorted(params.keys() - taken - also):
            raise ValueError(
                f"its templates read no params.{unread[0]}, so it would change nothing: put it into the body as "
                f"'{{{{ params.{unread[0]} }}}}', or leave it out"
            )

    def check_request(self, request: Request) -> None:
        """Refuse an address or a body that can't be made, and templates that ask the same whatever the item is."""
        if not (self.reads_prompt or self.item_fields):
            raise ValueError(
                "its templates read neither item nor prompt, so all items would be asked the same: put "
                "'{{ prompt }}' or a field, such as '{{ item.question }}', into body or path"
            )
        super().check_request(request)
        try:
            self.path_of(request)
        except EngineError as error:
            raise ValueError(error.message) from error

    def body(self, request: Request) -> Any:
        return self.forms.body.fill(self._context(request), _of(request))

    def path_of(self, request: Request) -> str:
        path = str(self.forms.path.fill(self._context(request), _of(request)) or "")
        if not {".", ".."}.isdisjoint(path.partition("?")[0].split("/")):  # clients leave them out, however encoded
            raise EngineError("unsupported", f"path: {path!r:.200} would ask for another address, for {_of(request)}")
        return path

    def _context(self, request: Request) -> dict[str, Any]:
        return context_of(request, self.forms.reads("params") is None)

    async def generate(self, request: Request) -> Generation:
        filled = self.body(request)
        try:
            content = None if filled is None else encode(filled)
        except (TypeError, ValueError) as error:
            raise EngineError("unsupported", f"the body is no JSON for {_of(request)}: {error}") from error
        headers = {} if content is None else {"content-type": "application/json"}
        received = await self.call(self.method, self.path_of(request), body=content, headers=headers)
        connection = self.connection()
        data = json_value(received.body.pop(), connection.url)
        if found := find(self.reply.error, "error", data):
            raise inner_error({"error": found}, received.headers(), connection.redaction, connection.url)
        return self.read(data, round(received.latency_s, 6))

    def read(self, data: Any, latency_s: float) -> Generation:
        return read(data, self.reply, latency_s, self.connection().redaction.message)


def _holds_key(path: str) -> bool:
    """Whether a key is written into a path or its query; what a template inserts is none."""
    steps, _, query = path.partition("?")
    given = {name: value for name, value in parse_qsl(query) if "{{" not in value}
    return find_key({"steps": steps.split("/")}) is not None or find_key(given, by_name=True) is not None


def _of(request: Request) -> str:
    return f"item {request.item_id}" if request.item_id else "the request"
