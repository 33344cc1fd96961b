"""The command around runs: help, plugins, schema, errors and exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from themis_core.cli import cli
from themis_plugin_describe.plugins import _show_plugins

HEAVY = ("pydantic", "pydantic_core", "sqlalchemy", "psycopg", "httpx", "rich", "pluggy", "jinja2", "yaml")
Install = Callable[..., Path]


def themis(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="themis")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a plugin as pip would leave it: a module, and metadata with an entry point."""

    def write(namespace: str, code: str, commands: Mapping[str, str] | None = None) -> Path:
        module = f"cli_test_{namespace}_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text("THEMIS_CONTRACT_VERSION = 1\n" + textwrap.dedent(code))
        info = tmp_path / f"themis_plugin_{namespace}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: themis-plugin-{namespace}\nVersion: 2.5\nSummary: Tests the command\n"
        )
        declared = "".join(f"{name} = {module}:{of}\n" for name, of in (commands or {}).items())
        (info / "entry_points.txt").write_text(f"[themis]\n{namespace} = {module}\n[themis.commands]\n{declared}")
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path

    return write


COMMANDS = """
    import click, os, time
    from themis_core import StorageError, hookimpl

    @hookimpl
    def themis_register_commands(cli):
        @cli.command()
        def greet():
            "Say hello."
            click.echo("hello")

        @cli.command()
        def fail():
            raise StorageError("disk is full \\x1b[2J: free some space")

        @cli.command()
        def wait():
            click.echo("ready")
            time.sleep(60)
"""


def loaded_by(*args: str) -> list[str]:
    code = (
        "import json, sys\nfrom themis_core.cli import cli\n"
        f"cli.main({list(args)!r}, prog_name='themis', standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [str(name) for name in json.loads(done.stderr)]


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_no_plugin_and_nothing_heavy(args: list[str]) -> None:
    roots = {name.partition(".")[0] for name in loaded_by(*args)}
    assert {root for root in roots if root in HEAVY or root.startswith("themis_plugin_")} == set()


def test_listing_plugins_imports_none_of_them() -> None:
    roots = {name.partition(".")[0] for name in loaded_by("plugins", "list")}
    assert {root for root in roots if root.startswith("themis_plugin_")} == {"themis_plugin_describe"}


def test_plugins_list_tells_each_from_metadata_even_a_broken_one(install: Install) -> None:
    install("clibroken", "raise RuntimeError('never imported')")
    done = themis("plugins", "list", "--format", "json")
    listed = {each["namespace"]: each for each in json.loads(done.stdout)["plugins"]}
    assert listed["clibroken"] == {
        "namespace": "clibroken",
        "distribution": "themis-plugin-clibroken",
        "version": "2.5",
        "summary": "Tests the command",
        "origin": None,
    }
    assert "clibroken" in themis("plugins", "list").stdout


@pytest.mark.parametrize(
    ("distribution", "told"), [("themis-plugin-narrow", True), ("another-name", False)], ids=["usual", "own"]
)
def test_plugins_list_says_usual_distributions_once_where_there_is_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, distribution: str, told: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    origin = {"url": "file:///src/narrow", "dir_info": {"editable": True}}
    about = {"version": "1.0", "summary": "Extractors that find what is narrow", "origin": origin}
    _show_plugins([{"namespace": "narrow", "distribution": distribution, **about}])
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    if told:
        assert lines == [
            "distributions: themis-plugin-NAMESPACE",
            "namespace  version  summary                         origin",
            "─────────  ───────  ──────────────────────────────  ────────",
            "narrow     1.0      Extractors that find what is    editable",
            "                    narrow",
        ]
    else:
        assert lines[0].split() == ["namespace", "distribution", "version", "summary", "origin"]


def test_plugins_show_prints_components_with_their_config(install: Install) -> None:
    install(
        "clishown",
        """
        from pydantic import Field
        from themis_core import Extraction, Extractor, hookimpl

        class Upper(Extractor):
            '''The text in upper case.'''
            version = 3
            limit: int = Field(9, description="Longest text.")
            mode: str = Field(description="How.")
            def extract(self, text):
                return Extraction(text.upper())

        @hookimpl
        def themis_register_extractors(register):
            register("upper", Upper)
        """,
    )
    shown = json.loads(themis("plugins", "show", "clishown", "--format", "json").stdout)
    assert shown["components"] == {
        "extractor": [
            {
                "name": "clishown/upper",
                "version": 3,
                "description": "The text in upper case.",
                "config": [
                    {"name": "limit", "type": "int", "required": False, "description": "Longest text.", "default": 9},
                    {"name": "mode", "type": "str", "required": True, "description": "How."},
                ],
            }
        ]
    }
    assert themis("plugins", "show", "clishown").stdout == (
        "clishown: themis-plugin-clishown 2.5\norigin: index\n\nextractors\n"
        "  clishown/upper (version 3): The text in upper case.\n"
        "      limit: int = 9\n          Longest text.\n      mode: str (required)\n          How.\n"
    )


def test_plugins_show_gives_the_traceback_of_a_broken_plugin(install: Install) -> None:
    install("clibroken2", "def helper():\n    raise RuntimeError('no such thing')\nhelper()\n")
    done = themis("plugins", "show", "clibroken2")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: plugin 'clibroken2' (themis-plugin-clibroken2 2.5) failed at import")
    assert "in helper" in done.stderr
    assert "RuntimeError: no such thing" in done.stderr


def test_a_plugins_commands_are_under_its_namespace(install: Install) -> None:
    install("clicommands", COMMANDS)
    assert themis("clicommands", "greet").stdout == "hello\n"
    assert "Say hello." in themis("clicommands", "--help").stdout


FIRST_LEVEL = """
    import click
    import sys

    @click.command()
    def greet():
        "Say hello."
        click.echo("hello")

    @click.command()
    def leave():
        sys.exit(1)

    class Odd:
        pass
"""


def test_a_plugin_may_bring_commands_of_the_first_level(install: Install) -> None:
    install("clifirst", FIRST_LEVEL, {"greet": "greet", "run": "greet"})
    assert themis("greet").stdout == "hello\n"
    assert "Say hello." in themis("greet", "--help").stdout
    assert "Run the benchmark" in themis("run", "--help").stdout, "no plugin takes the place of a built-in command"
    assert "Did you mean 'greet'?" in themis("gret").stderr


def test_help_lists_the_commands_of_plugins_from_metadata_even_of_a_broken_one(install: Install) -> None:
    install("cliuntouched", "raise RuntimeError('never imported')", {"greet": "greet", "run": "greet"})
    told = themis("--help").stdout
    listed = [line.split() for line in told.partition("Commands of plugins:\n")[2].splitlines()]
    assert [each for each in listed if "cliuntouched" in each[1]] == [["greet", "themis-plugin-cliuntouched", "2.5"]]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("absent", "command 'absent' (themis-plugin-clibad 2.5) failed at import: AttributeError: module 'cli_test_"),
        ("odd", "command 'odd' (themis-plugin-clibad 2.5): its entry point, cli_test_"),
        ("leave", "leave"),
    ],
)
def test_a_broken_command_of_a_plugin_is_an_error_of_the_plugin(install: Install, command: str, message: str) -> None:
    install("clibad", FIRST_LEVEL, {"absent": "absent", "odd": "Odd", "leave": "leave"})
    done = themis(command)
    assert (done.exit_code, done.stdout) == (3, "")
    assert message in done.stderr


