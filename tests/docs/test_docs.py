"""The documentation is complete, and its blocks are true."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from pydantic import TypeAdapter

import themis_core
from themis_core import (
    BenchmarkSpec,
    ConclusionSpec,
    DatasetSpec,
    ExtractorSpec,
    Generation,
    GenerationRecorded,
    Item,
    Metric,
    MetricSpec,
    ModelSpec,
    ProjectSpec,
    Request,
    Score,
    SliceSpec,
    Spec,
    StorageConfig,
    StoreMissing,
    errors,
    hookspecs,
    specs,
)
from themis_core.cli import cli
from themis_core.components import COMPONENT_KINDS
from themis_core.plugins import Plugins
from themis_core.testing.server import ScriptedServer
from themis_sampling import allot, rank

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
INVENTED = {"mine", "my_judges"}  # namespaces of plugins that only the pages know


def extension() -> ModuleType:
    found = importlib.util.spec_from_file_location("themis_reference", DOCS / "_ext" / "themis_reference.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    pages: dict[str, str] = extension().pages()
    return pages


def of_group(reference: dict[str, str], group: str) -> set[str]:
    names = {Path(name).stem for name in reference if name.startswith(f"{group}/")}
    return names - {"index"}


def blocks(language: str) -> list[Any]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(match[1], id=f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}")
        for page in PAGES
        for text in [page.read_text("utf-8")]
        for match in pattern.finditer(text)
    ]


def test_every_spec_has_a_page_that_describes_every_field(reference: dict[str, str]) -> None:
    public = [getattr(specs, name) for name in specs.__all__]
    classes = [each for each in public if isinstance(each, type) and issubclass(each, Spec) and each is not Spec]
    assert of_group(reference, "specs") == {cls.__name__ for cls in classes}
    for cls in classes:
        rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", reference[f"specs/{cls.__name__}.md"], re.MULTILINE)
        described = {name: re.sub(r"\\\|", "|", text) for name, text in rows}
        assert described == {
            field.alias or name: " ".join((field.description or "").split()) for name, field in cls.model_fields.items()
        }


def test_every_field_of_a_spec_has_a_description() -> None:
    bare = [
        f"{name}.{field}"
        for name, cls in extension().spec_classes().items()
        for field, info in cls.model_fields.items()
        if not info.description
    ]
    assert bare == []


def test_every_hook_has_a_page_with_its_docstring(reference: dict[str, str]) -> None:
    hooks = {name: function for name, function in vars(hookspecs).items() if hasattr(function, "themis_spec")}
    assert of_group(reference, "hooks") == set(hooks)
    first_lines = {name: function.__doc__.split("\n")[0] for name, function in hooks.items()}
    assert [name for name, line in first_lines.items() if line not in reference[f"hooks/{name}.md"]] == []


def test_every_component_kind_has_a_page_with_its_abstract_methods(reference: dict[str, str]) -> None:
    assert of_group(reference, "components") == set(COMPONENT_KINDS)
    missing = [
        f"{kind}.{method}"
        for kind, cls in COMPONENT_KINDS.items()
        for method in cls.__abstractmethods__
        if f"**`{method}`** (must be implemented)" not in reference[f"components/{kind}.md"]
    ]
    assert missing == []


def test_every_error_has_a_page_with_its_exit_code(reference: dict[str, str]) -> None:
    assert of_group(reference, "errors") == set(errors.__all__)
    codes = {
        name: int(match[1])
        for name in errors.__all__
        if (match := re.search(r"\*\*Exit code:\*\* (\d+)", reference[f"errors/{name}.md"]))
    }
    assert codes == {
        "BudgetExceeded": 6,
        "PluginError": 3,
        "RunLocked": 4,
        "SpecError": 2,
        "StorageError": 4,
        "StoreMissing": 4,
        "StoreOutdated": 4,
        "ThemisError": 70,
    }


def test_every_command_has_a_page_that_names_its_options(reference: dict[str, str]) -> None:
    commands = extension().commands()
    assert of_group(reference, "commands") == {name.replace(" ", "-") for name in commands}
    assert {"themis", "themis run", "themis plan", "themis runs", "themis show", "themis schema"} <= set(commands)
    assert {"themis plugins", "themis plugins list", "themis plugins show"} <= set(commands)
    assert {"themis storage", "themis storage verify", "themis judge measure"} <= set(commands)
    missing = [
        f"{name} {option}"
        for name, context in commands.items()
        for parameter in context.command.params
        if parameter.param_type_name == "option" and not parameter.hidden
        for option in parameter.opts
        if option not in reference[f"commands/{name.replace(' ', '-')}.md"]
    ]
    assert missing == []


def test_writing_the_pages_again_leaves_them_as_they_are_and_removes_old_ones(tmp_path: Path) -> None:
    module = extension()
    module.write(tmp_path)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}
    (tmp_path / "specs" / "GoneSpec.md").write_text("# GoneSpec\n")
    module.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")} == first


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_yaml_block_is_a_valid_spec_or_part_of_one(text: str) -> None:
    data = yaml.safe_load(text)
    if lines := list(command_lines(data)):  # a workflow of a CI system
        for line in lines:
            words = shlex.split(line.partition("themis run ")[2])
            assert cli.commands["run"].make_context("run", words).params["spec"] == Path("eval.yaml")
        return
    values = list(validated(data))
    plugins = Plugins()
    for kind, name, config in components(values):
        if name.partition("/")[0] not in INVENTED:
            _, cls = plugins.resolve(kind, name)
            cls.model_validate(config)


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_toml_block_is_a_valid_spec_or_project_file(text: str) -> None:
    data = tomllib.loads(text)
    if "benchmark" in data:
        assert len(list(validated(data))) == len(data)
    else:
        assert data["project"]["entry-points"] in (
            {"themis": {"brevity": "themis_plugin_brevity.plugin"}},
            {"themis.commands": {"count": "themis_plugin_brevity.commands:count"}},
            {"themis.outputs": {"brief": "themis_plugin_brevity.outputs:brief"}},
        )


@pytest.mark.parametrize("text", blocks("python"))
def test_a_python_block_compiles_and_imports_what_there_is(text: str) -> None:
    compile(text, "block", "exec")
    for line in re.findall(r"^from themis_core import (?:\(\n(.*?)\)|(.*?)$)", text, re.MULTILINE | re.DOTALL):
        names = [name.strip() for part in line for name in part.split(",") if name.strip()]
        assert [name for name in names if name not in themis_core.__all__] == []


def command_lines(data: Any) -> Iterator[str]:
    """The runs of Themis among the steps of a workflow."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in ("run", "script"):
                yield from (line for line in [value, *value] if isinstance(line, str) and "themis run " in line)
            else:
                yield from command_lines(value)
    elif isinstance(data, list):
        for each in data:
            yield from command_lines(each)


