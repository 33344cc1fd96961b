"""What engines hold is checked, added up for a worker, and shown by the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core as themis
from themis_core import Needs
from themis_core.cli import cli

ENGINE = """
from themis_core import Engine, Generation, Needs, hookimpl


class Holds(Engine):
    gpus: float = 0
    cpus: float = 0
    memory_bytes: int = 0

    @property
    def at_once(self):
        return 16 if self.gpus else None

    @property
    def needs(self):
        return Needs(gpus=self.gpus, cpus=self.cpus, memory_bytes=self.memory_bytes)

    async def generate(self, request):
        return Generation("answered", "x")


class Odd(Engine):
    kind: str

    @property
    def needs(self):
        kinds = {"raises": lambda: 1 / 0, "exits": exit, "a dict": lambda: {"gpus": 1}, "none": lambda: None}
        return kinds[self.kind]()

    async def generate(self, request):
        return Generation("answered", "x")


@hookimpl
def themis_register_engines(register):
    register("holds", Holds)
    register("odd", Odd)
"""


def spec(folder: Path, *models: dict[str, Any], judge: dict[str, Any] | None = None) -> Path:
    (folder / "engine.py").write_text(ENGINE)
    benchmark = {
        "benchmark_id": "held",
        "models": [{"model_id": f"m{number}", **each} for number, each in enumerate(models)],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/inline",
                    "fields": {"id": "q", "reference": "q"},
                    "extras": {"rows": [{"q": "a"}]},
                },
                "generation": {},
                "scores": [{"name": "e", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    file = folder / "spec.json"
    file.write_text(json.dumps({"project": {"plugins": {"mine": "engine.py"}}, "benchmark": benchmark}))
    return file


def holds(**config: Any) -> dict[str, Any]:
    return {"provider": "mine/holds", "extras": config}


def test_a_worker_needs_what_its_engines_hold_together_and_each_is_started_once(tmp_path: Path) -> None:
    file = spec(tmp_path, holds(gpus=1, memory_bytes=8_000_000_000), holds(gpus=1, memory_bytes=8_000_000_000),
                holds(gpus=0.5, cpus=2.5), holds())  # fmt: skip
    report = themis.plan(file)
    assert report.needs == {"gpus": 2, "cpus": 2.5, "memory_bytes": 8_000_000_000}
    assert report.engines == [
        {"provider": "mine/holds", "models": ["m0", "m1"], "gpus": 1, "cpus": 0, "memory_bytes": 8_000_000_000,
         "at_once": 16},
        {"provider": "mine/holds", "models": ["m2"], "gpus": 0.5, "cpus": 2.5, "memory_bytes": 0, "at_once": 16},
    ]  # fmt: skip


def test_the_plan_shows_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plan", str(spec(tmp_path, holds(gpus=0.5, memory_bytes=24_000_000_000)))])
    assert done.exit_code == 0, done.output
    shown = done.output.partition("What engines occupy")[2].split("\n")[1:3]
    assert shown[0].split() == ["models", "provider", "gpus", "cores", "memory", "calls"]
    assert shown[1].split() == ["m0", "mine/holds", "0.5", "–", "24", "GB", "16"]
    nothing = CliRunner().invoke(cli, ["plan", str(spec(tmp_path, holds()))])
    assert "What engines occupy" not in nothing.output


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("raises", "ZeroDivisionError"),
        ("exits", "SystemExit"),
        ("a dict", r"needs is \{'gpus': 1\}, not themis_core.Needs"),
        ("none", "needs is None, not themis_core.Needs"),
    ],
)
def test_what_a_property_does_wrong_is_the_engines_error(tmp_path: Path, kind: str, told: str) -> None:
    with pytest.raises(themis.PluginError, match=f"mine/odd.*needs.*{told}"):
        themis.plan(spec(tmp_path, {"provider": "mine/odd", "extras": {"kind": kind}}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"gpus": -1}, "gpus is -1, not a number from 0 on"),
        ({"gpus": 1.5}, "gpus is 1.5: more than one must be a whole number"),
        ({"cpus": float("nan")}, "cpus is nan"),
        ({"cpus": float("inf")}, "cpus is inf"),
        ({"cpus": True}, "cpus is True, not a number"),
        ({"memory_bytes": "8 GB"}, "memory_bytes is '8 GB', not a number"),
        ({"memory_bytes": 0.5}, "memory_bytes is 0.5, not a whole number of bytes"),
    ],
)
def test_nonsense_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        Needs(**given)


def test_needs_add_up_as_a_machine_counts_them() -> None:
    assert not Needs()
    assert Needs(0.25, 1) + Needs(0.5, 1.5, 10) == Needs(0.75, 2.5, 10)
    assert Needs(0.75) + Needs(0.5) == Needs(2)  # 1.25 GPUs are two of them
    assert Needs(0.1) + Needs(0.2) == Needs(0.3)
