"""How the command ends on signals, whoever started it and whatever its store or a component does meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from themis_core import Engine, Generation, hookimpl

THEMIS_CONTRACT_VERSION = 1
HOW = os.environ.get("HOW", "")


def tell(word):
    print(word, file=sys.stderr, flush=True)


class Slow(Engine):
    async def generate(self, request):
        import asyncio
        tell("asked")
        if HOW == "swallow":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        if HOW == "thread":
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
        if HOW == "store":
            from themis_sql import SqlStore
            SqlStore.append = lambda *_: (tell("stalls"), time.sleep(600))
            return Generation("answered", text="1")
        await asyncio.sleep(0.5)
        return Generation("answered", text="1")


@hookimpl
def themis_register_engines(register):
    if HOW == "import":
        tell("asked")
        time.sleep(600)
    register("slow", Slow)


@hookimpl
def themis_run_finished(event, summary):
    if HOW == "exit thread":
        import threading
        threading.Thread(target=time.sleep, args=(600,)).start()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `themis run` on 20 slow trials, one at a time."""
    (tmp_path / "slow.py").write_text(PLUGIN)
    (tmp_path / "items.jsonl").write_text("".join(json.dumps({"id": f"i{n}", "gold": "1"}) + "\n" for n in range(20)))
    spec = {
        "project": {"plugins": {"mine": "./slow.py"}, "execution_policy": {"max_in_flight_work_items": 1}},
        "benchmark": {
            "benchmark_id": "signals",
            "models": [{"model_id": "m", "provider": "mine/slow"}],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
            "slices": [
                {
                    "slice_id": "all",
                    "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
                    "generation": {},
                    "scores": [{"name": "same", "metrics": ["text/exact_match"]}],
                }
            ],
        },
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    begun: list[subprocess.Popen[str]] = []

    def started(
        how: str = "", ignored: tuple[int, ...] = (), arguments: tuple[str, ...] = ("run", "spec.json")
    ) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-c", as_from_a_shell(ignored), sys.executable, "-m", "themis_core", *arguments],
                cwd=tmp_path,
                env={**os.environ, "HOW": how},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.communicate()


def as_from_a_shell(ignored: tuple[int, ...]) -> str:
    """A program that becomes another one, with the signals as they are in a terminal, and some of them ignored.

    The tests' own dispositions would be inherited: where they run in the background, SIGINT is ignored.
    """
    return textwrap.dedent(f"""
        import os, signal, sys
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for number in {[int(number) for number in ignored]}:
            signal.signal(number, signal.SIG_IGN)
        os.execv(sys.argv[1], sys.argv[1:])
    """)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stderr is not None
    while (said := process.stderr.readline()) != f"{line}\n":
        assert said, f"it ended without saying {line!r}"


def ended(process: subprocess.Popen[str], within: float) -> tuple[int, str]:
    _, said = process.communicate(timeout=within)
    return process.returncode, said


BUSY_S = 5
"""Seconds by which a busy machine may notice an end late. What ends there would go on for ten minutes."""
CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("sent", "code"), CODES)
def test_each_signal_ends_a_run_in_good_order_with_its_own_exit(start: Any, sent: int, code: int) -> None:
    process = start()
    wait_for(process, "asked")
    process.send_signal(sent)
    got, said = ended(process, 20)
    assert (got, said.count("asked")) == (code, 0), said
    assert "interrupted: what arrived is saved" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("sent", "code"), CODES[1:])
def test_where_sigint_is_ignored_the_other_signals_end_a_run_all_the_same(start: Any, sent: int, code: int) -> None:
    process = start(ignored=(signal.SIGINT,))
    wait_for(process, "asked")
    process.send_signal(signal.SIGINT)
    wait_for(process, "asked")
    process.send_signal(sent)
    got, said = ended(process, 20)
    assert (got, said.count("asked")) == (code, 0), said


def test_under_nohup_the_end_of_the_terminal_does_not_end_a_run(start: Any) -> None:
    process = start(ignored=(signal.SIGHUP,))
    wait_for(process, "asked")
    process.send_signal(signal.SIGHUP)
    wait_for(process, "asked")
    process.send_signal(signal.SIGTERM)
    assert ended(process, 20)[0] == 143


@pytest.mark.parametrize(("sent", "code"), CODES)
@pytest.mark.parametrize("how", ["store", "swallow", "thread"])
def test_a_second_signal_ends_the_process_within_two_seconds(start: Any, how: str, sent: int, code: int) -> None:
    process = start(how)
    wait_for(process, "stalls" if how == "store" else "asked")
    process.send_signal(sent)
    time.sleep(0.3)
    again = time.monotonic()
    process.send_signal(sent)
    got, said = ended(process, 20)
    assert (got, time.monotonic() - again < 2 + BUSY_S) == (code, True), said
    assert "Traceback" not in said


def test_waiting_for_the_store_is_said(start: Any) -> None:
    process = start("store")
    wait_for(process, "stalls")
    time.sleep(5.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    got, said = ended(process, 20)
    assert got == 130
    assert "waiting for the store for 5 s; nothing is lost by ending the run meanwhile" in said
    assert "stopping: waiting for 0 answers and waiting for the store for" in said


def test_threads_that_never_end_do_not_hold_up_the_end(start: Any, tmp_path: Path) -> None:
    process = start("exit thread", arguments=("run", "spec.json", "--limit", "1", "--format", "json"))
    stdout, said = process.communicate(timeout=40)
    assert process.returncode == 0, said
    assert json.loads(stdout)["status"] == "completed"
    assert "threads that a component left behind did not end" in said


@pytest.mark.parametrize(("sent", "code"), CODES)
def test_a_signal_while_a_plugin_is_imported_ends_the_command_without_a_traceback(
    start: Any, sent: int, code: int
) -> None:
    process = start("import")
    wait_for(process, "asked")
    process.send_signal(sent)
    got, said = ended(process, 20)
    assert (got, "Traceback" in said) == (code, False), said


@pytest.mark.parametrize(("sent", "code"), CODES)
def test_a_signal_while_the_command_is_imported_ends_it_without_a_traceback(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: int, code: int
) -> None:
    (tmp_path / "click.py").write_text(f"import os, time\nos.kill(os.getpid(), {int(sent)})\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ended(start(arguments=("schema",)), 20) == (code, "")
