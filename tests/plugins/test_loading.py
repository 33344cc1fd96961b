"""Plugins as users install them: entry points of real distributions, and loose files; what each mistake prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest

from themis_core import BenchmarkSpec, Extraction, Extractor, Metric, PluginError, ProjectSpec, SpecError
from themis_core.plugins import Plugins, compose, installed
from themis_core.reading import LoadedSpecs, Place, read_spec

GOOD = """\
from themis_core import Extraction, Extractor, Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Whole(Extractor):
    def extract(self, text):
        return Extraction(value=text)


class Length(Metric):
    def score(self, item, generation, value):
        return Score(value=1.0)


class Rhyme(Metric):
    tolerance: float = 0.0

    def score(self, item, generation, value):
        return Score(value=1.0)


@hookimpl
def themis_register_extractors(register):
    register("whole", Whole)


@hookimpl
def themis_register_metrics(register):
    register("length", Length)
    register("rhyme", Rhyme)
"""

REGISTER = """\
from themis_core import Extractor, Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Half(Metric):
    pass


class Sound(Metric):
    def score(self, item, generation, value):
        return Score(value=1.0)


@hookimpl
def themis_register_metrics(register):
    {body}
"""


class Site:
    """A folder on `sys.path`, with distributions in it as an installer leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        code: str,
        namespace: str = "poems",
        distribution: str = "themis-plugin-poems",
        version: str = "1.2.0",
        origin: dict[str, Any] | None = None,
    ) -> Path:
        """Write a distribution whose entry point is a module of its own; return the module's file."""
        module = f"site_{distribution.replace('-', '_')}"
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: About {namespace}\n", "utf-8"
        )
        (info / "entry_points.txt").write_text(f"[themis]\n{namespace} = {module}\n", "utf-8")
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin), "utf-8")
        path = self.folder / f"{module}.py"
        path.write_text(code, "utf-8")
        return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Site(folder)
    for name in [name for name in sys.modules if name.startswith("site_themis_plugin_")]:
        del sys.modules[name]


def all_namespaces() -> str:
    return ", ".join(sorted({point.name for point in entry_points(group="themis")}))


