"""`themis view` in a process of its own, and a run that goes on when it is told to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-m", "themis_core"]
ENGINE = """
import asyncio
from pathlib import Path

from themis_core import Engine, Generation, hookimpl

GATE = Path(__file__).with_name("go")


class Patient(Engine):
    async def generate(self, request):
        while request.item_id in ("three", "four") and not GATE.exists():
            await asyncio.sleep(0.01)
        return Generation("answered", f"A: {request.item_id}")


@hookimpl
def themis_register_engines(register):
    register("patient", Patient)
"""
SPEC = """
project:
  plugins: {mine: ./engine.py}
  storage: {backend: sqlite, root_dir: store}
benchmark:
  benchmark_id: live
  models: [{model_id: patient, provider: mine/patient}]
  prompt_variants: [{id: plain, messages: [{role: user, content: "{{ item.id }}"}]}]
  slices:
    - slice_id: all
      dataset:
        source: files/inline
        fields: {id: id, reference: id}
        extras: {rows: [{id: one}, {id: two}, {id: three}, {id: four}]}
      generation: {}
      scores: [{name: said, metrics: [text/contains]}]
"""


@contextmanager
def view(*arguments: str | Path) -> Iterator[str]:
    """Serve a store, and give the address; what the command says on standard error must be nothing."""
    command = [*COMMAND, "view", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield address
        finally:
            process.terminate()
            _, said = process.communicate(timeout=30)
    assert said == ""


def live_spec(folder: Path) -> Path:
    (folder / "engine.py").write_text(ENGINE, "utf-8")
    spec = folder / "spec.yaml"
    spec.write_text(SPEC, "utf-8")
    return spec


@contextmanager
def live_run(folder: Path) -> Iterator[Path]:
    """A run of four items, two of which are answered when the file `go` is there; give its spec."""
    spec = live_spec(folder)
    with subprocess.Popen([*COMMAND, "run", "--quiet", str(spec)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield spec
        finally:
            (folder / "go").touch()
            process.communicate(timeout=60)
