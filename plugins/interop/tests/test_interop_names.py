"""Names of files in exports: one for each thing, whatever the names of models, slices, prompts and items."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

import themis_core as themis
from themis_core import SpecError
from themis_plugin_interop.importing import import_logs
from themis_plugin_interop.trials import Group
from themis_plugin_interop.writing import Names, TaskNames, plain_name, safe_name

IDS = ["a", "a\0b", "a\0c", "../../x", "/x", "..", "", "C:\\x", "x/y", "long" * 200, "\ud83d", "é", "x\ny"]


def run_of(folder: Path, models: list[str], slices: list[str], ids: list[str]) -> tuple[Path, str]:
    """A run of each model on each slice, whose answer to item N is `answer N`; its spec and its id."""
    rows = [{"id": each, "word": f"answer {number}"} for number, each in enumerate(ids)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    extras = {"path": "items.jsonl", "fields": {"output": "word"}}
    benchmark = {
        "benchmark_id": "names",
        "models": [{"model_id": each, "provider": "replay/file", "extras": extras} for each in models],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "Say {{ item.word }}."}]}],
        "slices": [
            {
                "slice_id": each,
                "dataset": {
                    "source": "files/jsonl",
                    "dataset_id": "items.jsonl",
                    "fields": {"id": "id", "reference": "word"},
                },
                "generation": {},
                "scores": [{"name": "same", "metrics": ["text/exact_match"]}],
            }
            for each in slices
        ],
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump({"benchmark": benchmark}))
    return folder / "spec.yaml", themis.run(folder / "spec.yaml").run_id


@pytest.mark.parametrize("to", ["every_eval_ever", "hub_results", "inspect", "lm_eval", "openai_evals"])
def test_each_model_and_slice_has_files_of_its_own(tmp_path: Path, to: str) -> None:
    models, slices = ["a", "A", "a_b", "x/y", "x__y"], ["c", "b_c"]
    spec, run_id = run_of(tmp_path, models, slices, ["1"])
    config = {"dataset": "o/d"} if to == "hub_results" else {}
    themis.export(run_id, f"interop/{to}", tmp_path / "out", config, spec=spec)
    suffix, each = {
        "every_eval_ever": ("_samples.jsonl", len(models)),
        "hub_results": (".yaml", len(models) * len(slices)),
        "inspect": (".eval", len(models) * len(slices)),
        "lm_eval": (".jsonl", len(models) * len(slices)),
        "openai_evals": (".jsonl", len(models) * len(slices)),
    }[to]
    files = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob(f"*{suffix}")]
    assert len({name.casefold() for name in files}) == len(files) == each


@pytest.mark.parametrize("to", ["every_eval_ever", "hub_results", "inspect", "lm_eval", "openai_evals"])
def test_a_model_of_any_name_is_exported(tmp_path: Path, to: str) -> None:
    spec, run_id = run_of(tmp_path, ["m\0n", "..", "é" * 150, "../up"], ["s\0/../t", "ü" * 100], ["1"])
    config = {"dataset": "o/d"} if to == "hub_results" else {}
    themis.export(run_id, f"interop/{to}", tmp_path / "a" / "out", config, spec=spec)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


def test_the_name_of_a_task_is_that_of_no_other() -> None:
    places = [("a", "b-c", "d"), ("a", "b", "c-d"), ("a-b", "c", "d")]
    groups = [Group(slice_id, "m", variant, params) for slice_id, variant, params in places]
    names = TaskNames(groups)
    assert names.of(groups[0]) == names.of(groups[0]._replace(model_id="n")) == "a-b-c-d"
    assert len({names.of(each) for each in groups}) == 3
    without_scores = [Group("z", "m", variant, "d") for variant in "xy"]
    assert [names.of(each) for each in without_scores] == ["z-x-d", "z-y-d"]


def test_names_that_would_share_a_file_get_a_digest_or_are_refused() -> None:
    names = Names()
    assert (names.take("x", "1"), names.take("X", "1"), names.take("x", "1")) == ("x", "X", "x")
    other = names.take("X", "2")
    assert other.startswith("X-")
    assert names.take("X", "2") == other
    names.take(f"y-{other[2:]}", "3")
    names.take("y", "1")
    with pytest.raises(SpecError, match=r"\('2',\) and \('3',\) would both be written to 'y-"):
        names.take("y", "2")
    assert safe_name("") == f"x-{safe_name('')[2:]}" != "x"
    assert plain_name("org__m", "org/m") == "org__m"


def test_items_of_any_name_come_back_from_a_log_of_inspect(tmp_path: Path) -> None:
    ids = [each for each in IDS if each]
    spec, run_id = run_of(tmp_path, ["m"], ["s"], ids)
    themis.export(run_id, "interop/inspect", tmp_path / "out", spec=spec)
    (log,) = (tmp_path / "out").iterdir()
    with ZipFile(log) as archive:
        members = [name.removeprefix("samples/") for name in archive.namelist() if name.startswith("samples/")]
    assert len(set(members)) == len(ids)
    assert [
        name for name in members if "\0" in name or ".." in name.split("/") or name[0] == "/" or len(name) > 255
    ] == []
    assert {"a_epoch_1.json", "x/y_epoch_1.json", "é_epoch_1.json"} <= set(members)  # as Inspect looks for them
    import_logs([tmp_path / "out"], "inspect", tmp_path / "in")
    items = map(json.loads, (tmp_path / "in" / "items" / "s.jsonl").read_text().splitlines())
    answers = map(json.loads, (tmp_path / "in" / "answers" / "m.jsonl").read_text().splitlines())
    expected = {f"s:{each}": f"answer {number}" for number, each in enumerate(ids)}
    assert {each["id"]: each["reference"] for each in items} == expected
    assert {each["id"]: each["output"] for each in answers} == expected
    assert [(each.value, each.n) for each in themis.run(tmp_path / "in" / "spec.yaml").scores] == [(1.0, len(ids))]
