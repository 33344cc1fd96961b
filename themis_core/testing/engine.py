"""What every engine has to do, as tests to inherit from.

No engine is known here. A plugin's own tests say the rest:

    class TestMyEngine(EngineSuite):
        @pytest.fixture
        def engine(self) -> Engine: ...

        @pytest.fixture
        def asked(self) -> Request: ...

        @pytest.fixture
        def failing(self) -> Request: ...
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from themis_core.components import Engine
from themis_core.errors import EngineError
from themis_core.records import ERROR_CODES, Generation, Request, Usage
from themis_core.specs import canonical_json

__all__ = ["EngineSuite", "outcomes"]

T = TypeVar("T")


class EngineSuite:
    """Inherit, name the class `Test...`, and override the fixtures `engine`, `asked` and `failing`."""

    @pytest.fixture
    def engine(self) -> Engine:
        """A new engine that is ready to be checked and started."""
        raise NotImplementedError("override the fixture `engine`")

    @pytest.fixture
    def asked(self) -> Request:
        """A request that the engine answers."""
        raise NotImplementedError("override the fixture `asked`")

    @pytest.fixture
    def failing(self) -> Request:
        """A request that the engine fails to answer."""
        raise NotImplementedError("override the fixture `failing`")

    @pytest.fixture
    def base_dir(self, tmp_path: Path) -> Path:
        """The folder that relative paths of the config start from."""
        return tmp_path

    def test_the_config_is_frozen(self, engine: Engine) -> None:
        name = next(iter(type(engine).model_fields), "anything")
        with pytest.raises(ValidationError):
            setattr(engine, name, None)

    def test_every_config_field_is_described(self, engine: Engine) -> None:
        undescribed = [name for name, field in type(engine).model_fields.items() if not field.description]
        assert undescribed == [], "every field needs Field(..., description=...)"

    def test_identity_is_json_and_equal_for_equal_config(self, engine: Engine, base_dir: Path) -> None:
        twin = type(engine).model_validate(engine.model_dump(by_alias=True))
        for each in (engine, twin):
            each.check(base_dir)
        assert canonical_json(twin.identity()) == canonical_json(engine.identity()), (
            "equal config must give an equal identity, or stored answers are not found again"
        )
        assert json.loads(canonical_json(engine.identity())) == engine.identity(), (
            "`identity()` must be plain data: text keys, lists, no tuples"
        )

    def test_what_cannot_change_an_answer_is_not_in_identity(self, engine: Engine, base_dir: Path) -> None:
        engine.check(base_dir)
        outside = type(engine).not_identity
        assert outside <= type(engine).model_fields.keys(), "`not_identity` names what is no field"
        assert not outside & engine.identity().keys(), "`identity()` must leave out what `not_identity` names"

    def test_the_endpoint_is_a_name_without_credentials(self, engine: Engine) -> None:
        assert engine.endpoint, "`endpoint` must name what limits and breaker apply to"
        assert "@" not in engine.endpoint, "`endpoint` is shown in messages, so it must not hold credentials"

    def test_what_is_answered_is_not_refused_in_the_plan(self, engine: Engine, asked: Request, base_dir: Path) -> None:
        engine.check(base_dir)
        engine.check_content()
        engine.check_request(copy.deepcopy(asked))

    def test_a_request_gets_a_generation_and_stays_as_it_is(
        self, engine: Engine, asked: Request, base_dir: Path
    ) -> None:
        before = copy.deepcopy(asked)
        assert_sound(_run(engine, base_dir, lambda: engine.generate(asked)))
        assert asked == before, "a request belongs to the run: copy what you change"

    def test_a_generation_survives_storage(self, engine: Engine, asked: Request, base_dir: Path) -> None:
        given = _run(engine, base_dir, lambda: engine.generate(asked))
        stored = canonical_json(given.to_dict())
        assert Generation.from_dict(json.loads(stored)) == given, "what a generation holds must be plain JSON data"

    def test_concurrent_requests_are_all_answered(self, engine: Engine, asked: Request, base_dir: Path) -> None:
        async def together() -> list[Generation]:
            return await asyncio.gather(*(engine.generate(asked) for _ in range(32)))

        answers = _run(engine, base_dir, together)
        for each in answers:
            assert_sound(each)

    def test_a_failure_is_an_engine_error_with_a_stable_code(
        self, engine: Engine, failing: Request, base_dir: Path
    ) -> None:
        async def failed() -> EngineError:
            with pytest.raises(EngineError) as caught:
                await engine.generate(failing)
            return caught.value

        error = _run(engine, base_dir, failed)
        assert error.code in ERROR_CODES, f"the code must be one of {', '.join(sorted(ERROR_CODES))}"
        assert error.message, "the message must say what went wrong"
        assert error.retry_after is None or error.retry_after >= 0, "`retry_after` is seconds from now"

    def test_a_failure_and_a_cancellation_leave_the_engine_usable(
        self, engine: Engine, asked: Request, failing: Request, base_dir: Path
    ) -> None:
        async def story() -> Generation:
            with pytest.raises(EngineError):
                await engine.generate(failing)
            task = asyncio.ensure_future(engine.generate(asked))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return await engine.generate(asked)

        assert_sound(_run(engine, base_dir, story))

    def test_stopping_again_or_without_a_start_does_no_harm(self, engine: Engine, base_dir: Path) -> None:
        async def story() -> None:
            await engine.stop()
            await engine.start()
            await engine.stop()
            await engine.stop()

        engine.check(base_dir)
        asyncio.run(story())


def outcomes(engine: Engine, requests: Iterable[Request]) -> list[Generation | EngineError]:
    """Start an engine, send requests one after another, stop it; what each came to."""

    async def outcome(request: Request) -> Generation | EngineError:
        try:
            return await engine.generate(request)
        except EngineError as error:
            return error

    async def life() -> list[Generation | EngineError]:
        await engine.start()
        try:
            return [await outcome(request) for request in requests]
        finally:
            await engine.stop()

    found = asyncio.run(life())
    gc.collect()  # a connection left open warns now, in the test that left it
    return found


def assert_sound(generation: Any) -> None:
    """Fail unless this is a generation as an engine may return it."""
    assert isinstance(generation, Generation), "`generate` returns a Generation"
    assert generation.status in ("answered", "refused", "truncated", "empty"), "a failure is raised as EngineError"
    assert isinstance(generation.text, str), 'no text is ""'
    assert (generation.error_code, generation.error) == (None, None), "a failure is raised as EngineError"
    if generation.status == "answered":
        assert generation.text or generation.tool_calls, 'without text and tool calls the status is "empty"'
    assert isinstance(generation.usage, Usage), "`usage` is a Usage; what the provider did not say is None in it"
    counts = generation.usage
    for count in (counts.input_tokens, counts.output_tokens):
        assert count is None or count >= 0, "a count of tokens is None if unknown, never negative"


def _run(engine: Engine, base_dir: Path, work: Callable[[], Awaitable[T]]) -> T:
    """Go through an engine's life as a run does, `work` in the middle."""

    async def life() -> T:
        await engine.start()
        try:
            return await work()
        finally:
            await engine.stop()

    engine.check(base_dir)
    result = asyncio.run(life())
    gc.collect()  # what was left open warns now, in the test that left it
    return result