def validated(data: dict[str, Any]) -> Iterator[Any]:
    """Validate a whole spec, or a part by the field it would stand in."""
    if "benchmark" in data:
        assert data.keys() <= {"benchmark", "project"}
        yield BenchmarkSpec.model_validate(data["benchmark"])
    if "project" in data:
        yield ProjectSpec.model_validate(data["project"])
    for key in data.keys() - {"benchmark", "project"}:
        owner = next(cls for cls in (BenchmarkSpec, SliceSpec, ProjectSpec) if key in cls.model_fields)
        adapter = TypeAdapter[Any](owner.model_fields[key].annotation)  # type: ignore[arg-type]
        yield adapter.validate_python(data[key])


def components(value: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every component that a spec names, with its kind and config."""
    match value:
        case ModelSpec():
            yield "engine", value.provider, value.extras
        case DatasetSpec():
            yield "dataset_loader", value.source, value.extras
        case ExtractorSpec():
            yield "extractor", value.id, value.config
        case MetricSpec():
            yield "judge" if value.judge or value.id == "replay/verdicts" else "metric", value.id, value.config
        case ConclusionSpec():
            yield "conclusion", value.id, value.config
        case StorageConfig():
            config = value.model_dump()
            yield "storage_backend", config.pop("backend"), config
        case _:
            pass
    if isinstance(value, Spec):
        for name in type(value).model_fields:
            yield from components(getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from components(each)


def test_the_file_on_the_plugin_page_is_a_working_plugin(tmp_path: Path) -> None:
    page = (DOCS / "plugins.md").read_text("utf-8")
    text = next(each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class WithinWords" in each)
    path = tmp_path / "my_metrics.py"
    path.write_text(text)
    name, cls = Plugins({"mine": path}).resolve("metric", "mine/within_words")
    metric = cls.model_validate({"words": 2})
    assert isinstance(metric, Metric)
    item, answer = Item("1", {}), Generation("answered", "one two")
    assert name == "mine/within_words"
    assert metric.score(item, answer, "one two") == Score(1.0, details={"words": 2})
    assert metric.score(item, answer, "one two three") == Score(0.0, details={"words": 3})
    assert metric.score(item, answer, 12) == Score(reason="not_text")


def test_the_command_on_the_plugin_page_counts_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "plugins.md").read_text("utf-8")
    text = next(each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def count(" in each)
    namespace: dict[str, Any] = {}
    exec(compile(text, "block", "exec"), namespace)
    group = click.Group("brevity")
    namespace["themis_register_commands"](group)
    monkeypatch.chdir(tmp_path)
    missing = CliRunner().invoke(group, ["count"])
    assert isinstance(missing.exception, StoreMissing)
    backend, folder = themis_core.find_storage()
    with closing(backend.open(folder)) as store:
        for name, answer in (("1", "Paris."), ("2", "The capital of France is Paris.")):
            generation = Generation("answered", answer)
            store.append([GenerationRecorded(name, "run", "2026-01-01", Request("model", []), generation)])
    assert CliRunner().invoke(group, ["count"]).stdout == "1\n"


def files_of(page: str) -> dict[str, str]:
    """The files that a reader is to write: blocks whose paragraph before ends in a colon and names a file last."""
    text = (DOCS / page).read_text("utf-8")
    found = re.findall(r"(?:^|\n\n)((?:[^\n]+\n)+)\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    named = [(re.findall(r"`([\w.]+\.(?:json|jsonl|py|toml|yaml))`", before), content) for before, content in found]
    return {
        names[-1]: content
        for (names, content), (before, _) in zip(named, found, strict=True)
        if names and before.rstrip().endswith(":")
    }


def write_files(folder: Path, files: dict[str, str], *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(files[name], "utf-8")


def pytest_in(folder: Path, **environment: str) -> str:
    """Run a reader's tests as the reader does; its last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "index.md"], ids=["README", "index"])
def test_the_first_pages_show_a_spec_of_ten_lines_and_what_it_prints(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns(".themis"))
    text = page.read_text("utf-8")
    (spec,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert spec == (ROOT / "examples" / "quickstart" / "arithmetic.yaml").read_text("utf-8")
    assert len(spec.splitlines()) == 10
    shown = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^    .*uv run (themis run \S+)$", text, re.MULTILINE)
    for command, lines in zip(commands, shown, strict=True):
        code, printed = themis_in(tmp_path, command)
        assert code == 0
        assert [line for line in lines.splitlines() if line not in printed.splitlines()] == []


def test_the_files_of_the_quick_start_make_a_plan_and_run(tmp_path: Path) -> None:
    files = files_of("quickstart.md")
    assert sorted(files) == ["answers.jsonl", "arithmetic.yaml", "questions.jsonl"]
    write_files(tmp_path, files, *files)
    report = themis_core.plan(tmp_path / "arithmetic.yaml")
    question = "How many eggs are in 8 dozen?\nReply with the number only."
    assert (report.trials, report.stored, report.to_call) == (2, 0, 2)
    assert [sample["messages"] for sample in report.samples] == [[{"role": "user", "content": question}]]
    result = themis_core.run(tmp_path / "arithmetic.yaml")
    assert [(row.model_id, row.score, row.value, row.n) for row in result.scores] == [("recorded", "accuracy", 0.5, 2)]


def unnamed(text: str) -> str:
    """The text without what names this run and this version of the spec."""
    return re.sub(r"capitals-[0-9a-f]{12}|Spec `[0-9a-f]{12}`", "…", text)


def test_the_page_on_ci_shows_what_its_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of("ci.md")
    assert sorted(files) == ["eval.yaml", "test_eval.py"]
    write_files(tmp_path, files, *files)
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "ci.md").read_text("utf-8")
    (markdown,) = re.findall(r"```markdown\n(.*?)```", page, re.DOTALL)
    annotations, failed = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    (command, other) = re.findall(r"```sh\nthemis (.*?)\n```", page, re.DOTALL)
    done = CliRunner().invoke(cli, shlex.split(command), prog_name="themis")
    assert (done.exit_code, unnamed(done.stdout).endswith(unnamed(annotations))) == (1, True), done.output
    assert unnamed((tmp_path / "summary.md").read_text("utf-8")) == unnamed(markdown)
    assert '<testsuites name="capitals" tests="3" failures="1" errors="0">' in (tmp_path / "junit.xml").read_text()
    assert CliRunner().invoke(cli, shlex.split(other), prog_name="themis").exit_code == 0
    tested = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "test_eval.py"]
    told = subprocess.run(tested, cwd=tmp_path, capture_output=True, text=True).stdout
    assert (told.splitlines()[-1].startswith("1 failed, 1 passed"), failed in told) == (True, True), told


