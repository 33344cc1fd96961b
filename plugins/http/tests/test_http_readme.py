"""The provider of the README is one: it answers, and fails, as engines do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Engine, EngineError, Generation, Request, Usage
from themis_core.testing.engine import EngineSuite
from themis_core.testing.server import ScriptedServer

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
ANSWER = {"said": "4", "ended": "stop", "usage": {"tokens_in": 5, "tokens_out": 1}}
REQUEST = Request("small-1", [{"role": "user", "content": "2 + 2?"}], {"temperature": 0.0})


@pytest.fixture
def say(server: ScriptedServer) -> Callable[..., Engine]:
    names: dict[str, Any] = {}
    exec(CODE, names)
    server.reset({"faults": [{"body": ANSWER}]})
    return lambda **config: names["Say"](base_url=server.base_url, **config)  # type: ignore[no-any-return]


def asked(engine: Any, request: Request = REQUEST) -> Generation:
    async def life() -> Generation:
        await engine.start()
        try:
            return await engine.generate(request)  # type: ignore[no-any-return]
        finally:
            await engine.stop()

    return asyncio.run(life())


class TestComplianceOfTheProvider(EngineSuite):
    @pytest.fixture
    def engine(self, say: Callable[..., Engine]) -> Engine:
        return say()

    @pytest.fixture
    def asked(self) -> Request:
        return REQUEST

    @pytest.fixture
    def failing(self, server: ScriptedServer) -> Request:
        server.reset({"faults": [{"match": "fail", "status": 401}, {"body": ANSWER}]})
        return Request("small-1", [{"role": "user", "content": "fail"}], {})


def test_the_provider_is_short() -> None:
    assert CODE.count("\n") <= 55


@pytest.mark.parametrize("http_client", ["pyreqwest", "httpx"])
def test_the_provider_answers(say: Callable[..., Engine], server: ScriptedServer, key: str, http_client: str) -> None:
    generation = asked(say(http_client=http_client))
    assert (generation.status, generation.text, generation.usage) == ("answered", "4", Usage(5, 1))
    (request,) = server.requests()
    assert (request.method, request.path) == ("POST", "/v1/say")
    assert request.body == {"model": "small-1", "messages": REQUEST.messages, "temperature": 0.0}
    assert request.headers["x-api-key"] == key
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers


def test_what_the_provider_gets_wrong_is_billed_and_its_error_says_so(
    say: Callable[..., Engine], server: ScriptedServer
) -> None:
    server.reset({"faults": [{"body": {"ended": "stop", "usage": {"tokens_in": 5}}}]})
    with pytest.raises(EngineError, match="the reply says nothing") as caught:
        asked(say())
    assert (caught.value.code, caught.value.usage) == ("invalid_reply", Usage(5))


def test_a_run_names_the_provider_as_a_loose_plugin(
    say: Callable[..., Engine], server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "example.py").write_text(CODE, encoding="utf-8")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"""
project:
  plugins: {{example: ./example.py}}
benchmark:
  benchmark_id: b
  models:
    - {{model_id: small-1, provider: example/say, extras: {{base_url: "{server.base_url}"}}}}
  prompt_variants:
    - {{id: plain, messages: [{{role: user, content: "{{{{ item.q }}}}"}}]}}
  slices:
    - slice_id: all
      dataset:
        source: files/inline
        fields: {{id: q, reference: answer}}
        extras: {{rows: [{{q: 2 + 2?, answer: "4"}}]}}
      generation: {{}}
      scores:
        - {{name: said, metrics: [text/contains]}}
""",
        encoding="utf-8",
    )
    result = themis.run(spec)
    assert (result.status, result.generated, result.failed) == ("completed", 1, 0)
