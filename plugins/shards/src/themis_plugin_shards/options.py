"""The options that the commands share, and how texts of options become values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any

import click

from themis_core import SpecError, looks_like_a_key, own_exit
from themis_output import own_stdout
from themis_plugin_shards.kubernetes import Mount

__all__ = ["mount_of", "pair_of", "plain_variable", "recipe", "seconds_of", "secret_of"]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_OPTIONS = (
    click.argument("spec", type=click.Path(path_type=Path)),
    click.option("-n", "--shards", "count", type=click.IntRange(min=2, max=100_000), required=True, metavar="N"),
    click.option("--project", type=click.Path(path_type=Path), metavar="FILE", help="As for `run`."),
    click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="As for `run`. Repeatable."),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="As for `run`."),
    click.option("--model", "models", multiple=True, metavar="ID", help="As for `run`. Repeatable."),
    click.option("--themis", metavar="COMMAND", help="The command `themis`, as the jobs should call it."),
)


def recipe(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what all recipes take: the spec, how many shards, and what changes a run."""
    whole = own_stdout()(own_exit()(command))
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), whole)


def pair_of(option: str, given: str, sign: str = "=") -> tuple[str, str]:
    """Both sides of the first sign. Raises SpecError if one is empty."""
    name, _, value = given.partition(sign)
    if not name or not value:
        raise SpecError(f"{option} {given!r}: write NAME{sign}VALUE")
    return name, value


def _variable(option: str, given: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", given):
        raise SpecError(f"{option}: {given!r} can't be the name of an environment variable")
    return given


def plain_variable(given: str, of_keys: Sequence[str]) -> tuple[str, str]:
    """Name and value of `--env`, which must be no secret: a manifest is read by many."""
    name, value = pair_of("--env", given)
    if name in of_keys or looks_like_a_key(value) or re.search(r"://[^/\s@:]*:[^/\s@]+@", value):
        raise SpecError(
            f"--env {name}=… would write a secret into the manifest: keep it in a Secret of the cluster, and say "
            f"--secret {name}=NAME"
        )
    return _variable("--env", name), value


def secret_of(given: str) -> tuple[str, tuple[str, str]]:
    """`VARIABLE=NAME` or `VARIABLE=NAME/KEY`; the key is called as the variable if it is not named."""
    variable, place = pair_of("--secret", given)
    name, _, key = place.partition("/")
    if looks_like_a_key(place) or "://" in place:
        raise SpecError(
            f"--secret {variable}=… is to name a Secret of the cluster, not to hold it: {variable}=NAME/KEY"
        )
    return _variable("--secret", variable), (name, key or variable)


def mount_of(given: str) -> Mount:
    """`CLAIM:FOLDER`."""
    claim, folder = pair_of("--claim", given, ":")
    path = PurePosixPath(folder)
    if not path.is_absolute() or ".." in path.parts or ":" in folder:
        raise SpecError(
            f"--claim {given!r}: write CLAIM:FOLDER, with the folder's whole path in the pod, without a colon"
        )
    return Mount(claim, path)


def seconds_of(option: str, given: str | None) -> int | None:
    """Whole seconds of `90`, `30m`, `12h` or `7d`."""
    if given is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,8})([smhd]?)", given)
    if match is None:
        raise SpecError(f"{option} {given!r} is no time: write 30m, 12h or 7d")
    return int(match[1]) * _UNITS[match[2] or "s"]
