"""Options of `themis run` and `themis show run` that write the result to a file, in forms that plugins bring.

What such an option is called stands in the plugin's metadata. The plugin is imported when the option is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from themis_output import atomic_output, echo, own_path, safe

if TYPE_CHECKING:
    from themis_core.results import RunResult

__all__ = ["CommandWithOutputs", "Output", "asked_outputs"]

_OPTIONS = "themis.output_options"
_ASKED = "themis.outputs"
_NAME = re.compile("[a-z][a-z0-9-]*")


class CommandWithOutputs(click.Command):
    """A command that has an option `--NAME FILE` for each output that an installed plugin declares."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *own, last = super().get_params(ctx)  # `--help` is the last
        if _OPTIONS not in ctx.meta:
            ctx.meta[_OPTIONS] = _options({name for each in (*own, last) for name in each.opts})
        return [*own, *ctx.meta[_OPTIONS], last]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look for outputs only if one may be meant: it takes as long as a tenth of a short run."""
        own = {name for each in super().get_params(ctx) for name in each.opts}
        helps = set(self.get_help_option_names(ctx))
        given = {arg.partition("=")[0] for arg in args if arg.startswith("-")}
        if not given & helps and not any(name.startswith("--") for name in given - own):
            ctx.meta[_OPTIONS] = []
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a command was asked to write, and what makes its text of a result."""

    name: str
    path: Path
    made_by: Callable[[RunResult], str]

    def write(self, result: RunResult) -> None:
        """Write the file, whole or not at all. Raises CannotWrite, and PluginError if the plugin fails."""
        from themis_core.plugins import calling

        with calling(f"output {self.name!r}", "its text"):
            text = self.made_by(result)
            data = text.encode("utf-8", "backslashreplace")
        if str(self.path) == "-":
            echo(text.removesuffix("\n"))
            return
        with atomic_output(own_path(self.path)) as part:
            part.write_bytes(data)


def asked_outputs(as_format: str) -> list[Output]:
    """The outputs that the command of the current context was given, their plugins imported.

    Raises PluginError if one can't be, and UsageError if a file can't be written where it was asked for.
    """
    from themis_core.plugins import load_output

    asked: dict[str, Path] = click.get_current_context().meta.get(_ASKED, {})
    for name, path in asked.items():
        if str(path) == "-":
            if as_format == "json":
                raise click.UsageError(f"--{name} -: standard output has the JSON already; name a file")
        elif not path.absolute().parent.is_dir():
            raise click.UsageError(f"--{name} {safe(str(path))}: there is no folder {safe(str(path.parent))}")
    return [Output(name, path, load_output(name)) for name, path in asked.items()]


def _options(taken: set[str]) -> list[click.Parameter]:
    from themis_core.discovery import outputs

    brought = ((safe(name), found[0]) for name, found in outputs().items())
    return [
        click.Option(
            [f"--{name}"],
            type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
            metavar="FILE",
            help=f"Also write the result as `{name}` to FILE; `-` is standard output. From {safe(by.label)}.",
            expose_value=False,
            callback=_keep,
        )
        for name, by in brought
        if f"--{name}" not in taken and _NAME.fullmatch(name)
    ]


def _keep(ctx: click.Context, option: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.meta.setdefault(_ASKED, {})[option.opts[0].removeprefix("--")] = value