@pytest.mark.parametrize(
    ("plugin", "spec", "value"), [("my_metrics.py", "brevity.yaml", 0.5), ("my_engine.py", "echo.yaml", 1.0)]
)
def test_the_specs_on_the_plugin_page_run_with_its_files(tmp_path: Path, plugin: str, spec: str, value: float) -> None:
    write_files(tmp_path, files_of("plugins.md"), plugin, spec)
    result = themis_core.run(tmp_path / spec)
    assert [(row.value, row.n, row.failed) for row in result.scores] == [(value, 2, 0)]


def test_the_package_on_the_plugin_page_passes_its_tests(tmp_path: Path) -> None:
    files = files_of("plugins.md")
    package = tmp_path / "src" / "themis_plugin_brevity"
    write_files(package, files, "plugin.py")
    (package / "__init__.py").touch()
    (package / "metrics.py").write_text(files["my_metrics.py"].partition("@hookimpl")[0], "utf-8")
    write_files(tmp_path / "tests", files, "test_within_words.py")
    assert re.match(r"\d+ passed", pytest_in(tmp_path, PYTHONPATH=str(tmp_path / "src")))


def test_the_judge_on_the_plugin_page_passes_its_tests(tmp_path: Path) -> None:
    write_files(tmp_path, files_of("plugins.md"), "my_judges.py", "test_my_judges.py")
    assert re.match(r"\d+ passed", pytest_in(tmp_path))
    name, _ = Plugins({"mine": tmp_path / "my_judges.py"}).resolve("judge", "mine/polite")
    assert name == "mine/polite"


