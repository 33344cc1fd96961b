"""Which signals are heard, and what is told apart from them."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from themis_interrupts import Interrupted, from_outside, heard, in_good_order, listening


def test_ctrl_c_raises_interrupted_within_and_the_handler_before_is_back_behind() -> None:
    before = signal.getsignal(signal.SIGINT)
    with listening(), listening():
        assert heard()
        with pytest.raises(Interrupted, match="SIGINT"):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening():
            signal.raise_signal(signal.SIGINT)
            assert heard()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_changes_no_handler() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with listening():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_first_signal_asks_all_to_stop_and_the_next_one_raises() -> None:
    told = []
    with listening(), in_good_order(lambda: told.append("outer")), in_good_order(lambda: told.append("inner")):
        signal.raise_signal(signal.SIGINT)
        assert told == ["outer", "inner"]
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
    assert told == ["outer", "inner"]


@pytest.mark.parametrize(
    ("error", "outside"),
    [
        (Interrupted(), True),
        (BaseExceptionGroup("all", [ValueError(), Interrupted()]), True),
        (KeyboardInterrupt(), False),
        (BaseExceptionGroup("all", [KeyboardInterrupt(), SystemExit()]), False),
        (SystemExit(), False),
        (GeneratorExit(), False),
        (ValueError(), False),
        (asyncio.CancelledError(), False),
    ],
    ids=repr,
)
def test_only_the_users_own_wish_is_from_outside(error: BaseException, outside: bool) -> None:
    with listening():
        assert from_outside(error) is outside


def test_without_a_listener_any_keyboard_interrupt_may_be_the_users() -> None:
    assert from_outside(KeyboardInterrupt())


def test_a_cancellation_is_from_outside_if_who_awaits_was_cancelled() -> None:
    seen = []

    async def awaits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            seen.append(from_outside(error))

    async def main() -> None:
        task = asyncio.create_task(awaits())
        await asyncio.sleep(0)
        task.cancel()
        await task
        seen.append(from_outside(asyncio.CancelledError()))  # nobody asked for this one

    asyncio.run(main())
    assert seen == [True, False]