def test_a_command_that_two_plugins_declare_names_both(install: Install) -> None:
    install("clitwo", FIRST_LEVEL, {"greet": "greet"})
    install("clitwin", FIRST_LEVEL, {"greet": "greet"})
    done = themis("greet")
    assert done.exit_code == 3
    assert done.stderr == (
        "Error: command 'greet': claimed by themis-plugin-clitwin 2.5 and themis-plugin-clitwo 2.5. Uninstall one: "
        "pip uninstall themis-plugin-clitwin or pip uninstall themis-plugin-clitwo\n"
    )


def test_an_expected_error_is_one_safe_line_and_its_exit(install: Install) -> None:
    install("clifailing", COMMANDS)
    done = themis("clifailing", "fail")
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr == "Error: disk is full \\x1b[2J: free some space\n"


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["rnu"], 2, "no such command 'rnu', and no plugin of that name is installed. Did you mean 'run'?"),
        (["extrct"], 2, "Did you mean 'extract'?"),
        (["text"], 2, "plugin 'text' adds no commands; `themis plugins show text` says what it offers"),
        (["plugins", "show", "txt"], 2, "plugin 'txt' is not installed."),
        (["run"], 2, "'SPEC'"),
        (["run", "x.yaml", "--limit", "0"], 2, "'--limit'"),
        (["schema", "slices"], 2, "'slices'"),
    ],
)
def test_what_was_typed_wrong_is_said_on_stderr(args: list[str], exit_code: int, message: str) -> None:
    done = themis(*args)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("part", "required", "properties"),
    [
        ("benchmark", ["benchmark_id", "slices"], {"benchmark_id", "models", "slices", "num_samples", "thresholds"}),
        ("project", None, {"project_name", "storage", "execution_policy"}),
        ("file", None, {"project", "benchmark"}),
    ],
)
def test_schema_prints_a_json_schema_of_each_part(part: str, required: list[str] | None, properties: set[str]) -> None:
    printed = json.loads(themis("schema", part).stdout)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert printed.get("required") == required
    assert properties <= printed["properties"].keys()
    assert "$defs" in printed


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_with_its_exit_and_no_traceback(
    install: Install, sent: signal.Signals, exit_code: int
) -> None:
    folder = install("cliwaiting", COMMANDS)
    # Where the tests run in the background, SIGINT is ignored, and what they start would inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); from themis_core.cli import main; main()"
    command = [sys.executable, "-c", code, "cliwaiting", "wait"]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (exit_code, "")