def test_the_exporter_on_the_plugin_page_writes_what_is_stored(tmp_path: Path) -> None:
    files = files_of("plugins.md")
    write_files(tmp_path, files, "my_engine.py", "my_exporter.py", "echo.yaml")
    spec = tmp_path / "echo.yaml"
    spec.write_text(
        files["echo.yaml"].replace("{mine: ./my_engine.py}", "{mine: ./my_engine.py, my: ./my_exporter.py}")
    )
    run = themis_core.run(spec)
    lost = themis_core.export(run.run_id, "my/answers", tmp_path / "out", spec=spec)
    assert lost == ["Prompts and scores are not kept."]
    assert (tmp_path / "out" / "answers.txt").read_text() == "eggs\t'Say eggs.'\nlegs\t'Say legs.'\n"


def test_the_commands_on_the_page_on_exporting_work_in_their_order(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    page = (DOCS / "exporting.md").read_text("utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    outputs = []
    for line in lines:
        command = [sys.executable, "-m", *shlex.split(line.removeprefix("uv run ").replace("themis", "themis_core", 1))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.append(done)
    assert re.findall(r"^note: .*$", page, re.MULTILINE) == outputs[1].stderr.splitlines()
    first, second = ([*re.findall(r" (\d\.\d{4}) ", each.stdout)] for each in (outputs[0], outputs[3]))
    assert sorted(first) == sorted(second)
    assert len(first) == 16
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "logs", "imported", "hub", "eee"}


def test_the_page_on_specs_lists_what_the_plugins_of_the_workspace_offer() -> None:
    page = (DOCS / "writing-specs.md").read_text("utf-8")
    rows = re.findall(r"^\| \[.*?README.*?\) \| (.*) \|$", page, re.MULTILINE)
    plugins = Plugins()
    offered = {
        f"{namespace}/{name}"
        for folder in (ROOT / "plugins").glob("*/src/*/plugin.py")
        for namespace in [folder.parent.name.removeprefix("themis_plugin_")]
        if namespace in plugins.namespaces  # that of Ray has a group of its own, and offers no component
        for components_of_kind in plugins.load(namespace).offers.values()
        for name in components_of_kind
    }
    assert set(re.findall(r"`(\w+/\w+)`", "\n".join(rows))) == offered


def test_links_to_other_folders_of_the_repository_lead_somewhere() -> None:
    readmes = (ROOT / "plugins").glob("*/README.md")
    links = [
        (page.parent / link).resolve()
        for page in (*PAGES, *readmes)
        for link in re.findall(r"\]\((\.\./[^)#]*)", page.read_text("utf-8"))
    ]
    assert len(links) > 10
    assert [link for link in links if not link.is_file()] == []


def test_the_glossary_has_the_words_of_the_design_in_order() -> None:
    words = re.findall(r"^([a-z][a-z ]*)\n: ", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert words == sorted(set(words))
    assert {
        "spec", "item", "slice", "trial", "generation", "parse", "extraction", "score", "run", "manifest", "event",
        "projection", "component", "plugin", "namespace", "ledger",
    } <= set(words)  # fmt: skip


def test_the_glossary_has_every_component_kind() -> None:
    words = re.findall(r"^([a-z][a-z ]*)\n: ", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert {kind.replace("_", " ") for kind in COMPONENT_KINDS} <= set(words)


def test_every_page_and_the_help_have_the_same_exit_codes() -> None:
    def of_table(page: str) -> set[str]:
        text = (DOCS / page).read_text("utf-8").partition("| exit code |")[2].partition("\n\n")[0]
        return {code for cells in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for code in cells.split(", ")}

    every = of_table("architecture.md")
    assert {"0", "1", "5", "10", "129"} <= every
    every -= {"10"}  # of `themis compare` alone
    assert of_table("quickstart.md") == every - {"129"}
    assert of_table("ci.md") == {"0", "1", "2", "3", "4", "5", "6"}
    told = cli.commands["run"].help or ""
    assert set(re.findall(r"\b(\d+) [a-z]", told.partition("Exits:")[2])) == every - {"129"}


def test_the_architecture_page_names_every_room() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    rooms = [room.strip() for layer in layers["layers"] for room in layer.split("|")]
    page = (DOCS / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    assert re.findall(r"`(\w+)`", "\n".join(rows)) == rooms


def test_ranks_and_shares_are_as_the_page_on_sampling_says() -> None:
    # the first eight bytes of sha256(b"7\x00eggs"), as Python's hashlib and sha256sum give it
    assert rank(7, "eggs") == 0x30FCEB2730E99129
    # 7 among 6, 3 and 1 are 4.2, 2.1 and 0.7: the one that is left goes to c
    assert allot(7, {"a": 6, "b": 3, "c": 1}) == {"a": 4, "b": 2, "c": 1}
    # 5 are 3, 1.5 and 0.5: b and c tie for the one that is left, and b is first by name
    assert allot(5, {"c": 1, "b": 3, "a": 6}) == {"a": 3, "b": 2, "c": 0}


def test_the_commands_on_the_page_of_results_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of("results.md")
    assert sorted(files) == ["arithmetic.yaml", "large.jsonl", "questions.jsonl", "small.jsonl"]
    write_files(tmp_path, files, *files)
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "results.md").read_text("utf-8")
    asked = re.findall(r"^```console\n\$ themis (.+?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(asked) == 2
    for command, said in asked:
        printed = CliRunner().invoke(cli, command.split()).stdout
        assert said in printed
    with themis_core.open_results("arithmetic.yaml") as results:
        (run,) = results.runs()
        (_, row) = results.result(run.run_id).scores
        assert f"`{row.told()}`" in page
        values = {tuple(row.group.values()): row.value for row in results.groups(run.run_id, ["metadata.category"])}
    assert values == {("products",): pytest.approx(3 / 5), ("sums",): pytest.approx(5 / 6)}


def test_the_batch_on_its_page_is_left_and_collected_as_the_page_says(tmp_path: Path) -> None:
    files = files_of("batches.md")
    assert sorted(files) == ["overnight.yaml"]
    page = (DOCS / "batches.md").read_text("utf-8")
    in_batch, waiting = re.findall(r"^    ((?:large|waiting): .*)$", page, re.MULTILINE)
    with ScriptedServer({"answers": {"rule": "constant", "output": "12"}, "batches": {"takes_s": 10}}) as server:
        files["overnight.yaml"] = files["overnight.yaml"].replace("http://127.0.0.1:8000/v1", server.base_url)
        write_files(tmp_path, files, *files)
        spec = str(tmp_path / "overnight.yaml")
        assert in_batch in CliRunner().invoke(cli, ["plan", spec]).stdout
        left = CliRunner().invoke(cli, ["run", spec, "--detach", "--quiet"])
        assert (left.exit_code, left.stderr.splitlines()[-1]) == (
            75, waiting.replace("http://127.0.0.1:8000", server.origin),
        )  # fmt: skip
        listed = CliRunner().invoke(cli, ["batches", "--spec", spec])
        assert "batch_1" in listed.stdout, listed.output
        result = themis_core.run(spec)
        assert [row.value for row in result.scores] == [0.5]
        assert len(server.batches()) == 1
        cancelled = CliRunner().invoke(cli, ["batches", "cancel", spec, "batch_1"])
        assert (cancelled.exit_code, cancelled.stderr.strip()) == (
            2,
            "Error: no batch 'batch_1' is open: there are none",
        )


def test_the_spec_on_the_page_on_prices_costs_what_it_says(tmp_path: Path) -> None:
    files = files_of("prices.md")
    assert sorted(files) == ["asked.yaml", "prices.yaml"]
    page = (DOCS / "prices.md").read_text("utf-8")
    with ScriptedServer({"answers": {"rule": "constant", "output": "12"}}) as server:
        files["asked.yaml"] = files["asked.yaml"].replace("http://127.0.0.1:8000/v1", server.base_url)
        write_files(tmp_path, files, *files)
        report = themis_core.plan(tmp_path / "asked.yaml")
        told = CliRunner().invoke(cli, ["plan", str(tmp_path / "asked.yaml")]).stdout
        result = themis_core.run(tmp_path / "asked.yaml")
    assert [row["cost"] is None for row in report.per_model] == [False, True]
    (said,) = re.findall(r"^    (\d call goes .*)$", page, re.MULTILINE)
    assert said in told
    with themis_core.open_results(tmp_path / "asked.yaml") as results:
        prices = results.run(result.run_id).manifest["prices"]
    assert (prices["currency"], list(prices["models"])) == ("USD", ["large"])


def test_the_applications_of_the_second_page_are_asked_shown_and_asked_again_once_edited(tmp_path: Path) -> None:
    page, files = (DOCS / "your-application.md").read_text("utf-8"), files_of("your-application.md")
    assert (DOCS / "index.md").read_text("utf-8").split("quickstart\n")[1].startswith("your-application\n")
    examples = DOCS.parent / "examples" / "application"
    assert files == {each.name: each.read_text("utf-8") for each in examples.iterdir() if each.is_file()}
    lengths = {name: len(text.splitlines()) for name, text in files.items()}
    assert max(lengths["chain.py"], lengths["agent.py"]) <= 30
    assert max(lengths["chain.yaml"], lengths["agent.yaml"]) <= 10
    write_files(tmp_path, files, *files)
    said = re.findall(r"^```text\n((?:Code that|  text:|python/callable).*?)^```$", page, re.MULTILINE | re.DOTALL)
    planned, shown, edited = said
    assert planned in themis_in(tmp_path, "themis plan chain.yaml")[1]
    assert themis_in(tmp_path, "themis run chain.yaml --quiet")[0] == 0
    trial = themis_in(tmp_path, "themis show trial chain capital --spec chain.yaml")[1]
    assert shown in re.sub(r"\([\d.e-]+ s\)", "(… s)", trial)
    assert themis_core.run(tmp_path / "agent.yaml").cost == pytest.approx(0.002 * 3 + 0.001 * 5)
    assert [row.value for row in themis_core.run(tmp_path / "agent.yaml").scores] == [1.0]
    (tmp_path / "chain.py").write_text(files["chain.py"] + "# edited\n")
    assert edited in themis_in(tmp_path, "themis plan chain.yaml")[1]
    assert themis_core.plan(tmp_path / "agent.yaml").to_call == 0


def test_the_spec_on_the_page_on_message_parts_sends_sound_and_a_file(tmp_path: Path) -> None:
    files = files_of("message-parts.md")
    assert sorted(files) == ["clips.jsonl", "parts.yaml"]
    (tmp_path / "hello.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 " * 1_000)
    with ScriptedServer({"answers": {"rule": "constant", "output": "hello"}}) as server:
        files["parts.yaml"] = files["parts.yaml"].replace("http://127.0.0.1:8000/v1", server.base_url)
        write_files(tmp_path, files, *files)
        assert [row.value for row in themis_core.run(tmp_path / "parts.yaml").scores] == [1.0]
        (served,) = server.requests()
    assert [part["type"] for part in served.messages[0]["content"]] == ["text", "input_audio", "file"]


@pytest.mark.parametrize(
    ("denominator", "told"), [("scored", "3 of 5"), ("parsed", "3 of 4"), ("planned_missing_worst", "3 of 6")]
)
def test_the_denominators_on_the_page_of_results_are_what_it_says(tmp_path: Path, denominator: str, told: str) -> None:
    files = files_of("results.md")
    write_files(tmp_path, files, *files)
    spec = tmp_path / "arithmetic.yaml"
    spec.write_text(files["arithmetic.yaml"].replace("exact_match]}", f"exact_match], denominator: {denominator}}}"))
    row = themis_core.run(spec).scores[1]
    assert f"({told} " in row.told()
    page = (DOCS / "results.md").read_text("utf-8")
    assert re.search(rf"^\| `{denominator}` \|.*\| {told} \|$", page, re.MULTILINE)


def test_the_page_on_comparisons_shows_what_the_commands_print(tmp_path: Path) -> None:
    page = (DOCS / "comparing.md").read_text("utf-8")
    for name in ("quickstart.yaml", "quickstart"):
        source = ROOT / "examples" / name
        target = tmp_path / "examples" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    run, compared = re.findall(r"^(themis .*)$", re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[0], re.MULTILINE)
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert themis_in(tmp_path, run)[0] == 0
    assert themis_in(tmp_path, compared) == (0, printed)
    power = next(line for line in page.splitlines() if line.startswith("themis power --rate"))
    needed = re.search(r"It takes (\d+)", page)
    assert needed is not None
    assert f"  {needed[1]}  " in themis_in(tmp_path, power)[1]


def test_a_run_is_compared_with_the_baseline_that_the_page_says_to_keep(tmp_path: Path) -> None:
    page = (DOCS / "comparing.md").read_text("utf-8")
    config = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "max_drop" in block)
    files = files_of("quickstart.md")
    write_files(tmp_path, files, *files)
    ran = themis_core.run(tmp_path / "arithmetic.yaml")
    assert themis_in(tmp_path, f"themis baseline set {ran.run_id} --spec arithmetic.yaml")[0] == 0
    data = yaml.safe_load((tmp_path / "arithmetic.yaml").read_text("utf-8"))
    data["benchmark"] |= yaml.safe_load(config)
    (tmp_path / "gated.yaml").write_text(yaml.safe_dump(data), "utf-8")
    (told,) = themis_core.run(tmp_path / "gated.yaml").conclusions
    assert (told["met"], told["details"]["outcome"]) == (True, "inconclusive")


def themis_in(folder: Path, command: str) -> tuple[int, str]:
    """Run a command as a reader does; its exit code and what it printed."""
    words = [sys.executable, "-m", "themis_core", *command.split()[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout
