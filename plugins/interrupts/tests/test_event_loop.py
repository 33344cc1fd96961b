"""What other people's code leaves in an event loop neither ends nor holds up what was asked for."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

import pytest

from themis_interrupts import Interrupted
from themis_interrupts.event_loop import run_to_its_end

_kept: set[asyncio.Task[Any]] = set()


class Blamed(Exception):
    pass


def failure(during: str, error: BaseException) -> Blamed:
    return Blamed(f"{during}: {type(error).__name__}")


def keep(tasks: Iterable[asyncio.Task[Any]]) -> None:
    _kept.update(tasks)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return run_to_its_end(main, failure=failure, leave_alone=keep)


def test_the_result_is_returned_and_an_error_raised() -> None:
    async def good() -> int:
        return 42

    async def bad() -> None:
        raise ValueError("wrong")

    assert run(good()) == 42
    with pytest.raises(ValueError, match="wrong"):
        run(bad())


def test_an_exit_in_a_task_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def leaves() -> None:
        raise SystemExit(0)

    async def main() -> str:
        task = asyncio.create_task(leaves())
        await asyncio.wait([task])
        return "done"

    with caplog.at_level(logging.ERROR, "themis"):
        assert run(main()) == "done"
    assert [each.getMessage() for each in caplog.records] == [
        "a task or callback of its own: SystemExit\nthe run goes on"
    ]


def test_an_exit_of_what_was_asked_for_is_blamed() -> None:
    async def main() -> None:
        raise SystemExit(0)

    with pytest.raises(Blamed, match=r"^a call that ended the run: SystemExit$"):
        run(main())


def test_a_loop_whose_files_were_closed_is_not_tried_again_and_again() -> None:
    async def main() -> None:
        os.close(asyncio.get_running_loop()._selector.fileno())  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    with pytest.raises(Blamed, match=r"^a call that ended the run: OSError$"):
        run(main())


def test_ctrl_c_goes_on() -> None:
    async def main() -> None:
        raise Interrupted("SIGINT")

    with pytest.raises(Interrupted):
        run(main())


def test_a_task_that_swallows_its_cancellation_holds_up_nothing() -> None:
    ends = asyncio.Event()

    async def swallows() -> None:
        while not ends.is_set():
            with suppress(asyncio.CancelledError):
                await ends.wait()

    async def main() -> str:
        keep([asyncio.create_task(swallows())])
        await asyncio.sleep(0)
        return "done"

    assert run(main()) == "done"


def test_where_a_loop_runs_already_it_says_what_to_await() -> None:
    async def run_async() -> None: ...

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"^an event loop is running already: await run_async\(\.\.\.\) in it$"):
            run(run_async())

    asyncio.run(main())
