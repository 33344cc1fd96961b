"""What every engine has to do, the key, and what is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import Engine, EngineError, Generation, Request
from themis_core.testing.engine import EngineSuite, outcomes
from themis_core.testing.secrets import KeySuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_http.engine import HttpJson

Make = Callable[..., HttpJson]
CHAT = {"messages": "{{ messages }}", "model": "{{ model }}"}


class TestJson(EngineSuite):
    @pytest.fixture
    def engine(self, server: ScriptedServer, make: Make) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return make("choices[0].message.content", body=CHAT)

    @pytest.fixture
    def asked(self) -> Request:
        return Request("m", [{"role": "user", "content": "2 + 2?"}], {})

    @pytest.fixture
    def failing(self) -> Request:
        return Request("m", [{"role": "user", "content": "fail"}], {})


class TestKeys(KeySuite):
    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def key(self, key: str) -> str:
        return key

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        extras = {"base_url": server.origin, "path": "/ask", "api_key_env": "MY_API_KEY", "body": CHAT,
                  "reply": {"text": "choices[0].message.content", "error": "error"}}  # fmt: skip
        return {"model_id": "m", "provider": "http/json", "extras": extras}


def sent(engine: Engine, request: Request, server: ScriptedServer) -> Any:
    server.reset({"faults": [{"body": {"text": "4"}}]})
    (answer,) = outcomes(engine, [request])
    assert isinstance(answer, Generation), answer
    (served,) = server.requests()
    return served


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"q": "{{ prompt }}"}, {"q": "Be brief.\n\n2 + 2?"}),
        ({"q": "{{ item.question }}", "n": "{{item.n}}"}, {"q": "2 + 2?", "n": 3}),
        ({"q": "{{ item.n }} of {{ item.tags[0] }}"}, {"q": "3 of a"}),
        ({"tags": "{{ item.tags }}"}, {"tags": ["a", "b"]}),
        ({"deep": [{"er": ["{{ item.n }}", "n"]}]}, {"deep": [{"er": [3, "n"]}]}),
        ({"a": "{{ item.empty }}", "b": ["{{ item.empty }}", 1], "c": None}, {"b": [1], "c": None}),
        ({"t": "{{ params.temperature }}", "p": "{{ params.top_p }}"}, {"t": 0.5}),
        ({"params": "{{ params }}"}, {"params": {"temperature": 0.5, "seed": 7}}),
        ({"seed": "{{ params.seed }}"}, {"seed": 7}),
        ({"seed": "{{ seed }}", "model": "{{ model }}"}, {"seed": 7, "model": "m"}),
        ({"messages": "{{ messages }}"}, {"messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]}),
        ({"last": "{{ messages[-1].content }}"}, {"last": "2 + 2?"}),
        ({"x": "{% if item.n > 2 %}many{% else %}few{% endif %}"}, {"x": "many"}),
        ({"plain": "no braces", "n": 1, "on": True}, {"plain": "no braces", "n": 1, "on": True}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_body_is_filled_in(body: Any, expected: Any, make: Make, asked: Request, server: ScriptedServer) -> None:
    served = sent(make(body=body), asked, server)
    assert (served.method, served.path, served.body) == ("POST", "/ask", expected)
    assert served.headers["content-type"] == "application/json"


@pytest.mark.parametrize("http_client", ["pyreqwest", "httpx"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST"])
def test_what_stands_in_an_address_is_encoded(
    method: str, http_client: str, make: Make, asked: Request, server: ScriptedServer
) -> None:
    engine = make(body=None, method=method, path="/{{ item.path }}/ask?q={{ prompt }}", http_client=http_client)
    served = sent(engine, asked, server)
    assert served.method == method
    assert served.path == "/..%2Fx%3Fy%3D1%26z%3D%C3%A4/ask?q=Be%20brief.%0A%0A2%20%2B%202%3F"
    assert "content-type" not in served.headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a?t={{ params.temperature }}&p={{ params.top_p }}", "/a?t=0.5&p="),
        ("/a?{% if item.path == '../x?y=1&z=ä' %}same{% endif %}", "/a?same"),
        ("/a?n={{ item.path | length }}", "/a?n=12"),
        ("/a?q={{ item.path | upper | truncate(6, true, '') }}", "/a?q=..%2FX%3FY"),
        ("/a?tags={{ item.tags }}", "/a?tags=%5B%22a%22%2C%20%22b%22%5D"),
        ("/a?{% for tag in item.tags %}t={{ tag }}&{% endfor %}", "/a?t=a&t=b&"),
        ("/a?up={{ '..' }}", "/a?up=.."),
        ("/a?token={{ item.n }}&page_token=2", "/a?token=3&page_token=2"),
    ],
)
def test_an_address_is_made_of_values_as_they_are(path: str, expected: str, make: Make, asked: Request) -> None:
    assert make(path=path).path_of(asked) == expected


@pytest.mark.parametrize(
    ("item", "words"), [({"id": ".."}, "another address"), ({"id": "\ud800"}, "can't be rendered")]
)
def test_an_address_that_is_another_or_none_is_a_failure(
    item: dict[str, Any], words: str, make: Make, server: ScriptedServer
) -> None:
    (error,) = outcomes(make(path="/items/{{ item.id }}"), [Request("m", [], {}, item_id="i1", item=item)])
    assert isinstance(error, EngineError)
    assert error.code == "unsupported"
    assert words in error.message
    assert server.count == 0


def test_a_key_is_sent_as_bearer_token_or_in_any_header(
    make: Make, asked: Request, server: ScriptedServer, key: str
) -> None:
    assert sent(make(api_key_env="MY_API_KEY"), asked, server).headers["authorization"] == f"Bearer {key}"
    served = sent(make(headers_env={"X-Key": "MY_API_KEY"}, headers={"X-Team": "a"}), asked, server)
    assert (served.headers["x-key"], served.headers["x-team"]) == (key, "a")
    assert "authorization" not in served.headers


@pytest.mark.parametrize(
    ("config", "fields", "prompt"),
    [
        ({"body": {"q": "{{ item.question }}", "n": "x{{ item.n }}"}, "path": "/{{ item.path }}"},
         ("n", "path", "question"), False),
        ({"body": {"q": "{{ item }}"}}, ("*",), False),
        ({"body": {"q": "{% for name in item %}{{ name }}{% endfor %}"}}, ("*",), False),
        ({"body": {"q": "{{ prompt }}"}}, (), True),
        ({"body": {"m": "{{ messages }}", "r": "{{ item.reference }}"}}, ("reference",), True),
        ({"body": {"seed": "{{ seed }}"}}, (), False),
    ],
)  # fmt: skip
def test_what_the_templates_read_is_what_is_handed_over(
    config: dict[str, Any], fields: tuple[str, ...], prompt: bool, make: Make
) -> None:
    engine = make(**config)
    assert (engine.item_fields, engine.reads_prompt) == (fields, prompt)


def test_it_can_do_what_its_templates_send(make: Make) -> None:
    plain = make(body={"q": "{{ prompt }}"}).capabilities
    assert not any((plain.seed, plain.tools, plain.images, plain.audio, plain.files, plain.structured, plain.n))
    assert make(body={"s": "{{ seed }}"}).capabilities.seed
    assert make({"text": "t", "cost": "usd"}).capabilities.costs
    assert not plain.costs
    whole = make(body={"m": "{{ messages }}", "t": "{{ params.tools }}"}).capabilities
    assert (whole.images, whole.audio, whole.files, whole.tools, whole.structured) == (True, True, True, True, False)
    everything = make(body={"p": "{{ params }}"}).capabilities
    assert (everything.tools, everything.structured, everything.seed) == (True, True, True)


def test_a_setting_that_no_template_reads_is_refused(make: Make) -> None:
    engine = make(body={"t": "{{ params.temperature }}", "s": "{{ seed }}"})
    engine.check_params({"temperature": 0.5, "seed": 7})
    with pytest.raises(ValueError, match=r"read no params\.top_p"):
        engine.check_params({"temperature": 0.5, "top_p": 0.9})
    with pytest.raises(ValueError, match=r"read no params\.seed"):
        make(body={"t": "{{ params.temperature }}"}).check_params({"seed": 7})
    make(body={"all": "{{ params }}"}).check_params({"top_p": 0.9, "stop": ["x"]})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"body": {"a": [{"b": "{{ item.x"}]}}, r"a\[0\]\.b: template, line 1"),
        ({"body": {"a": "{{ thing.x }}"}}, r"a: nothing is called 'thing' here; there are: item, messages"),
        ({"body": {"a": "{{ params.temprature }}"}}, r"a: there is no setting 'temprature'"),
        ({"path": "/{{ x }}"}, "nothing is called 'x'"),
        ({"body": {"a": [{"{{ item.x }}": 1}]}}, r"a\[0\]: the key"),
        ({"body": {"a": float("inf")}}, "inf"),
        ({"path": "ask"}, "begin it with /"),
        ({"path": "/http://other.example"}, "write the server into base_url"),
        ({"path": "/a?api_key=hunter2hunter2"}, "it holds a key or password"),
        ({"path": "/bot/sk-abcdef1234567890abcdef/say"}, "it holds a key or password"),
        ({"method": "DELETE"}, "method"),
        ({"reply": {"text": "a.b["}}, r"reply\.text"),
        ({"reply": {"text": "a.b["}}, "'a.b\\[' is no JMESPath expression"),
        ({"reply": {"text": ""}}, "is no JMESPath expression"),
        ({"reply": {"text": "nosuch(a)", "usage": {"input_tokens": "]"}}}, "input_tokens"),
        ({"reply": {"text": "a", "txt": "b"}}, "txt"),
        (
            {"reply": {"text": "jion('', a[?length_of(b) > `2`])"}},
            "no function 'jion'. Did you mean 'join'",
        ),
        ({"reply": {"text": "join('', a[?length_of(b) > `2`])"}}, "JMESPath has no function 'length_of'"),
        ({"reply": {}}, "text"),
        ({"reply": {"text": "a", "statuses": {"done": "good"}}}, "statuses"),
        ({"headers": {"x-api-key": "abc"}}, "headers_env"),
        ({"base_url": "localhost"}, "whole address"),
    ],
)
def test_a_config_that_can_not_be_meant_is_refused_with_its_place(
    config: dict[str, Any], words: str, make: Make
) -> None:
    with pytest.raises(ValueError, match=words):
        make(**config)


def test_a_field_that_the_item_has_not_is_an_error_that_says_so(make: Make, asked: Request) -> None:
    (error,) = outcomes(make(body={"q": "{{ item.qestion }}"}), [asked])
    assert isinstance(error, EngineError)
    assert error.code == "unsupported"
    assert "has no field 'qestion'" in error.message
    assert "item i1" in error.message


def test_identity_is_the_request_and_the_paths(make: Make) -> None:
    identity = make({"text": "a"}, api_key_env="MY_API_KEY", http_client="httpx").identity()
    assert identity.keys() == {"base_url", "headers", "method", "path", "body", "reply"}
    assert make({"text": "b"}).identity() != make({"text": "a"}).identity()


def test_what_would_ask_all_items_the_same_is_refused(make: Make, asked: Request) -> None:
    for config in ({"body": {"q": "hello", "t": "{{ params.temperature }}"}}, {"body": None}):
        with pytest.raises(ValueError, match="all items would be asked the same"):
            make(**config).check_request(asked)
    with pytest.raises(ValueError, match="another address"):
        make(path="/{{ '..' }}").check_request(asked)
    make(body=None, path="/{{ item.question }}").check_request(asked)
    make().check_request(asked)
