"""The command `themis`: what it is asked, what it prints, how it exits.

It decides nothing about runs: every command is a call of `session`, `results` or `plugins` and a way to show the
answer. Those rooms, pydantic and rich are imported inside the commands, so that `themis --help` needs none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

import themis_core
from themis_core.cli.outputs import CommandWithOutputs, asked_outputs
from themis_core.cli.running import EXIT_CODE, plan, run, run_and_show, run_options
from themis_core.cli.unexpected import CANNOT_PRINT, UNEXPECTED, tell_unexpected
from themis_core.cli.working import work
from themis_core.errors import SpecError, ThemisError
from themis_interrupts import INTERRUPTED, exit_code, leave, leave_at_once, listen_to_signals
from themis_output import CannotPrint, CannotWrite, lasting_stderr, leave_stdout, own_stdout, safe

__all__ = ["CommandWithOutputs", "asked_outputs", "main", "run_and_show", "run_options"]


class Themis(click.Group):
    """The built-in commands, and those of plugins; a plugin is imported only when its command or namespace is typed."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _plugin_command(cmd_name) or _plugin_commands(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        from themis_core.discovery import commands

        brought = [(safe(name), safe(found[0].label)) for name, found in commands().items() if found]
        if others := [each for each in brought if each[0] not in self.commands]:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(others)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)  # not click's answer, see below

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            ctx.fail(_no_such_command(name, self.list_commands(ctx)))
        return name, command, args[1:]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ThemisError as error:
            click.echo(f"Error: {safe(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except CannotWrite as error:
            click.echo(f"Error: {safe(str(error))}. All that was done is stored.", err=True)
            ctx.exit(ctx.meta.get(EXIT_CODE, 0) or CANNOT_PRINT)
        except CannotPrint as error:
            ctx.exit(_told_unprinted(error, ctx.meta.get(EXIT_CODE, 0)))
        except (KeyboardInterrupt, click.Abort):
            # click's own answer is "Aborted!" and exit 1, which here means a threshold that was not met.
            ctx.exit(INTERRUPTED)
        except click.ClickException as error:
            error.show()
            ctx.exit(max(error.exit_code, SpecError.exit_code))  # click has 1 for what is no mistake of usage
        except (click.exceptions.Exit, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, no exit of it may mean something else
            click.echo(f"Error: {safe(tell_unexpected(error))}", err=True)
            ctx.exit(UNEXPECTED)


def _told_unprinted(error: CannotPrint, code: int) -> int:
    """The exit code of a command whose output was not taken: its own, if it has one that says more."""
    if error.by_reader:  # such as `themis show run … | head`
        return code
    click.echo(f"Error: standard output can't be written: {error}. All that was done is stored.", err=True)
    return code or CANNOT_PRINT


def _show_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"themis, version {themis_core.__version__}")
        ctx.exit()


@click.group(cls=Themis, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Reproducible evaluations of language models, composed from plugins.

    Commands of a plugin are under its namespace: `themis NAMESPACE --help`; `themis plugins list` names the plugins.
    """


for _command in (run, plan, work):
    cli.add_command(_command)


@contextmanager
def _own_exit() -> Iterator[None]:
    from themis_core.plugins import own_exit

    with own_exit():
        yield


def _all_of(command: click.Command) -> Iterator[click.Command]:
    """The command; of a group, those that are in it at any depth."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _all_of(each)
    else:
        yield command


for _command in _all_of(cli):
    if _command.callback is not None:
        _command.callback = own_stdout()(_own_exit()(_command.callback))


def _plugin_command(name: str) -> click.Command | None:
    """The command of the first level that a plugin declares under this name, imported."""
    from themis_core.plugins import load_command

    command: click.Command | None = load_command(name)
    for each in () if command is None else _all_of(command):
        if each.callback is not None:
            each.callback = _own_exit()(each.callback)
    return command


def _plugin_commands(namespace: str) -> click.Group | None:
    from themis_core.plugins import Plugins

    found = Plugins()
    if namespace not in found.namespaces:
        return None
    group = click.Group(namespace, help=f"Commands of the plugin {namespace!r}.")
    if not found.add_commands(namespace, group):
        raise click.UsageError(
            f"plugin {namespace!r} adds no commands; `themis plugins show {namespace}` says what it offers"
        )
    return group


def _no_such_command(name: str, commands: list[str]) -> str:
    from themis_core.discovery import BROUGHT_BY, how_to_install, installed
    from themis_core.discovery import commands as brought
    from themis_wording import did_you_mean

    hint = did_you_mean(name, [*commands, *brought(), *installed()])
    how = how_to_install(BROUGHT_BY.get(name, name))
    return f"no such command {safe(name)!r}, and no plugin of that name is installed.{hint}{how}"


def main() -> None:
    """Run the command and exit."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:  # it was closed before the command began
            stream = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
            setattr(sys, name, stream)
        with suppress(AttributeError):  # replaced by something that is no text file
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = stderr = lasting_stderr(sys.stderr)
    # pydantic would look for plugins of its own in all that is installed, and a leftover there would end the command.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    listen_to_signals(at_once="ended at once; what was saved stays saved")
    try:
        cli.main(prog_name="themis")
    except SystemExit as end:
        code = end.code
    except OSError as error:  # of the help, which click prints
        reader_left = isinstance(error, BrokenPipeError)
        code = _told_unprinted(CannotPrint(error.strerror or str(error), by_reader=reader_left), 0)
    except Exception as error:  # noqa: BLE001 - of telling an error, such as by what a component put in place of stderr
        click.echo(f"Error: {safe(tell_unexpected(error))}", file=stderr)
        code = UNEXPECTED
    sys.stderr = stderr
    leave_at_once()  # all is said and done
    _flush_and_exit(exit_code(code))


def _flush_and_exit(code: Any) -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            code = code or CANNOT_PRINT
        # The interpreter would complain while it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    leave_stdout()
    leave(code, threads_left="threads that a component left behind did not end")
