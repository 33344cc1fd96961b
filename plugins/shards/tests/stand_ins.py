"""A spec, and a stand-in for `themis` that notes how it was called and ends as it is told."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["STAND_IN", "StandIn", "run_as", "write_spec"]

SPEC = """\
project:
  storage: {backend: sqlite, root_dir: ROOT}
benchmark:
  benchmark_id: Two Words
  slices:
    - slice_id: carried
      dataset:
        source: files/jsonl
        dataset_id: data/answers.jsonl
        fields: {id: id, reference: gold, output: answer}
      scores: [{name: match, metrics: [text/exact_match]}]
"""
ANSWERS = "".join(f'{{"id": "{n}", "gold": "{n % 3}", "answer": "{n % 2}"}}\n' for n in range(30))
STAND_IN = """\
import json, os, pathlib, signal, sys, time
place = pathlib.Path(os.environ["STAND_IN"])
argv = sys.argv[1:]
shard = argv[argv.index("--shard") + 1] if "--shard" in argv else "whole"
name = shard.replace("/", "-of-")
tries = len(list(place.glob(f"{name}.*")))
(place / f"{name}.{tries}").write_text(json.dumps({"argv": argv, "cwd": os.getcwd()}))
ends = json.loads((place / "ends.json").read_text()).get(shard, [0])
end = ends[min(tries, len(ends) - 1)]
print(f"this is {shard}, try {tries}", flush=True)
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "wait":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    (place / f"waits.{name}").touch()
    time.sleep(60)
sys.exit(end)
"""


@dataclass
class StandIn:
    """The command that takes the place of `themis`, and what it was called with."""

    place: Path

    @property
    def command(self) -> str:
        return shlex.join([sys.executable, str(self.place / "stand in.py")])

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "STAND_IN": str(self.place)}

    def ends(self, ends: Mapping[str, Sequence[int | str]]) -> None:
        """How the tries of each shard end: an exit code, `kill` or `wait`; the last one stands for all that follow."""
        (self.place / "ends.json").write_text(json.dumps(ends))

    def calls(self, shard: str) -> list[dict[str, Any]]:
        name = shard.replace("/", "-of-")
        found = sorted(self.place.glob(f"{name}.*"), key=lambda path: int(path.suffix[1:]))
        return [json.loads(path.read_text()) for path in found]


def write_spec(folder: Path, root: str = ".themis") -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "answers.jsonl").write_text(ANSWERS)
    file = folder / "spec.yaml"
    file.write_text(SPEC.replace("ROOT", root))
    return file


def run_as(
    command: Sequence[str], environment: Mapping[str, str], **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**environment, **variables}, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
