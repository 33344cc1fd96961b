"""Standard output belongs to the command alone, whatever prints beside it and however."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

NOISY = """
import atexit, ctypes, logging, os, subprocess, sys, threading
from themis_core import DatasetLoader, Engine, Extraction, Extractor, Generation, Metric, Row, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


def say():
    HOW


class Loader(DatasetLoader):
    def check(self, base_dir):
        say()

    def rows(self, dataset, query, base_dir):
        say()
        yield Row({"id": "a", "reference": "1"}, "row 1")

    def fingerprint(self, dataset, base_dir):
        say()
        return {}


class Echo(Engine):
    async def start(self):
        say()

    async def stop(self):
        say()

    async def generate(self, request):
        say()
        return Generation("answered", text="1")


class Found(Extractor):
    def extract(self, text):
        say()
        return Extraction(text)


class Same(Metric):
    aggregates_mean = False

    def score(self, item, generation, value):
        say()
        return Score(float(value == item.reference))

    def aggregate(self, scores):
        say()
        return 1.0


@hookimpl
def themis_register_dataset_loaders(register):
    say()
    register("loader", Loader)


@hookimpl
def themis_register_engines(register):
    register("engine", Echo)


@hookimpl
def themis_register_extractors(register):
    register("extractor", Found)


@hookimpl
def themis_register_metrics(register):
    register("metric", Same)


@hookimpl
def themis_run_started(event):
    say()


@hookimpl
def themis_trial_finished(event):
    say()


@hookimpl
def themis_run_finished(event, summary):
    say()


@hookimpl
def themis_register_commands(cli):
    @cli.command()
    def greet():
        say()


say()
"""

WAYS = {
    "print": 'print("NOISE")',
    "the stream that Python began with": 'sys.__stdout__.write("NOISE\\n")',
    "a stream kept from before": 'getattr(sys, "_kept", sys.stdout).write("NOISE\\n")',
    "the descriptor": 'os.write(1, b"NOISE\\n")',
    "C's printf": 'ctypes.CDLL(None).printf(b"NOISE\\n")',
    "another process": 'subprocess.run(["echo", "NOISE"], check=True)',
    "a thread": 'thread = threading.Thread(target=print, args=("NOISE",)); thread.start(); thread.join()',
    "the end of the interpreter": 'atexit.register(print, "NOISE")',
    "logging to sys.stdout": 'logging.basicConfig(stream=sys.stdout); logging.getLogger("n").warning("NOISE")',
}


def write(folder: Path, how: str) -> Path:
    (folder / "noisy.py").write_text(NOISY.replace("HOW", how))
    benchmark: dict[str, Any] = {
        "benchmark_id": "noise",
        "models": [{"model_id": "m", "provider": "noisy/engine"}],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
        "slices": [
            {
                "slice_id": "all",
                "dataset": {"source": "noisy/loader", "dataset_id": "x", "fields": {"reference": "reference"}},
                "generation": {},
                "parses": [{"name": "found", "extractors": ["noisy/extractor"]}],
                "scores": [{"name": "same", "parse": "found", "metrics": ["noisy/metric"]}],
            }
        ],
    }
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump({"project": {"plugins": {"noisy": "./noisy.py"}}, "benchmark": benchmark}))
    return spec


def themis(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from themis_core.cli import main; main()", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("how", WAYS)
def test_what_components_print_goes_to_standard_error(tmp_path: Path, how: str) -> None:
    spec = write(tmp_path, WAYS[how])
    for command in ("plan", "run"):
        done = themis(tmp_path, command, str(spec), "--format", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["run_id"], "it is JSON, all of it"
        assert "NOISE" in done.stderr


def test_standard_output_by_its_name_is_the_command_s_as_well(tmp_path: Path) -> None:
    spec = write(tmp_path, WAYS["print"])
    assert themis(tmp_path, "run", str(spec)).returncode == 0
    done = themis(tmp_path, "export", "--spec", str(spec), "--output", "/dev/stdout", "--to", "jsonl")
    assert (done.returncode, [json.loads(line)["item_id"] for line in done.stdout.splitlines()]) == (0, ["a"])


def test_commands_of_plugins_print_where_they_like(tmp_path: Path) -> None:
    name = "noisy_commands"
    (tmp_path / f"{name}.py").write_text(NOISY.replace("HOW", 'print("NOISE")'))
    info = tmp_path / "themis_plugin_noisy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: themis-plugin-noisy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[themis]\nnoisy = {name}\n")
    done = themis(tmp_path, "noisy", "greet")  # `python -c` finds what is in its folder
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "NOISE")


def test_without_a_stream_of_its_own_the_command_s_output_would_be_mixed(tmp_path: Path) -> None:
    spec = write(tmp_path, WAYS["the descriptor"])
    unguarded = "import sys, json, themis_core; print(json.dumps(themis_core.run(sys.argv[1]).to_dict()))"
    done = subprocess.run([sys.executable, "-c", unguarded, str(spec)], capture_output=True, text=True, timeout=60)
    assert "NOISE" in done.stdout
