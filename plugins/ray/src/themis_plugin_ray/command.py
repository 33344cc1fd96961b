"""`themis ray run`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from themis_core import CommandWithOutputs, run_and_show, run_options
from themis_plugin_ray.resources import Wanted

__all__ = ["bytes_of", "run"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def bytes_of(text: str) -> int:
    """The bytes that `24GB`, `24g`, `512MiB` or `1000` say. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt]i?)?b?)", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no size: write 24GB, or 512MiB")
    return int(float(found[1]) * _UNITS[found[2] or ""])


class _Size(click.ParamType):  # type: ignore[type-arg]
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else bytes_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(cls=CommandWithOutputs)
@run_options
@click.option(
    "--workers", type=click.IntRange(min=1), required=True, metavar="N", help="How many actors share the run."
)
@click.option("--address", default="auto", show_default=True, help="Address of the cluster, as `ray.init` takes it.")
@click.option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0),
    metavar="N",
    help="GPUs of each worker; by default what its engines need.",
)
@click.option(
    "--cpus-per-worker",
    type=click.FloatRange(min=0),
    metavar="N",
    help="Cores of each worker; by default what its engines need, and at least 1.",
)
@click.option(
    "--memory-per-worker",
    type=_Size(),
    metavar="SIZE",
    help="Memory of each worker, such as 24GB; by default what its engines need.",
)
@click.option(
    "--working-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Let Ray copy this folder, with the spec in it, to the workers; else they read the spec where it is.",
)
@click.option(
    "--pass-env", multiple=True, metavar="NAME", help="Pass this variable's value to the workers. Repeatable."
)
@click.option("--allow-differing-versions", is_flag=True, help="Workers may have other versions than this machine.")
@click.option(
    "--wait-for-resources",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a place for the first worker before the run ends.",
)
def run(
    address: str,
    gpus_per_worker: float | None,
    cpus_per_worker: float | None,
    memory_per_worker: int | None,
    working_dir: Path | None,
    pass_env: tuple[str, ...],
    wait_for_resources: float,
    **options: Any,
) -> None:
    """Run the benchmark in the file SPEC with workers on a Ray cluster.

    The store must be in Postgres, where all nodes can reach it. Exits as `themis run` does.
    """
    from themis_plugin_ray.launcher import RayLauncher

    launcher = RayLauncher(
        address,
        wanted=Wanted(gpus_per_worker, cpus_per_worker, memory_per_worker),
        working_dir=working_dir,
        pass_env=pass_env,
        wait_s=wait_for_resources,
    )
    run_and_show(launcher=launcher, **options)