@pytest.mark.parametrize(
    ("kind", "name", "printed"),
    [
        pytest.param(
            "metric",
            "poem/rhyme",
            "plugin 'poem' is not installed. Installed: {installed}. Did you mean 'poems'?",
            id="not installed, but one of nearly that name is",
        ),
        pytest.param(
            "metric",
            "zzz/rhyme",
            "plugin 'zzz' is not installed. Installed: {installed}.",
            id="not installed",
        ),
        pytest.param(
            "metric",
            "poems/rhymes",
            "metric 'poems/rhymes': plugin 'poems' offers no such metric. It offers: length, rhyme. "
            "Did you mean 'rhyme'?",
            id="no such component",
        ),
        pytest.param(
            "metric",
            "poems/whole",
            "metric 'poems/whole': plugin 'poems' offers no such metric. It offers: length, rhyme. "
            "There is an extractor of that name.",
            id="a component of another kind",
        ),
        pytest.param(
            "storage_backend",
            "poems/store",
            "storage backend 'poems/store': plugin 'poems' offers no such storage backend. "
            "It offers no storage backend at all.",
            id="none of that kind",
        ),
        pytest.param(
            "metric",
            "poems",
            "metric 'poems': say which one, as poems/name. It offers: length, rhyme.",
            id="a namespace that offers several",
        ),
    ],
)
def test_a_name_that_leads_nowhere_says_what_there_is(kind: str, name: str, printed: str, site: Site) -> None:
    site.install(GOOD)
    with pytest.raises(SpecError) as raised:
        Plugins().resolve(kind, name)
    assert str(raised.value) == printed.format(installed=all_namespaces())


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        pytest.param(
            GOOD.replace("VERSION = 1", "VERSION = 2"),
            "plugin 'poems' (themis-plugin-poems 1.2.0) was written for contract 2; this core supports 1: "
            "update themis-core",
            id="a newer contract",
        ),
        pytest.param(
            GOOD.replace("VERSION = 1", "VERSION = 0"),
            "plugin 'poems' (themis-plugin-poems 1.2.0) was written for contract 0; this core supports 1: "
            "update themis-plugin-poems",
            id="an older contract",
        ),
        pytest.param(
            GOOD.replace("THEMIS_CONTRACT_VERSION = 1", ""),
            "plugin 'poems' (themis-plugin-poems 1.2.0) does not state THEMIS_CONTRACT_VERSION, the contract it was "
            "written for; this core supports 1",
            id="no contract",
        ),
        pytest.param(
            GOOD.replace("themis_register_metrics", "themis_register_metric"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): unknown hook 'themis_register_metric' in plugin "
            "<module 'site_themis_plugin_poems' from '{file}'>",
            id="a misspelt hook",
        ),
        pytest.param(
            REGISTER.format(body="register('half', Half)"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): themis_register_metrics: register('half', …): "
            "Half lacks score",
            id="an abstract class",
        ),
        pytest.param(
            REGISTER.format(body="register('reader', Extractor)"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): themis_register_metrics: register('reader', …): "
            "<class 'themis_core.components.scoring.Extractor'> is no subclass of themis_core.Metric",
            id="a class of another kind",
        ),
        pytest.param(
            REGISTER.format(body="register('sound', Sound())"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): themis_register_metrics: register('sound', …): "
            "Sound() is no subclass of themis_core.Metric",
            id="an object for a class",
        ),
        pytest.param(
            REGISTER.format(body="register('so und', Sound)"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): themis_register_metrics: register('so und', …): "
            "a component's name is letters, digits and underscores",
            id="a name that no spec can write",
        ),
        pytest.param(
            REGISTER.format(body="register('sound', Sound); register('sound', Sound)"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): themis_register_metrics: register('sound', …): "
            "the name is registered twice",
            id="a name twice",
        ),
        pytest.param(
            REGISTER.format(body="register('sound', 'poems.sounds')"),
            "plugin 'poems' (themis-plugin-poems 1.2.0): themis_register_metrics: register('sound', …): "
            "'poems.sounds' is no place of a class, such as 'my_plugin.metrics:Polite'",
            id="a place that names no class",
        ),
    ],
)
def test_an_unfit_plugin_is_named_with_what_it_does_wrong(code: str, printed: str, site: Site) -> None:
    path = site.install(code)
    plugins = Plugins()
    for _ in range(2):  # the second answer is no worse than the first
        with pytest.raises(PluginError) as raised:
            plugins.load("poems")
        assert str(raised.value) == printed.format(file=path)
    assert plugins.provenance() == []


def test_a_class_that_is_registered_by_its_place_is_imported_when_it_is_named(site: Site) -> None:
    site.install(REGISTER.format(body="register('sound', Sound); register('far', 'fractions:nobody')"))
    sys.modules.pop("wave", None)
    waves = REGISTER.format(body="register('sound', Sound); register('wave', 'wave:Wave_read')")
    site.install(waves, "waves", "themis-plugin-waves")
    plugins = Plugins()
    assert list(plugins.load("waves").offers["metric"]) == ["sound", "wave"]
    assert "wave" in plugins.load("waves").offers["metric"]
    assert "wave" not in sys.modules
    assert issubclass(plugins.resolve("metric", "waves/sound")[1], Metric)
    for _ in range(2):
        with pytest.raises(PluginError, match=r"register\('wave', …\): <class 'wave.Wave_read'> is no subclass of"):
            plugins.resolve("metric", "waves/wave")
    with pytest.raises(
        PluginError, match=r"plugin 'poems' \(.*\) failed at import of fractions:nobody: AttributeError"
    ):
        plugins.resolve("metric", "poems/far")


def test_a_loose_file_registers_no_places_for_what_lies_there_is_not_in_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(REGISTER.format(body="register('sound', 'beside:Sound')"), "utf-8")
    with pytest.raises(PluginError, match="a loose file registers the class itself, not 'beside:Sound'"):
        Plugins({"mine": path}).load("mine")


