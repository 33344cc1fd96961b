"""Workers that are processes: how they end, what they leave, and that they know when nobody watches."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from themis_workers import WorkerEnd, WorkerProcess, tail_of


def ended(worker: WorkerProcess) -> WorkerEnd:
    deadline = time.monotonic() + 30
    while (end := worker.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return end


def started(folder: Path, code: str, **more: object) -> WorkerProcess:
    return WorkerProcess("1", [sys.executable, "-c", code], folder, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("""print('noise'); print('{"exit_code": 5, "message": "m", "counts": {"done": 2}}')""", (5, "m", {"done": 2})),
        ("import sys; sys.exit(7)", (7, "it ended with exit code 7 without saying why", {})),
        ("print('[1]')", (0, "it ended with exit code 0 without saying why", {})),
        ("import os; os.kill(os.getpid(), 9)", (-9, "killed by SIGKILL", {})),
    ],
)
def test_the_end_is_what_the_worker_says_or_what_is_known(tmp_path: Path, code: str, end: tuple[object, ...]) -> None:
    found = ended(started(tmp_path, code))
    assert (found.exit_code, found.message, dict(found.counts)) == end


def test_it_is_asked_to_end_in_good_order_and_its_log_is_kept(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "time.sleep(60)"
    )
    worker = started(tmp_path, code)
    while worker.log_tail() != "ready\n":
        assert worker.poll() is None
    worker.stop()
    assert ended(worker).exit_code == 0
    worker.stop()
    worker.kill()


def test_what_it_started_is_ended_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.PIPE)\n"
        "print(child.pid, file=sys.stderr, flush=True)\n"
        "time.sleep(60)"
    )
    worker = started(tmp_path, code)
    while not worker.log_tail():
        assert worker.poll() is None
    child = int(worker.log_tail())
    worker.kill()
    assert ended(worker).message == "killed by SIGKILL"
    state = Path(f"/proc/{child}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_its_standard_input_ends_with_whoever_started_it(tmp_path: Path) -> None:
    inner = "import sys; sys.stdin.read(); print('nobody watches', file=sys.stderr)"
    outer = (
        "import sys, os\nfrom pathlib import Path\nfrom themis_workers import WorkerProcess\n"
        f"WorkerProcess('1', [sys.executable, '-c', {inner!r}], Path({str(tmp_path)!r}))\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", outer], timeout=30).returncode == -9
    deadline = time.monotonic() + 30
    while tail_of(tmp_path / "1.log") != "nobody watches\n":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_its_environment_and_folder_are_what_is_said(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['DEVICE'], os.getcwd(), file=sys.stderr)"
    (tmp_path / "there").mkdir()
    worker = started(tmp_path, code, environment={"DEVICE": "3"}, working_dir=tmp_path / "there")
    ended(worker)
    assert worker.log_tail() == f"3 {(tmp_path / 'there').resolve()}\n"


def test_a_tail_begins_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(100)))
    assert tail_of(tmp_path / "log", 20) == "line 98\nline 99\n"
    assert tail_of(tmp_path / "none") == ""
