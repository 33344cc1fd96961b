"""How a command ends on signals."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

COMMAND = """
import signal, time
from themis_interrupts import INTERRUPTED, Interrupted, exit_code, in_good_order, leave, listen_to_signals

listen_to_signals(at_once="it had to be")
try:
    {what}
except Interrupted:
    leave(exit_code(INTERRUPTED))
leave(exit_code(3))
"""
TWICE = "with in_good_order(lambda: None): [signal.raise_signal(signal.{0}), signal.raise_signal(signal.{0})]"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("pass", 3),
        ("signal.raise_signal(signal.SIGINT)", 130),
        ("signal.raise_signal(signal.SIGTERM)", 143),
        ("signal.raise_signal(signal.SIGHUP)", 129),
        ("with in_good_order(lambda: None): signal.raise_signal(signal.SIGINT)", 3),
        (TWICE.format("SIGTERM"), 143),
    ],
)
def test_a_command_exits_with_the_number_of_its_signal(what: str, code: int) -> None:
    command = [sys.executable, "-c", COMMAND.format(what=what)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")


def test_the_second_signal_ends_what_does_not_end() -> None:
    what = """with in_good_order(lambda: None):
        signal.raise_signal(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGINT)
        except Interrupted:
            time.sleep(600)"""
    command = [sys.executable, "-c", COMMAND.format(what=what)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "it had to be\n")


@pytest.mark.parametrize(
    "left",
    [
        "threading.Thread(target=time.sleep, args=(600,)).start()",
        "multiprocessing.get_context('fork').Process(target=time.sleep, args=(5,)).start()",
    ],
)
def test_what_was_left_behind_is_waited_for_a_while(left: str) -> None:
    code = f"""
import multiprocessing, threading, time
from themis_interrupts import leaving
leaving.THREADS_S = 0.5
{left}
leaving.leave(3, "something is left")
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "something is left\n")
    assert time.monotonic() - began < 60