def test_a_hook_with_a_wrong_argument_is_named_with_the_argument(site: Site) -> None:
    site.install(GOOD.replace("extractors(register)", "extractors(add)"))
    with pytest.raises(PluginError) as raised:
        Plugins().load("poems")
    first, *_, last = str(raised.value).splitlines()
    assert first == "plugin 'poems' (themis-plugin-poems 1.2.0): Plugin 'poems' for hook 'themis_register_extractors'"
    assert last == "Argument(s) {'add'} are declared in the hookimpl but can not be found in the hookspec"


@pytest.mark.parametrize(
    ("code", "during", "original", "line"),
    [
        pytest.param(
            "import metre_that_nobody_has\n",
            "import",
            "ModuleNotFoundError: No module named 'metre_that_nobody_has'",
            1,
            id="a missing dependency",
        ),
        pytest.param("\n\nraise SystemExit(3)\n", "import", "SystemExit: 3", 3, id="an exit"),
        pytest.param(
            REGISTER.format(body="raise LookupError('no metre')"),
            "themis_register_metrics",
            "LookupError: no metre",
            17,
            id="a hook that raises",
        ),
    ],
)
def test_a_failing_plugin_shows_its_own_traceback(code: str, during: str, original: str, line: int, site: Site) -> None:
    path = site.install(code)
    plugins = Plugins()
    for _ in range(2):
        with pytest.raises(PluginError) as raised:
            plugins.load("poems")
        first, *traceback = str(raised.value).splitlines()
        assert first == f"plugin 'poems' (themis-plugin-poems 1.2.0) failed at {during}: {original}"
        assert traceback[0] == "Traceback (most recent call last):"
        assert traceback[1].startswith(f'  File "{path}", line {line}, in ')
        assert traceback[-1] == original
        assert type(raised.value.__cause__).__name__ == original.partition(":")[0]
    assert plugins.provenance() == []
    assert plugins.observers("themis_run_started").namespaces == []


def test_commands_that_raise_are_the_plugins_fault(site: Site) -> None:
    site.install(GOOD + "\n\n@hookimpl\ndef themis_register_commands(cli):\n    raise LookupError('no metre')\n")
    with pytest.raises(PluginError) as raised:
        Plugins().add_commands("poems", click.Group("poems"))
    first = str(raised.value).splitlines()[0]
    assert first == (
        "plugin 'poems' (themis-plugin-poems 1.2.0) failed at themis_register_commands: LookupError: no metre"
    )


def test_a_plugin_adds_commands_to_its_own_group(site: Site) -> None:
    site.install(GOOD + "\n\n@hookimpl\ndef themis_register_commands(cli):\n    cli.command('recite')(lambda: None)\n")
    site.install(GOOD, "songs", "themis-plugin-songs")
    plugins, group = Plugins(), click.Group("poems")
    assert plugins.add_commands("poems", group) is True
    assert sorted(group.commands) == ["recite"]
    assert plugins.add_commands("songs", click.Group("songs")) is False


def test_a_namespace_of_two_distributions_names_both_once_it_is_named(site: Site) -> None:
    site.install(GOOD)
    site.install(GOOD, "poems", "themis-plugin-verses", "0.3")
    site.install(GOOD, "songs", "themis-plugin-songs")
    plugins = Plugins()
    assert plugins.load("songs").namespace == "songs"
    with pytest.raises(PluginError) as raised:
        plugins.load("poems")
    assert str(raised.value) == (
        "plugin 'poems': claimed by themis-plugin-poems 1.2.0 and themis-plugin-verses 0.3. "
        "Uninstall one: pip uninstall themis-plugin-poems or pip uninstall themis-plugin-verses"
    )


def test_a_broken_plugin_harms_nothing_until_it_is_named(site: Site) -> None:
    site.install("raise OSError('no library')\n", "ballads", "themis-plugin-ballads")
    site.install(GOOD)
    assert {"ballads", "poems"} <= set(installed())
    plugins = Plugins()
    name, cls = plugins.resolve("extractor", "poems")
    assert issubclass(cls, Extractor)
    assert (name, cls().extract("O rose")) == ("poems/whole", Extraction(value="O rose"))
    assert "site_themis_plugin_ballads" not in sys.modules
    with pytest.raises(PluginError, match=r"^plugin 'ballads' \(themis-plugin-ballads 1.2.0\) failed at import: "):
        plugins.load("ballads")


