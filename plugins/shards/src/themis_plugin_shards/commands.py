"""`themis shards`: what the shards of a benchmark are run by."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Any

import click

from themis_core import OnlyHere, SpecError, counted, current_folder
from themis_output import CannotWrite, atomic_output, cell, echo, own_path, quoted, safe, stdout
from themis_plugin_shards.carried import Carried, carried
from themis_plugin_shards.local import Ended, Processes, is_over, run_whole
from themis_plugin_shards.options import mount_of, pair_of, plain_variable, recipe, seconds_of, secret_of
from themis_plugin_shards.planned import Shards, command_of, own_command, planned
from themis_workers import Machine, tail_of

__all__ = ["kubernetes", "local", "slurm"]

LAST_LINES = 12
"""Of what a shard printed that failed."""
PLAN = ("spec", "project", "overrides", "limit", "models", "count")
_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this file instead of standard output.",
)


@click.command()
@recipe
@_OUTPUT
@click.option("--name", help="Name of the job; by default that of the run.")
@click.option("--time", metavar="TIME", help="Time limit of each shard, as Slurm writes it: 90, 12:00:00, 2-00:00:00.")
@click.option("--partition", metavar="NAME", help="Slurm partition.")
@click.option("--account", metavar="NAME", help="Slurm account.")
@click.option("--gpus", metavar="[TYPE:]N", help="GPUs of each shard.")
@click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="Cores of each shard.")
@click.option("--mem", metavar="SIZE", help="Memory of each shard, as Slurm writes it: 16G.")
@click.option("--array-limit", type=click.IntRange(min=1), metavar="K", help="At most K shards at once.")
@click.option(
    "--log-folder",
    type=click.Path(path_type=Path),
    default=Path("logs"),
    show_default=True,
    help="Folder for the logs. It is made now: without it, Slurm would run nothing.",
)
@click.option(
    "--directive", "directives", multiple=True, metavar="NAME[=VALUE]", help="Another option of sbatch. Repeatable."
)
@click.option("--setup", multiple=True, metavar="LINE", help="A shell line to run before the command. Repeatable.")
def slurm(output: Path | None, themis: str | None, log_folder: Path, **options: Any) -> None:
    """Print a Slurm array job that runs the benchmark in the file SPEC, one shard per task.

    The spec is planned first, so a mistake is reported here and not by every task. Submit the job with `sbatch FILE`.
    """
    from themis_plugin_shards.slurm import SlurmJob, script

    shards = _planned(options)
    needs = _needs(shards)
    for name, value in (("cpus", needs["cpus"]), ("gpus", needs["gpus"])):
        options[name] = options[name] or value
    options["mem"] = options["mem"] or (f"{-(-needs['memory_bytes'] // 2**20)}M" if needs["memory_bytes"] else None)
    logs = current_folder() / log_folder
    job = SlurmJob(command_of(themis, own_command()), logs, **{k: v for k, v in options.items() if k not in PLAN})
    text, warnings = script(shards, job)
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"the folder of logs can't be made: {error.strerror}", path=str(logs)) from error
    _write(text, output)
    _tell(shards, warnings, shards.only_here())
    if shards.report.variables:
        names = ", ".join(map(safe, shards.report.variables))
        echo(f"sbatch hands on the variables of the shell that calls it; the spec names {names}", err=True)
    _say_next(f"sbatch {_shown(output)}", shards)


@click.command()
@recipe
@_OUTPUT
@click.option("--image", required=True, help="Image with Themis and the plugins of the spec.")
@click.option("--name", help="Name of the job; by default that of the run.")
@click.option("--namespace", metavar="NAME", help="Namespace of the job.")
@click.option(
    "--parallelism", type=click.IntRange(min=1), metavar="K", help="At most K shards at once; all by default."
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Retries of each shard after an unexpected end.",
)
@click.option("--time", metavar="TIME", help="Time limit of the whole job: 90, 30m, 12h, 7d.")
@click.option("--cpus", metavar="N", help="Cores of each shard: 2, 500m.")
@click.option("--mem", metavar="SIZE", help="Memory of each shard: 8Gi.")
@click.option("--gpus", type=click.IntRange(min=1), metavar="N", help="GPUs of each shard.")
@click.option(
    "--gpu-resource", default="nvidia.com/gpu", show_default=True, metavar="NAME", help="The cluster's name for a GPU."
)
@click.option("--env-from", multiple=True, metavar="SECRET", help="A Secret whose keys become variables. Repeatable.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="VARIABLE=SECRET[/KEY]", help="One key of a Secret. Repeatable."
)
@click.option("--env", multiple=True, metavar="VARIABLE=VALUE", help="A variable that is not secret. Repeatable.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="CLAIM:FOLDER",
    help="A persistent volume claim, and where to mount it. Repeatable.",
)
@click.option("--at", metavar="PATH", help="Path of the spec in the pod; then no ConfigMap is made.")
@click.option(
    "--file",
    "further",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another file for the ConfigMap. Repeatable.",
)
@click.option("--folder", default="/themis", show_default=True, metavar="PATH", help="Where to mount the ConfigMap.")
@click.option("--service-account", metavar="NAME", help="Service account of the pods.")
@click.option("--pull-secret", metavar="SECRET", help="Secret for pulling the image.")
@click.option(
    "--node-selector", "nodes", multiple=True, metavar="LABEL=VALUE", help="Only nodes with this label. Repeatable."
)
def kubernetes(
    output: Path | None,
    themis: str | None,
    time: str | None,
    secrets: Sequence[str],
    env: Sequence[str],
    claims: Sequence[str],
    at: str | None,
    further: Sequence[Path],
    folder: str,
    nodes: Sequence[str],
    **options: Any,
) -> None:
    """Print a Kubernetes Indexed Job that runs the benchmark in the file SPEC, one shard per index.

    The spec is planned first, and goes into a ConfigMap with the files that it names. No secret is written: variables
    come from Secrets of the cluster. Submit the job with `kubectl apply -f FILE`.
    """
    from themis_plugin_shards.kubernetes import KubernetesJob, manifest
    from themis_plugin_shards.quoted_yaml import as_yaml

    shards = _planned(options)
    needs = _needs(shards)
    options["cpus"] = options["cpus"] or (str(needs["cpus"]) if needs["cpus"] else None)
    options["gpus"] = options["gpus"] or needs["gpus"]
    options["mem"] = options["mem"] or (f"{-(-needs['memory_bytes'] // 2**20)}Mi" if needs["memory_bytes"] else None)
    job = KubernetesJob(
        themis=command_of(themis, ["themis"]),
        seconds=seconds_of("--time", time),
        env=dict(plain_variable(each, shards.report.variables) for each in env),
        secrets=dict(map(secret_of, secrets)),
        mounts=list(map(mount_of, claims)),
        node_selector=dict(pair_of("--node-selector", each) for each in nodes),
        **{name: value for name, value in options.items() if name not in PLAN},
    )
    files = _files_in_pod(shards, at, further, folder)
    lost = _out_of_reach(shards, files, [each.folder for each in job.mounts])
    _write(as_yaml(manifest(shards, job, files)), output)
    warnings = list(files.absent) if isinstance(files, Carried) else []
    _tell(shards, [f"{each} has to be in the image, or on a volume" for each in warnings], lost)
    if isinstance(files, Carried):
        echo(f"the ConfigMap holds {counted(len(files.files), 'file')}: {', '.join(map(cell, files.files))}", err=True)
    _tell_variables([name for name in shards.report.variables if name not in job.secrets], job.env_from)
    _say_next(f"kubectl apply -f {_shown(output)}", shards)


@click.command()
@recipe
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    metavar="K",
    help="At most K at once; by default one for each core.",
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Attempts at a shard that ends unexpectedly.",
)
@click.option("--log-folder", type=click.Path(path_type=Path), help="Folder in which to keep the output of each shard.")
def local(themis: str | None, at_once: int | None, tries: int, log_folder: Path | None, **options: Any) -> None:
    """Run the shards of the benchmark in the file SPEC as processes on this machine, then show the result.

    The commands are those of the other recipes, so you can try a spec here before a cluster runs it. Exits as
    `themis run` does; if a shard ended unexpectedly, with the shard's exit code.
    """
    shards = _planned(options)
    command = [*command_of(themis, own_command()), *shards.arguments(shards.spec, shards.project)]
    echo(f"{safe(shards.report.run_id)}: {shards.told}", err=True)
    with _log_folder(log_folder) as logs:
        many = at_once or Machine.here().cpus
        processes = Processes(command, shards.spec.parent, shards.count, logs=logs, at_once=many, tries=tries)
        codes = processes.run(lambda ended: _tell_end(ended, shards.count))
    bad = [code for code in codes.values() if not is_over(code)]
    if bad or len(codes) < shards.count:
        echo("what is stored stays stored; run the same command again to go on", err=True)
        click.get_current_context().exit(bad[0] if bad else 130)
    code = run_whole(command, shards.spec.parent, stdout().fileno())
    click.get_current_context().exit(128 - code if code < 0 else code)


def _planned(options: dict[str, Any]) -> Shards:
    return planned(**{name: options[name] for name in PLAN})


def _needs(shards: Shards) -> dict[str, int]:
    """Whole GPUs, cores and bytes that the engines of the spec say they hold; 0 where they say nothing."""
    return {name: ceil(value) for name, value in shards.report.needs.items()}


def _files_in_pod(shards: Shards, at: str | None, further: Sequence[Path], folder: str) -> Carried | PurePosixPath:
    if at is None:
        mounted = PurePosixPath(folder)
        if not mounted.is_absolute() or ".." in mounted.parts or ":" in folder or mounted == PurePosixPath("/"):
            raise SpecError(f"--folder {folder!r}: write the whole path of a folder in the pod, such as /themis")
        return carried(shards, further, mounted)
    place = PurePosixPath(at)
    if not place.is_absolute():
        raise SpecError(f"--at {at!r}: write the whole path of the spec in the pod")
    if further or shards.project is not None:
        raise SpecError(
            "--at says that the files are in the pod already: leave out --file, put the project into the spec"
        )
    return place


def _out_of_reach(
    shards: Shards, files: Carried | PurePosixPath, mounted: Sequence[PurePosixPath]
) -> Sequence[OnlyHere]:
    """What of the store jobs may not share, though they have a volume. Raises SpecError if a pod would lose it."""
    spec = files if isinstance(files, PurePosixPath) else files.project or files.spec
    found = shards.only_here(spec.parent)
    for each in found:
        kept = each.folder is not None and any(each.folder.is_relative_to(folder) for folder in mounted)
        if each.folder is not None and not kept:
            raise SpecError(f"storage.{each.setting}: {each.advice}; a pod's own files are gone with it")
    return found


def _write(text: str, output: Path | None) -> None:
    if output is None:
        echo(text.rstrip("\n"))
        return
    try:
        with atomic_output(own_path(output)) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    except CannotWrite as error:
        raise SpecError(str(error)) from error


def _tell(shards: Shards, warnings: Sequence[str], lost: Sequence[OnlyHere]) -> None:
    echo(f"{safe(shards.report.run_id)}: {shards.told}", err=True)
    if shards.report.trials < shards.count:
        echo("warning: there are more shards than trials; those without one end at once", err=True)
    for each in warnings:
        echo(f"warning: {safe(each)}", err=True)
    for part in lost:
        echo(f"warning: storage.{safe(part.setting)}: {safe(part.advice)}", err=True)


def _tell_variables(names: Sequence[str], env_from: Sequence[str]) -> None:
    """Say which variables of the spec no `--secret` sets."""
    if names and env_from:
        echo(f"the Secret {' or '.join(map(safe, env_from))} has to have {', '.join(map(safe, names))}", err=True)
    elif names:
        told = f"nothing sets {', '.join(map(safe, names))}, which the spec names: say --secret or --env-from"
        echo(f"warning: {told}", err=True)


def _say_next(submit: str, shards: Shards) -> None:
    again = shlex.join(["themis", *shards.arguments(shards.spec, shards.project)])
    echo(f"next: {submit}", err=True)
    echo(f"the shard that comes last makes the result; if one was lost, its part is done by {safe(again)}", err=True)


def _shown(output: Path | None) -> str:
    return "FILE" if output is None else safe(shlex.quote(str(output)))


@contextmanager
def _log_folder(given: Path | None) -> Iterator[Path]:
    """The folder, made if it is not there; one that is removed afterwards if the user wants none."""
    if given is None:
        folder = Path(tempfile.mkdtemp(prefix="themis-shards-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = current_folder() / given
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"the folder of logs can't be made: {error.strerror}", path=str(folder)) from error
    yield folder


def _tell_end(ended: Ended, count: int) -> None:
    again = "" if ended.again_in_s is None else f"; it is tried again in {ended.again_in_s:g} s"
    echo(f"shard {ended.shard}/{count}: exit {ended.exit_code} after {ended.seconds:,.1f} s{again}", err=True)
    if not is_over(ended.exit_code):
        for line in tail_of(ended.log).splitlines()[-LAST_LINES:]:
            echo(quoted(line), err=True)
