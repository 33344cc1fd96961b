"""The recipes with Themis itself: all shards come to the result of one process, also if one is killed on its way."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from stand_ins import Cluster, run_as

import themis_core as themis
from themis_plugin_interop.canonical import canonical_digest

Shards = Callable[..., Result]
PLUGIN = """
import os, pathlib, signal
from themis_core import Engine, Generation, hookimpl

THEMIS_CONTRACT_VERSION = 1
HERE = pathlib.Path(os.environ["LEDGER"])


class Noting(Engine):
    # Notes each call; where it is told to, its process is killed at the third one, once.
    async def generate(self, request):
        with (HERE / "ledger").open("a") as ledger:
            ledger.write(request.item_id + "\\n")
        kill = HERE / "kill"
        if kill.exists() and len((HERE / "ledger").read_text().splitlines()) >= 3:
            kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return Generation("answered", text="re: " + request.messages[-1]["content"])


@hookimpl
def themis_register_engines(register):
    register("noting", Noting)
"""
SPEC = """
project:
  plugins: {mine: mine.py}
  storage: {backend: sqlite, root_dir: STORE}
  execution_policy: {max_in_flight_work_items: 2}
benchmark:
  benchmark_id: together
  models: [{model_id: m, provider: mine/noting}]
  prompt_variants: [{id: plain, messages: [{role: user, content: "{{ item.q }}"}]}]
  slices:
    - slice_id: all
      dataset: {source: files/jsonl, dataset_id: questions.jsonl, fields: {reference: q}}
      generation: {}
      scores: [{name: match, metrics: [text/contains]}]
"""
TRIALS = 12


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec whose store is outside of its folder, as a volume of a job is."""
    monkeypatch.setenv("LEDGER", str(tmp_path))
    folder = tmp_path / "one spec"
    folder.mkdir()
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "questions.jsonl").write_text("".join(f'{{"id": "{n}", "q": "q{n}"}}\n' for n in range(TRIALS)))
    (folder / "spec.yaml").write_text(SPEC.replace("STORE", str(tmp_path / "volume")))
    return folder / "spec.yaml"


def digest(spec: Path, *overrides: str) -> str:
    backend, folder = themis.find_storage(spec, overrides=overrides)
    with closing(backend.open(folder, mode="read")) as store:
        (run,) = store.runs()
        assert (run.status, run.trials) == ("completed", TRIALS)
        return canonical_digest(store, run.run_id)


def of_one_process(spec: Path, tmp_path: Path) -> str:
    alone = f"project.storage.root_dir={tmp_path / 'alone'}"
    assert themis.run(spec, overrides=[alone]).exit_code == 0
    (tmp_path / "ledger").unlink()
    return digest(spec, alone)


def asked(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "ledger").read_text().splitlines())


def test_the_tasks_of_an_array_job_come_to_the_result_of_one_process(
    shards: Shards, whole: Path, tmp_path: Path
) -> None:
    wanted = of_one_process(whole, tmp_path)
    script = shards("slurm", whole, "-n", 3, "-o", "job.sh")
    assert script.exit_code == 0
    ended = [run_as(["bash", str(Path("job.sh").absolute())], os.environ, SLURM_ARRAY_TASK_ID=task) for task in "213"]
    assert [each.returncode for each in ended] == [0, 0, 0], [each.stderr for each in ended]
    # The last one has the result.
    assert [f": completed; {TRIALS} trials" in each.stdout for each in ended] == [False, False, True]
    assert digest(whole) == wanted
    assert asked(tmp_path) == Counter(map(str, range(TRIALS)))
    again = run_as(["bash", str(Path("job.sh").absolute())], os.environ, SLURM_ARRAY_TASK_ID="2")
    assert again.returncode == 0
    assert sum(asked(tmp_path).values()) == TRIALS


def test_the_pods_of_an_indexed_job_come_to_the_result_of_one_process_though_one_is_killed(
    shards: Shards, whole: Path, tmp_path: Path
) -> None:
    wanted = of_one_process(whole, tmp_path)
    own = shlex.join([sys.executable, "-m", "themis_core"])
    where = ("--claim", f"data:{tmp_path / 'volume'}", "--folder", tmp_path / "mounted")
    made = shards("kubernetes", whole, "-n", 3, "--image", "i", "--themis", own, *where)
    assert made.exit_code == 0, made.stderr
    (tmp_path / "kill").touch()
    cluster = Cluster(list(yaml.safe_load_all(made.stdout)), os.environ)
    assert cluster.run() == "Complete"
    assert sorted(cluster.tries.values()) == [1, 1, 2]
    assert digest(whole) == wanted
    calls = asked(tmp_path)
    assert set(calls) == set(map(str, range(TRIALS)))
    assert calls.total() <= TRIALS + 2  # those in flight when it was killed


def test_processes_here_come_to_the_result_of_one_process_though_one_is_killed(whole: Path, tmp_path: Path) -> None:
    wanted = of_one_process(whole, tmp_path)
    (tmp_path / "kill").touch()
    command = [sys.executable, "-m", "themis_core", "shards", "local", str(whole), "-n", "3", "--at-once", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "exit 137 after" in done.stderr
    assert f"{TRIALS} trials" in done.stdout
    assert digest(whole) == wanted
    calls = asked(tmp_path)
    assert set(calls) == set(map(str, range(TRIALS)))
    assert calls.total() <= TRIALS + 2