def test_listing_the_installed_plugins_imports_none(site: Site) -> None:
    site.install(GOOD)
    (each,) = installed()["poems"]
    assert (each.label, each.summary) == ("themis-plugin-poems 1.2.0", "About poems")
    assert each.entry_point.value == "site_themis_plugin_poems"
    assert "site_themis_plugin_poems" not in sys.modules


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(None, id="from an index"),
        pytest.param(
            {"url": "https://forge.example/poems.git", "vcs_info": {"vcs": "git", "commit_id": "4f3c", "n": [1, {}]}},
            id="from a commit",
        ),
        pytest.param({"url": "file:///home/ada/poems", "dir_info": {"editable": True}}, id="from a folder"),
    ],
)
def test_the_provenance_of_an_installed_plugin_says_where_it_came_from(
    origin: dict[str, Any] | None, site: Site
) -> None:
    site.install(GOOD, origin=origin)
    plugins = Plugins()
    plugins.load("poems")
    provenance = plugins.provenance()
    assert json.loads(json.dumps(provenance)) == [
        {
            "namespace": "poems",
            "distribution": "themis-plugin-poems",
            "version": "1.2.0",
            "entry_point": "site_themis_plugin_poems",
            "origin": origin,
        }
    ]


def test_a_loose_file_offers_components_and_is_recorded_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD.replace("THEMIS_CONTRACT_VERSION = 1", ""), "utf-8")  # a loose file need not state it
    plugins = Plugins({"mine": path})
    name, cls = plugins.resolve("extractor", "mine/whole")
    assert issubclass(cls, Extractor)
    assert (name, cls().extract("O rose")) == ("mine/whole", Extraction(value="O rose"))
    digest = plugins.provenance()[0]["sha256"]
    files = {"mine.py": digest}
    assert plugins.provenance() == [{"namespace": "mine", "path": str(path), "sha256": digest, "files": files}]

    path.write_text(GOOD + "\n# another version\n", "utf-8")
    changed = Plugins({"mine": path})
    assert changed.resolve("extractor", "mine/whole")[1] is not cls
    assert changed.provenance()[0]["sha256"] != digest


