"""Runs in threads that a program starts and that end: what an engine imports there must outlast them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from themis_core.testing.server import ScriptedServer

# In a process of its own: what is wrong here ends the process.
PROGRAM = """
import sys, threading
from pathlib import Path
from themis_core import run

def work(folder):
    done.append(run(Path(folder) / "spec.yaml").status)

done = []
for folders in (sys.argv[1:5], sys.argv[5:9], sys.argv[9:13]):
    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
print(sorted(done))
"""


def spec_in(folder: Path, server: ScriptedServer) -> str:
    folder.mkdir()
    rows = ({"q": f"say {number}", "a": f"say {number}"} for number in range(3))
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    extras = {"base_url": server.base_url.replace("127.0.0.1", "localhost"), "api_key_env": None}
    spec = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "openai/chat", "extras": extras}],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "a"}},
                "generation": {},
                "scores": [{"name": "acc", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return str(folder)


def test_runs_in_threads_that_end_one_after_another(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        folders = [spec_in(tmp_path / str(number), server) for number in range(12)]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *folders], capture_output=True, text=True, timeout=120, env=dict(os.environ)
        )
    assert (done.returncode, done.stdout) == (0, f"{['completed'] * 12}\n"), done.stderr[-2_000:]
