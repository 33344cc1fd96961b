"""What programs come to, attacks and faked successes among them, behind the walls of either kind."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from themis_plugin_code.running import Job, limits, report_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits hold on Linux")

RIGHT = "def f(x): return x + 1"
TEST = "assert abs(f(1) - 2) < 1"
WALLS = [pytest.param(True, id="namespaces"), pytest.param(False, id="landlock")]


def outcome(program: str, tests: tuple[str, ...] = (TEST,), **more: Any) -> str:
    report = report_of(Job(program, tests, **{"cpu_s": 1, "wall_s": 8.0, "memory_mb": 256, **more}))
    assert report["walls"], report
    return str(report["outcome"])


def family() -> set[int]:
    """The processes whose parent is this one, ended ones that nobody waited for among them."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


@pytest.fixture(params=WALLS)
def namespaces(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whether namespaces are tried; afterwards no process and no file is left."""
    wanted: bool = request.param
    by = limits(wanted)["files"].get("by")
    if by != ("namespaces" if wanted else "Landlock"):
        pytest.skip(f"not on this system: {limits(wanted)['files']}")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = family()
    yield wanted
    assert (family() - before, list(scratch.iterdir())) == (set(), [])


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param(RIGHT, "passed", id="right"),
        pytest.param("def f(x): return x + 2", "failed", id="wrong"),
        pytest.param("def f(x) return x", "failed", id="no Python"),
        pytest.param("def g(x): return x", "failed", id="another name"),
        pytest.param("\0\ud800", "failed", id="no text of a program"),
        pytest.param("(" * 100_000, "failed", id="nested too deeply"),
        pytest.param("def f(x): return f(x)", "failed", id="endless recursion"),
        pytest.param("import ctypes; ctypes.string_at(0)", "failed", id="a crash of the interpreter"),
        pytest.param("import time; time.sleep(100)", "timeout", id="sleeping"),
        pytest.param("import threading; threading.Lock().acquire(); x = threading.Lock(); x.acquire(); x.acquire()",
                     "timeout", id="a deadlock"),
        pytest.param("print('x' * 10**7)\n" + RIGHT, "passed", id="much output"),
        pytest.param("open('own', 'w').write('x'); assert open('own').read() == 'x'\n" + RIGHT, "passed",
                     id="a file of its own"),
        pytest.param("import os, tempfile; tempfile.mkdtemp(); open(os.path.expanduser('~/own'), 'w')\n" + RIGHT,
                     "passed",
                     id="folders of its own"),
        pytest.param("import threading\ndef f(x):\n  found = []\n"
                     "  t = threading.Thread(target=found.append, args=(x + 1,))\n  t.start(); t.join()\n"
                     "  return found[0]", "passed", id="a thread"),
        pytest.param("import asyncio\nasync def g(x): return x + 1\ndef f(x): return asyncio.run(g(x))", "passed",
                     id="asyncio"),
        pytest.param("import re, math, heapq, json, decimal, fractions, datetime, random, typing, hashlib\n" + RIGHT,
                     "passed", id="the standard library"),
        pytest.param("import os\ntry: os.fork()\nexcept OSError: pass\n" + RIGHT, "passed", id="an attempt in vain"),
        pytest.param("import pytest", "failed", id="what is installed"),
        pytest.param("if __name__ == '__main__': raise SystemExit\n" + RIGHT, "passed", id="a main part"),
        pytest.param("import socket, fcntl, os\na, b = socket.socketpair()\na.send(b'x')\nassert b.recv(9) == b'x'\n"
                     "fcntl.fcntl(a, fcntl.F_SETFD, 1)\nos.set_blocking(a.fileno(), False)\n" + RIGHT, "passed",
                     id="two ends of its own"),
        pytest.param("\ufeff" + RIGHT, "passed", id="a mark of the order of bytes"),
        pytest.param("from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n"
                     "  x: int\ndef f(x): return P(x).x + 1", "passed", id="a dataclass"),
    ],
)  # fmt: skip
def test_a_program_comes_to_its_outcome(program: str, expected: str, namespaces: bool) -> None:
    wall_s = 1.0 if expected == "timeout" else 8.0
    assert outcome(program, namespaces=namespaces, wall_s=wall_s) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param("import os\nwhile True: os.fork()", "refused", id="a fork bomb"),
        pytest.param("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", "timeout",
                     id="a fork bomb that does not give up"),
        pytest.param("while True: pass", "timeout", id="an endless loop"),
        pytest.param("x = bytearray(4 << 30)", "refused", id="4 GB at once"),
        pytest.param("x = []\nwhile True: x.append(bytearray(1 << 20))", "refused", id="4 GB bit by bit"),
        pytest.param("import mmap; mmap.mmap(-1, 4 << 30)", "refused", id="4 GB mapped"),
        pytest.param("open('/etc/written_by_a_program', 'w')", "refused", id="a write outside"),
        pytest.param("open('/written_by_a_program', 'w')", "refused", id="a write to the root"),
        pytest.param("import os; os.mkdir('/var/made_by_a_program')", "refused", id="a folder outside"),
        pytest.param("import os; os.symlink('/etc', 'e'); open('e/written_by_a_program', 'w')", "refused",
                     id="by a link"),
        pytest.param("import socket; socket.create_connection(('127.0.0.1', 80))", "refused", id="a socket"),
        pytest.param("import socket; socket.socket(socket.AF_UNIX)", "refused", id="a socket in the file system"),
        pytest.param("import urllib.request; urllib.request.urlopen('http://127.0.0.1')", "refused", id="a download"),
        pytest.param("import subprocess; subprocess.run(['true'])", "refused", id="another program"),
        pytest.param("import os; os.execv('/bin/true', ['true'])", "refused", id="in its place another program"),
        pytest.param("import os; os.kill(-1, 9)", "refused", id="a signal to everybody"),
        pytest.param("import os; os.kill(os.getppid() or 2, 9)", "refused", id="a signal to its warden"),
        pytest.param("import os; os.setsid()", "refused", id="a session of its own"),
        pytest.param("import _thread, time\n_thread.stack_size(1 << 15)\n"
                     "while True: _thread.start_new_thread(time.sleep, (100,))", "refused", id="threads without end"),
        pytest.param("x = open('x', 'wb')\nwhile True: x.write(bytes(1 << 20))", "refused", id="a file without end"),
        pytest.param("x = []\nwhile True: x.append(open('/dev/null'))", "refused", id="open files without end"),
        pytest.param("class E(Exception):\n  def __str__(self):\n    while True: pass\nraise E", "timeout",
                     id="an endless message"),
        pytest.param("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.unshare(0x10000000)\n"
                     "raise OSError(ctypes.get_errno(), 'unshare')", "refused", id="namespaces of its own"),
        pytest.param("import os, resource; resource.prlimit(os.getppid() or 2, resource.RLIMIT_CPU, (1, 1))", "refused",
                     id="a limit of another process"),
        pytest.param("import resource; resource.setrlimit(resource.RLIMIT_CPU, (9, 9))", "failed", id="a higher limit"),
        pytest.param("import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid() or 2)\n"
                     "fcntl.fcntl(r, 10, 9)\nfcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b'x')", "refused",
                     id="a signal to its warden when a pipe is written"),
        pytest.param("import fcntl, os, struct\nr, w = os.pipe()\n"
                     "fcntl.fcntl(r, 15, struct.pack('ii', 1, os.getppid() or 2))", "refused",
                     id="the same by the other command"),
        pytest.param("import fcntl, os, socket, struct\na, b = socket.socketpair()\n"
                     "fcntl.ioctl(a, 0x8901, struct.pack('i', os.getppid() or 2))", "refused", id="the same by ioctl"),
        pytest.param("import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '\\0x')",
                     "refused", id="a datagram"),
        pytest.param("import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_RAW | socket.SOCK_CLOEXEC)",
                     "refused", id="a raw socket"),
        pytest.param("import os\nx = []\nwhile True:\n  x.append(os.memfd_create('x'))\n"
                     "  os.write(x[-1], bytes(1 << 10))\n  if len(x) > 9: break", "refused", id="files in memory"),
        pytest.param("import os; os.sched_setaffinity(os.getppid() or 0, {0})", "refused",
                     id="processors of another process"),
    ],
)  # fmt: skip
def test_an_attack_meets_a_limit(program: str, expected: str, namespaces: bool) -> None:
    assert outcome(program, namespaces=namespaces) == expected
    for folder in ("/etc", "/"):
        assert not (Path(folder) / "written_by_a_program").exists()


def test_a_file_outside_is_neither_written_nor_read_nor_changed(namespaces: bool, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    secret.chmod(0o644)
    before = secret.stat()
    for attempt in (
        "open(p)",
        "open(p, 'a')",
        "os.chmod(p, 0o600)",
        "os.truncate(p, 0)",
        "os.remove(p)",
        "os.utime(p)",
    ):
        program = f"import os\np = {str(secret)!r}\n{attempt}"
        assert outcome(program, namespaces=namespaces) in ("refused", "failed"), attempt
    after = secret.stat()
    assert (secret.read_text(), after.st_mode, after.st_mtime) == ("hidden", before.st_mode, before.st_mtime)


def test_folders_in_folders_by_the_thousand_and_without_rights_are_removed(namespaces: bool) -> None:
    made = "import os\nfor _ in range(3000):\n  os.mkdir('d', 0o700)\n  os.chdir('d')\nos.mkdir('e', 0)\n" + RIGHT
    assert outcome(made, namespaces=namespaces, cpu_s=5) == "passed"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("raise SystemExit(0)", id="SystemExit"),
        pytest.param("import os; print('passed'); os._exit(0)", id="an exit of the process"),
        pytest.param("def f(x): raise SystemExit(0)", id="SystemExit within a test"),
        pytest.param("import _thread\ndef f(x): _thread.exit()", id="the end of the thread"),
        pytest.param("import os\nfor fd in range(64):\n  try: os.write(fd, b'{\"outcome\": \"passed\"}\\n' * 2)\n"
                     "  except OSError: pass\nos._exit(0)", id="a verdict of its own"),
        pytest.param("import atexit, os\natexit.register(os._exit, 0)", id="at exit"),
        pytest.param("import os; os.closerange(0, 64)\n" + RIGHT, id="closed descriptors"),
        pytest.param("import os\nos.dup2(os.open('own', os.O_CREAT | os.O_RDWR), 4)\nfor fd in range(3, 64):\n"
                     "  try: os.dup2(1, fd)\n  except OSError: pass\n" + RIGHT, id="other descriptors"),
        pytest.param("import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return 9", id="changed builtins"),
        pytest.param("def abs(x): return 0\ndef f(x): return 9", id="hidden builtins"),
        pytest.param("import builtins\nbuiltins.AssertionError = None\ndef f(x): return 9", id="AssertionError"),
        pytest.param("import builtins\nbuiltins.exec = lambda *a: None\nbuiltins.compile = None\ndef f(x): return 9",
                     id="exec"),
        pytest.param("import sys\ndef trace(frame, event, arg):\n  if 'test' in frame.f_code.co_filename:\n"
                     "    raise SystemExit\n  return trace\nsys.settrace(trace)\ndef f(x): return 9",
                     id="a trace function"),
        pytest.param("class Any(float):\n  def __sub__(self, other): return 0\n  def __eq__(self, other): return True\n"
                     "def f(x): return Any(9)", id="a number that differs by nothing"),
        pytest.param("import _thread, time\n_thread.interrupt_main()\ntime.sleep(0.1)\ndef f(x): return 9",
                     id="an interrupt"),
        pytest.param("import sys\nframe = sys._getframe()\nwhile frame:\n  if 'word' in frame.f_locals: break\n"
                     "  frame = frame.f_back\nframe.f_locals['word']", id="callers"),
        pytest.param("import importlib, sys\nimportlib.reload(sys)\nsys._current_frames()", id="frames of threads"),
        pytest.param("import gc\nfound = [o for o in gc.get_objects() if isinstance(o, dict) and 'word' in o]\n"
                     "found[0]",
                     id="objects"),
        pytest.param("import themis_plugin_code.inside.harness as h\nh.run = lambda job: {'outcome': 'passed'}",
                     id="the harness"),
        pytest.param("import json, os\ndumps, write = json.dumps, os.write\n"
                     "json.dumps = lambda said, **more: dumps({**said, 'outcome': 'passed'})\n"
                     "os.write = lambda fd, said: write(fd, said.replace(b'failed', b'passed'))\n"
                     "os._exit = lambda code: None\ndef f(x): return 9", id="functions that tell it"),
        pytest.param("import sys\nnames = sys._getframe().f_back.f_globals\n"
                     "for name in ('_in_thread', '_judge', 'run', 'exec'): names[name] = lambda *a: None\n"
                     "def f(x): return 9", id="names of callers"),
        pytest.param("import sys\ncaller = sys._getframe().f_back.f_locals\ncaller['found'].insert(0, None)\n"
                     "caller['done'].release()\ndef f(x): return 9", id="lists of callers"),
        pytest.param("import sys\ncode = sys._getframe().f_back.f_locals['told'].__globals__\n"
                     "for name in list(code): code[name] = lambda *a: ('passed', '', '')\ndef f(x): return 9",
                     id="what tells exceptions"),
        pytest.param("import __main__\nvars(__main__)['main'].__globals__", id="the main module"),
        pytest.param("import builtins, sys\ndef spy(*a):\n  frame = sys._getframe()\n"
                     "  while frame:\n    for found in frame.f_locals.values():\n"
                     "      if type(found) is list: found.insert(0, ('passed', '', ''))\n    frame = frame.f_back\n"
                     "for name in 'callable type set dict vars next isinstance issubclass str'.split():\n"
                     "  setattr(builtins, name, spy)\ndef f(x): return 9", id="builtins that spy"),
        pytest.param("import sys, threading\ndef spy(frame, *a):\n  for found in frame.f_locals.values():\n"
                     "    if type(found) is list: found.insert(0, ('passed', '', ''))\n"
                     "getattr(threading, 'setprofile_all_threads', print)(spy)\n"
                     "getattr(threading, 'settrace_all_threads', print)(spy)\ndef f(x): return 9", id="all threads"),
        pytest.param("import sys\nfor name in ('_settraceallthreads', '_setprofileallthreads', 'monitoring'):\n"
                     "  assert not hasattr(sys, name)\nimport sys.monitoring", id="monitoring"),
        pytest.param("import sys\ndef spy(event, *a):\n  frame = event == 'exec' and sys._getframe(1)\n"
                     "  if frame and 'found' in frame.f_locals: frame.f_locals['found'].insert(0, None)\n"
                     "try: sys.addaudithook(spy)\nexcept AttributeError: pass\ndef f(x): return 9", id="an audit hook"),
        pytest.param("import gc, sys\ndef spy(*a):\n  frame = sys._getframe(1)\n  while frame:\n"
                     "    found = frame.f_locals.get('found')\n    if type(found) is list: found.insert(0, None)\n"
                     "    frame = frame.f_back\ngc.callbacks.append(spy)\ngc.set_threshold(1)\n"
                     "def f(x): return 9", id="a callback of the garbage collector"),
        pytest.param("class Name(str):\n  def __hash__(self): raise SystemExit\n"
                     "  def __eq__(self, other): return True\n"
                     "try: globals()[Name('g')] = 1\nexcept SystemExit: pass\ndef f(x): return 9", id="odd names"),
        pytest.param("class Odd:\n  @property\n  def __class__(self): raise SystemExit\n"
                     "  def __call__(self, x): return 9\n"
                     "f = Odd()", id="odd classes"),
        pytest.param("import sys\nsys.modules['ast'] = sys.modules['json'] = None\ndef f(x): return 9", id="modules"),
    ],
)  # fmt: skip
def test_a_success_that_is_faked_is_none(program: str, namespaces: bool) -> None:
    assert outcome(program, namespaces=namespaces) in ("failed", "refused")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Equal()", "failed"),
        ("[1, (Equal(),)]", "failed"),
        ("{'a': Equal()}", "failed"),
        ("mock.ANY", "failed"),
        ("Word('x')", "failed"),
        ("Plain", "passed"),
        ("Plain()", "passed"),
        ("Pair(1, 2)", "passed"),
        ("fractions.Fraction(1, 2)", "passed"),
        ("decimal.Decimal(1)", "passed"),
        ("collections.Counter('aab')", "passed"),
        ("collections.OrderedDict(a=1)", "passed"),
        ("collections.defaultdict(int, a=1)", "passed"),
        ("collections.deque([1])", "passed"),
        ("datetime.date(2024, 1, 1)", "passed"),
        ("Shade.DARK", "passed"),
        ("re.compile('x')", "passed"),
        ("collections.deque([Equal()])", "failed"),
        ("collections.deque([[Equal()]], maxlen=3)", "failed"),
        ("types.SimpleNamespace(a=Equal())", "failed"),
        ("types.SimpleNamespace(a=1)", "passed"),
        ("types.MappingProxyType({1: Equal()})", "failed"),
        ("{1: Equal()}.values()", "failed"),
        ("{1: Equal()}.items()", "failed"),
        ("{1: 2}.items()", "passed"),
        ("slice(Equal())", "failed"),
        ("weakref.proxy(EQUAL)", "failed"),
        ("HALF", "failed"),
        ("pathlib.PurePosixPath('/a') / 'b'", "passed"),
        ("Abstract()", "passed"),
        ("WithMetaclass()", "failed"),
        ("[None, True, 1, 1.0, 1j, 'x', b'x', {1}, frozenset({1}), range(3), (1,)]", "passed"),
    ],
)
def test_a_result_that_compares_as_it_likes_fails(value: str, expected: str) -> None:
    program = (
        "import abc, collections, datetime, decimal, enum, fractions, pathlib, re, types, weakref\n"
        "from unittest import mock\n"
        "class Equal:\n  def __eq__(self, other): return True\n"
        "class Word(str):\n  def __ne__(self, other): return False\n"
        "class Plain: pass\n"
        "class Shade(enum.Enum): DARK = 1\n"
        "Pair = collections.namedtuple('Pair', 'a b')\n"
        "EQUAL, HALF = Equal(), fractions.Fraction(1, 2)\n"
        "HALF._numerator = EQUAL\n"
        "class Abstract(abc.ABC): pass\n"
        "class Meta(type): __mro__ = property(lambda cls: ())\n"
        "Meta.__module__ = 'abc'\n"
        "class WithMetaclass(Equal, metaclass=Meta): pass\n"
        f"made = {value}\n"
        "def f(): return made"
    )
    test = "assert f() is not None"
    assert outcome(program, (test,)) == expected
    assert outcome(program, (test,), plain_results=False) == "passed"


@pytest.mark.parametrize(
    "program",
    [
        "import sys, types\nsys.modules['fractions'] = types.SimpleNamespace(Fraction=Equal)\ndef f(): return Equal()",
        "import fractions\nfractions.Fraction = Equal\ndef f(): return Equal()",
        "import fractions\nfractions.Fraction.__eq__ = lambda *a: True\ndef f(): return fractions.Fraction(1)",
        "import fractions\nfractions.Fraction._richcmp = lambda *a: 1\ndef f(): return fractions.Fraction(1)",
        "import collections\ncollections.Counter.__eq__ = lambda *a: True\ndef f(): return collections.Counter()",
        "import enum\nenum.Enum.__eq__ = lambda *a: True\nclass E(enum.Enum): A = 1\ndef f(): return E.A",
        "import collections\nclass C(collections.Counter): __eq__ = lambda *a: True\ndef f(): return C()",
    ],
)
def test_a_class_of_the_library_is_known_as_it_was_before_the_program(program: str) -> None:
    equal = "class Equal:\n  def __eq__(self, other): return True\n"
    assert outcome(equal + program, ("f()",)) == "failed"
    assert outcome(equal + program, ("f()",), plain_results=False) == "passed"


@pytest.mark.parametrize("tested", ["f = functools.lru_cache(lambda: Equal())", "class f(Equal): pass", "f = Equal"])
def test_a_result_is_looked_at_whatever_makes_it(tested: str) -> None:
    program = f"import functools\nclass Equal:\n  def __eq__(self, other): return True\n{tested}"
    assert outcome(program, ("assert f() == 1",)) == "failed"
    assert outcome(program, ("assert f() == 1",), plain_results=False) == "passed"


def test_what_it_says_of_a_failure_is_short_and_names_the_line_of_the_test() -> None:
    program = "def f(x): raise ValueError('y' * 10**6)"
    report = report_of(Job(program, ("def check(g):\n    assert g(1) == 2\n\ncheck(f)",)))
    del report["walls"]
    assert report == {"outcome": "failed", "error": f"ValueError: {'y' * 300}", "line": "assert g(1) == 2"}


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        pytest.param("def f(x):\n", "    return x + 1\n", "passed", id="a body"),
        pytest.param("def f(x):\n", "return x + 1\n", "passed", id="a body that was stripped"),
        pytest.param('def h(x):\n    return x\n\ndef f(x):\n    """Doc."""\n', "def f(x):\n    return h(x) + 1",
                     "passed", id="a whole function, with a helper of the prompt"),
        pytest.param("Write f, which adds one.", RIGHT, "passed", id="prose"),
        pytest.param("", RIGHT, "passed", id="no prompt"),
        pytest.param('def h(x):\n    return x\n\ndef f(x):\n    """Doc."""\n',
                     "from __future__ import annotations\ndef f(x: X):\n    return h(x) + 1", "passed",
                     id="the future"),
        pytest.param('def f(x):\n    """Doc."""\n', '"""F."""\nfrom __future__ import (\n  division, annotations\n)\n'
                     "from __future__ import generators; y = 1\ndef f(x: X):\n    return x + y", "passed",
                     id="more of the future"),
        pytest.param("import math\n\ndef f(x):\n", "\ufeff    return math.floor(x) + 1\n", "passed",
                     id="a marked body"),
        pytest.param("def f(x):\n", "    return 'unclosed\n", "failed", id="no Python"),
    ],
)  # fmt: skip
def test_a_completion_is_joined_to_its_prompt(prompt: str, completion: str, expected: str) -> None:
    assert outcome(completion, prompt=prompt, entry_point="f") == expected


def test_a_program_without_an_entry_point_is_the_completion_alone() -> None:
    assert outcome(RIGHT, prompt="raise ValueError") == "passed"


def test_what_is_tested_may_have_the_name_of_a_builtin() -> None:
    assert outcome("def sum(a, b): return a + b", ("assert sum(1, 2) == 3",)) == "passed"
    assert outcome("def sum(a, b): return a + b", ("assert sum(1, 2) == 3",), entry_point="sum") == "passed"
    assert outcome("def set(x): return 1\ndef f(x): return x", ("assert set(f([1])) == set([2])",)) == "failed"


def test_hashes_are_the_same_in_every_run() -> None:
    report = [report_of(Job("raise ValueError(hash('x'))")) for _ in range(2)]
    assert report[0] == report[1]