@pytest.mark.parametrize(
    ("code", "error", "printed"),
    [
        pytest.param(
            None,
            SpecError,
            "plugins.mine: can't read {file}: No such file or directory",
            id="no such file",
        ),
        pytest.param(
            "THEMIS_CONTRACT_VERSION = 2\n",
            PluginError,
            "plugin 'mine' ({file}) was written for contract 2; this core supports 1: update themis-core",
            id="a newer contract",
        ),
        pytest.param(
            "def broken(:\n",
            PluginError,
            "plugin 'mine' ({file}) failed at import: SyntaxError: invalid syntax (mine.py, line 1)",
            id="a syntax error",
        ),
        pytest.param(
            "raise OSError('no library')\n",
            PluginError,
            "plugin 'mine' ({file}) failed at import: OSError: no library",
            id="a failing import",
        ),
    ],
)
def test_a_loose_file_that_will_not_do_is_named(
    code: str | None, error: type[Exception], printed: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    if code is not None:
        path.write_text(code, "utf-8")
    with pytest.raises(error) as raised:
        Plugins({"mine": path}).load("mine")
    assert str(raised.value).splitlines()[0] == printed.format(file=path)


def test_a_loose_file_may_not_take_the_namespace_of_an_installed_plugin(site: Site, tmp_path: Path) -> None:
    site.install(GOOD)
    with pytest.raises(SpecError) as raised:
        Plugins({"poems": tmp_path / "mine.py"})
    assert str(raised.value) == (
        "plugins.poems: this namespace belongs to the installed themis-plugin-poems 1.2.0; "
        "choose another name for the file"
    )


SPEC = """\
project:
  storage: {{backend: {backend}}}
  plugins: {{mine: mine.py}}
benchmark:
  benchmark_id: verses
  slices:
    - slice_id: all
      dataset:
        source: {source}
        fields: {{output: said}}
      parses:
        - {{name: whole, extractors: [{extractor}]}}
      scores:
        - name: rhymes
          parse: whole
          metrics:
            - id: {metric}
              config: {config}
"""

SOUND = {
    "backend": "mine",
    "source": "mine/lines",
    "extractor": "poems/whole",
    "metric": "poems/rhyme",
    "config": "{tolerance: 0.5}",
}

MINE = """\
from themis_core import DatasetLoader, Row, hookimpl
from themis_core.testing.memory import MemoryStorage


class Lines(DatasetLoader):
    def rows(self, dataset, query, base_dir):
        yield Row({"said": "O rose"})

    def check(self, base_dir):
        if (base_dir / "no_lines").exists():
            raise ValueError("there are no lines; write some")


@hookimpl
def themis_register_dataset_loaders(register):
    register("lines", Lines)


@hookimpl
def themis_register_storage_backends(register):
    register("memory", MemoryStorage)
"""


def compose_file(path: Path) -> Any:
    source = read_spec(path)
    return compose(
        LoadedSpecs(
            ProjectSpec.model_validate(source.data["project"]),
            BenchmarkSpec.model_validate(source.data["benchmark"]),
            base_dir=path.parent,
            project_dir=path.parent,
            place=Place(source, offset=("benchmark",)),
            project_place=Place(source, offset=("project",)),
        )
    )


@pytest.fixture
def spec_file(site: Site, tmp_path: Path) -> Path:
    site.install(GOOD)
    (tmp_path / "mine.py").write_text(MINE, "utf-8")
    return tmp_path / "verses.yaml"


def test_a_composition_holds_full_names_and_the_provenance_of_what_was_named(spec_file: Path) -> None:
    spec_file.write_text(SPEC.format(**SOUND), "utf-8")
    composed = compose_file(spec_file)
    assert composed.storage_name == "mine/memory"
    assert composed.slices[0].dataset.component == "mine/lines"
    assert [scorer.component for scorer in composed.slices[0].scorers] == ["poems/rhyme"]
    assert [each["namespace"] for each in composed.plugins.provenance()] == ["mine", "poems"]


@pytest.mark.parametrize(
    ("wrong", "printed"),
    [
        pytest.param(
            {"config": "{tolerence: 0.5}"},
            "{file}:18: slices[0].scores[0].metrics[0].config.tolerence: unknown key 'tolerence'. "
            "Did you mean 'tolerance'?",
            id="an unknown key of a config",
        ),
        pytest.param(
            {"config": "{tolerance: wide}"},
            "{file}:18: slices[0].scores[0].metrics[0].config.tolerance: should be a number (found: 'wide')",
            id="a bad value of a config",
        ),
        pytest.param(
            {"metric": "poems/rhymes"},
            "{file}:17: slices[0].scores[0].metrics[0].id: metric 'poems/rhymes': plugin 'poems' offers no such "
            "metric. It offers: length, rhyme. Did you mean 'rhyme'?",
            id="no such metric",
        ),
        pytest.param(
            {"extractor": "poem/whole"},
            "{file}:12: slices[0].parses[0].extractors[0].id: plugin 'poem' is not installed. "
            "Installed: {known}. Did you mean 'poems'?",
            id="no such plugin",
        ),
        pytest.param(
            {"backend": "poems"},
            "{file}:2: storage.backend: storage backend 'poems': say which one, as poems/name. "
            "It offers no storage backend at all.",
            id="a plugin without storage",
        ),
    ],
)
def test_a_mistake_names_its_place_in_the_spec_file(wrong: dict[str, str], printed: str, spec_file: Path) -> None:
    spec_file.write_text(SPEC.format(**{**SOUND, **wrong}), "utf-8")
    with pytest.raises(SpecError) as raised:
        compose_file(spec_file)
    known = ", ".join(Plugins({"mine": spec_file}).namespaces)
    assert str(raised.value) == printed.format(file=spec_file, known=known)


def test_what_a_component_misses_names_its_place_in_the_spec_file(spec_file: Path) -> None:
    spec_file.write_text(SPEC.format(**SOUND), "utf-8")
    (spec_file.parent / "no_lines").touch()
    with pytest.raises(SpecError) as raised:
        compose_file(spec_file)
    assert str(raised.value) == f"{spec_file}:8: slices[0].dataset.extras: there are no lines; write some"
