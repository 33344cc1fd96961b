"""Loose files that import their neighbours, change between runs, and are imported in child processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from themis_core import PluginError, SpecError
from themis_core.plugins import Plugins
from themis_loose import content_of, neighbours

PLUGIN = """
from themis_core import Extraction, Extractor, hookimpl
{imports}

class Whole(Extractor):
    def extract(self, text):
        return Extraction({value})

@hookimpl
def themis_register_extractors(register):
    register("whole", Whole)
"""


@pytest.fixture(autouse=True)
def _modules_as_before() -> Iterator[None]:
    names, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - names:
        del sys.modules[name]
    sys.path[:] = path


def plugin(folder: Path, imports: str, value: str, name: str = "mine.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(PLUGIN.format(imports=imports, value=value))
    return file


def extracted(file: Path, namespace: str = "mine") -> object:
    _, cls = Plugins({namespace: file}).resolve("extractor", f"{namespace}/whole")
    return cls().extract("x").value  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("imports", "value", "files"),
    [
        ("import lf_helper", "lf_helper.VALUE", {"lf_helper.py": "VALUE = 7"}),
        ("from lf_helper import VALUE", "VALUE", {"lf_helper.py": "VALUE = 7"}),
        ("import lf_pkg.deep.er as er", "er.VALUE", {"lf_pkg/__init__.py": "", "lf_pkg/deep/__init__.py": "",
                                                     "lf_pkg/deep/er.py": "VALUE = 7"}),
        ("from lf_pkg import part", "part.VALUE", {"lf_pkg/__init__.py": "", "lf_pkg/part.py": "VALUE = 7"}),
        ("from lf_pkg import VALUE", "VALUE", {"lf_pkg/__init__.py": "from .inner import VALUE",
                                               "lf_pkg/inner.py": "VALUE = 7"}),
        ("import lf_first", "lf_first.lf_second.VALUE", {"lf_first.py": "import lf_second",
                                                         "lf_second.py": "VALUE = 7"}),
        ("def late():\n    import lf_late\n    return lf_late.VALUE", "late()", {"lf_late.py": "VALUE = 7"}),
        ("import importlib", "importlib.import_module('lf_' + 'dynamic').VALUE", {"lf_dynamic.py": "VALUE = 7"}),
    ],
)  # fmt: skip
def test_a_loose_file_imports_what_lies_beside_it(
    tmp_path: Path, imports: str, value: str, files: dict[str, str]
) -> None:
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    assert extracted(plugin(tmp_path, imports, value)) == 7
    assert not list(tmp_path.rglob("mine*.pyc"))


def test_what_a_loose_file_imports_beside_it_is_in_its_content(tmp_path: Path) -> None:
    file = plugin(tmp_path, "import lf_first\n\ndef late():\n    import lf_late", "1")
    contents = [content_of(file)]
    for name, code in {
        "lf_first.py": "import lf_second",
        "lf_second.py": "",
        "lf_late.py": "",
        "unrelated.py": "",
    }.items():
        (tmp_path / name).write_text(code)
        contents.append(content_of(file))
    assert len(set(contents)) == 4  # the unrelated file changes nothing
    assert sorted(neighbours(file)) == ["lf_first", "lf_late", "lf_second"]
    (tmp_path / "lf_second.py").write_text("# changed")
    assert content_of(file) not in contents


def test_an_edited_neighbour_is_imported_anew_by_the_next_session(tmp_path: Path) -> None:
    file = plugin(tmp_path, "import lf_edited", "lf_edited.value()")
    (tmp_path / "lf_constant.py").write_text("ONE = 1")
    (tmp_path / "lf_edited.py").write_text("import lf_constant\ndef value(): return lf_constant.ONE + 1")
    assert extracted(file) == 2
    (tmp_path / "lf_edited.py").write_text("import lf_constant\ndef value(): return lf_constant.ONE + 2")
    assert extracted(file) == 3
    (tmp_path / "lf_constant.py").write_text("ONE = 5")  # as many bytes, and within the same second
    assert extracted(file) == 7


def test_neighbours_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lf_same.py").write_text(f"VALUE = {folder!r}")
    files = {folder: plugin(tmp_path / folder, "import lf_same", "lf_same.VALUE") for folder in ("a", "b")}
    assert [extracted(files[folder], folder) for folder in ("a", "b", "a")] == ["a", "b", "a"]
    both = Plugins(files)
    both.load("a")
    with pytest.raises(
        SpecError, match=r"plugins\.b: .* imports .*b/lf_same\.py, but another .*a/lf_same\.py.* rename"
    ):
        both.load("b")


def test_a_neighbour_with_the_name_of_what_is_imported_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("VALUE = 7")
    with pytest.raises(PluginError, match=r"'json' is imported from .*json/__init__\.py already: rename .*json\.py"):
        extracted(plugin(tmp_path, "import json", "json.VALUE"))


def test_a_component_of_a_loose_file_can_be_sent_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "lf_helper.py").write_text("VALUE = 7")
    file = plugin(tmp_path, "import lf_helper", "lf_helper.VALUE")
    _, cls = Plugins({"mine": file}).resolve("extractor", "mine/whole")
    sent = tmp_path / "sent"
    sent.write_bytes(pickle.dumps(cls()))
    code = f"import pickle; print(pickle.load(open({str(sent)!r}, 'rb')).extract('x').value)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert (done.stdout, done.stderr) == ("7\n", "")
    (tmp_path / "lf_helper.py").write_text("VALUE = 8")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert "has changed since the run began" in done.stderr
