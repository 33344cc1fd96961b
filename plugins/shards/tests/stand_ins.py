"""A spec; a stand-in for `themis` that notes how it was called and ends as it is told; and one for a cluster."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["STAND_IN", "Cluster", "StandIn", "expanded", "run_as", "write_spec"]

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
    signal.signal(signal.SIGTERM, lambda *_: ((place / f"asked.{name}").touch(), os._exit(143)))
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


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """What Kubernetes makes of an argument: `$(NAME)` is a variable, if there is one; `$$` is one `$`."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


class Cluster:
    """Mounts what a job wants mounted, runs a pod for each index, and replaces pods by the rules of the job."""

    def __init__(self, documents: list[dict[str, Any]], environment: Mapping[str, str]) -> None:
        self.job = documents[-1]["spec"]
        self.pod = self.job["template"]["spec"]
        self.environment = environment
        self.tries: Counter[int] = Counter()
        self.failed: list[int] = []
        self._mount({each["metadata"]["name"]: each for each in documents if each["kind"] == "ConfigMap"})

    def _mount(self, maps: Mapping[str, dict[str, Any]]) -> None:
        places = {each["name"]: Path(each["mountPath"]) for each in self.pod["containers"][0]["volumeMounts"]}
        for volume in self.pod["volumes"]:
            if "configMap" in volume:
                held = maps[volume["configMap"]["name"]]
                files = {key: text.encode() for key, text in held.get("data", {}).items()}
                files |= {key: base64.b64decode(text) for key, text in held.get("binaryData", {}).items()}
                for item in volume["configMap"]["items"]:
                    file = places[volume["name"]] / item["path"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(files[item["key"]])

    def run(self) -> str:
        """How the job ends: `Complete` or `Failed`."""
        waiting = deque(range(self.job["completions"]))
        while waiting:
            index = waiting.popleft()
            self.tries[index] += 1
            code = self._pod(index)
            if code == 0:
                continue
            action = self._action(code)
            if action == "FailJob":
                self.failed.append(index)
                return "Failed"
            if action == "FailIndex" or self.tries[index] > self.job["backoffLimitPerIndex"]:
                self.failed.append(index)
            else:
                waiting.append(index)
        return "Failed" if self.failed else "Complete"

    def _pod(self, index: int) -> int:
        (box,) = self.pod["containers"]
        own = {"JOB_COMPLETION_INDEX": str(index)}
        command = [expanded(each, own) for each in (*box["command"], *box["args"])]
        done = subprocess.run(command, cwd=box["workingDir"], env={**self.environment, **own}, check=False)
        return done.returncode if done.returncode >= 0 else 128 - done.returncode

    def _action(self, code: int) -> str:
        for rule in self.job["podFailurePolicy"]["rules"]:
            if "onExitCodes" in rule and code in rule["onExitCodes"]["values"]:
                return str(rule["action"])
        return "Count"
