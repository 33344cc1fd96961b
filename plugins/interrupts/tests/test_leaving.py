"""How a command ends on signals."""

from __future__ import annotations

import subprocess
import sys

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
