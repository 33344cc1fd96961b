"""Engines that see items, with and without a prompt: what they are handed, when they are asked again, what is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core as themis
from themis_core.cli import cli

ENGINE = '''
from pathlib import Path

from themis_core import Engine, Generation, Usage, hookimpl

CALLS = Path(__file__).with_name("calls")


class Local(Engine):
    """Says what it was handed, and counts its calls in a file."""

    wants: list[str] = []
    prompted: bool = False

    @property
    def item_fields(self):
        return tuple(self.wants)

    @property
    def reads_prompt(self):
        return self.prompted

    async def generate(self, request):
        with CALLS.open("a") as file:
            file.write("x")
        said = repr((len(request.messages), sorted(request.item.items())))
        request.item["planted"] = request.item.get("q")  # its own copy
        return Generation("answered", text=said)


class Odd(Local):
    @property
    def item_fields(self):
        return "q"


@hookimpl
def themis_register_engines(register):
    register("local", Local)
    register("odd", Odd)
'''
PROMPT = {"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}
OTHER = {"id": "other", "messages": [{"role": "user", "content": "Say {{ item.q }}"}]}
ROWS = [{"id": str(number), "q": f"q{number}", "ctx": ["c"], "gold": "one", "topic": "t"} for number in range(2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "engine.py").write_text(ENGINE)
    return tmp_path


def model(name: str = "m", wants: list[str] | None = None, *, prompted: bool = False, **more: Any) -> dict[str, Any]:
    extras = {"wants": wants or [], "prompted": prompted}
    return {"model_id": name, "provider": "mine/local", "extras": extras, **more}


def spec(
    models: list[dict[str, Any]], rows: Any = ROWS, variants: Any = (), fields: Any = None, **of_slice: Any
) -> dict[str, Any]:
    return {
        "project": {"plugins": {"mine": "engine.py"}},
        "benchmark": {
            "benchmark_id": "seen",
            "models": models,
            "prompt_variants": list(variants),
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {
                        "source": "files/inline",
                        "extras": {"rows": rows},
                        "fields": fields or {"reference": "gold", "metadata": ["topic"]},
                    },
                    "generation": {},
                    "scores": [{"name": "exact", "metrics": ["text/exact_match"]}],
                    **of_slice,
                }
            ],
        },
    }


def write(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps(data))
    return path


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text()) if (folder / "calls").exists() else 0


@contextmanager
def stored(path: Path) -> Iterator[themis.Store]:
    storage, project_dir = themis.find_storage(path)
    store = storage.open(project_dir, mode="read")
    try:
        yield store
    finally:
        store.close()


def answers(path: Path, run_id: str) -> list[str]:
    with stored(path) as store:
        found = {each.item_id: each.generation_keys[-1] for each in store.trial_rows(run_id)}
        records = {each.key: each for each in store.generation_records(list(found.values()))}
        return [records[found[key]].generation.text for key in sorted(found)]


HANDED: list[tuple[list[str], dict[str, Any], list[tuple[str, Any]], bool]] = [
    (["q"], {}, [("q", "q0")], False),
    (["ctx", "q"], {}, [("ctx", ["c"]), ("q", "q0")], False),
    (["*"], {}, [("ctx", ["c"]), ("id", "0"), ("q", "q0")], False),  # not the column of the reference
    (["*", "reference"], {}, [("ctx", ["c"]), ("id", "0"), ("q", "q0"), ("reference", "one")], True),
    (["gold"], {}, [("gold", "one")], True),  # its column is the reference by another name
    (["metadata"], {}, [("metadata", {"topic": "t"})], False),
    (["metadata"], {"metadata": ["topic", "gold"]}, [("metadata", {"topic": "t"})], False),
    (["metadata", "reference"], {"metadata": ["gold"]}, [("metadata", {"gold": "one"}), ("reference", "one")], True),
    (["q", "more?"], {}, [("q", "q0")], False),
    (["q?", "metadata?", "reference?"], {"metadata": [], "reference": None}, [("q", "q0")], False),
    (["*"], {"rename": {"right": "gold"}}, [("ctx", ["c"]), ("id", "0"), ("q", "q0")], False),
]


@pytest.mark.parametrize(("wants", "fields", "handed", "reference"), HANDED)
def test_an_engine_is_handed_what_it_names_and_the_reference_only_by_name(
    folder: Path, wants: list[str], fields: dict[str, Any], handed: list[tuple[str, Any]], reference: bool
) -> None:
    data = spec([model(wants=wants)], fields={"reference": "gold", "metadata": ["topic"], **fields})
    data["benchmark"]["slices"][0]["scores"] = []
    path = write(folder, data)
    report = themis.plan(path)
    assert report.handed == [
        {"slice_id": "s", "model_id": "m", "item": tuple(wants), "reference": reference, "prompt": False}
    ]
    shown = CliRunner().invoke(cli, ["plan", str(path)]).output
    assert ("PASSED ON" in shown) is reference
    result = themis.run(path)
    assert answers(path, result.run_id)[0] == repr((0, handed))


REFUSED: list[tuple[list[str], Any, Any, list[str]]] = [
    (["question"], ROWS, None, ["'question'", "item '0'", "It has: id, q, ctx, gold, metadata, reference."]),
    (["ctxt"], ROWS, None, ["Did you mean 'ctx'?"]),
    (["ctx"], [ROWS[0], {"id": "1", "q": "q1", "gold": "one"}], {"reference": "gold"}, ["item '1'"]),
    (["reference"], ROWS, {}, ["dataset.fields.reference names none"]),
    (["metadata"], ROWS, {"reference": "gold"}, ["dataset.fields.metadata names none"]),
    (
        ["*", "metadata"],
        [{**ROWS[0], "metadata": 1}],
        {"reference": "gold", "metadata": ["topic"]},
        ["a field of this name as well", "dataset.fields.rename"],
    ),
]


@pytest.mark.parametrize(("wants", "rows", "fields", "told"), REFUSED)
def test_what_items_do_not_have_is_found_in_planning(
    folder: Path, wants: list[str], rows: Any, fields: Any, told: list[str]
) -> None:
    data = spec([model(wants=wants)], rows)
    data["benchmark"]["slices"][0]["dataset"]["fields"] = {"reference": "gold"} if fields is None else fields
    if fields is None:
        data["benchmark"]["slices"][0]["dataset"]["fields"]["metadata"] = ["topic"]
    path = write(folder, data)
    with pytest.raises(themis.SpecError) as refused:
        themis.run(path)
    assert "generation" in str(refused.value)
    for each in told:
        assert each in str(refused.value)
    assert calls(folder) == 0


def test_a_text_in_the_place_of_names_is_no_list_of_letters(folder: Path) -> None:
    path = write(folder, spec([{"model_id": "m", "provider": "mine/odd"}]))
    with pytest.raises(themis.PluginError, match="item_fields is 'q', not a tuple of names"):
        themis.plan(path)


def test_only_items_whose_handed_part_changed_are_asked_again(folder: Path) -> None:
    themis.run(write(folder, spec([model(wants=["q"])])))
    assert calls(folder) == 2
    themis.run(write(folder, spec([model(wants=["q"])], [{**row, "ctx": "other"} for row in ROWS])))
    assert calls(folder) == 2  # what it was not handed changes nothing
    themis.run(write(folder, spec([model(wants=["q"])], [ROWS[0], {**ROWS[1], "q": "changed"}])))
    assert calls(folder) == 3
    themis.run(write(folder, spec([model(wants=["q", "ctx"])])))
    assert calls(folder) == 5


def test_keys_of_engines_that_name_nothing_are_what_they_were() -> None:
    from themis_core.planning.identities import Handed, requests_of
    from themis_core.specs import digest

    class Conditions:
        sent = "m"
        head = "h"
        params: dict[str, Any] = {}

    asked: Any = Conditions()
    plain = requests_of(asked, [], "d", [], "1", 0, None)[0]
    assert (plain.key, plain.item) == (digest(["h", "d", "1", 0, None]), {})
    handed = requests_of(asked, [], "d", [{"role": "user", "content": "go on"}], "1", 0, None, Handed({"q": 1}, "x"))
    assert handed[0].key != plain.key
    assert [each.item for each in handed] == [{"q": 1}, {"q": 1}]


def test_a_slice_needs_no_prompt_if_nobody_reads_one(folder: Path) -> None:
    path = write(folder, spec([model(wants=["q"])]))
    result = themis.run(path)
    (row,) = result.scores
    assert (row.prompt_variant_id, row.n) == ("none", 2)
    shown = CliRunner().invoke(cli, ["show", "trial", result.run_id, "0", "--spec", str(path)])
    assert "handed of the item:\n    q: q0" in shown.output, shown.output
    listed = CliRunner().invoke(cli, ["show", "trials", result.run_id, "--spec", str(path), "--prompt", "none"])
    assert listed.exit_code == 0
    assert "none" in listed.output


def test_a_slice_needs_a_prompt_if_somebody_reads_one(folder: Path) -> None:
    path = write(folder, spec([model("own", ["q"]), model("llm", prompted=True)]))
    with pytest.raises(themis.SpecError, match=r"no prompt variant applies to it \(model 'llm' reads one\)"):
        themis.plan(path)
    named = write(folder, spec([model("own", ["q"])], variants=[PROMPT], prompt_variants=["plain"]))
    with pytest.raises(
        themis.SpecError, match=r"no model of the slice reads a prompt \(mine/local\): remove prompt_va"
    ):
        themis.plan(named)


def test_in_a_mixed_slice_who_reads_no_prompt_is_asked_once_for_all_variants(folder: Path) -> None:
    models = [model("own", ["q"]), model("llm", prompted=True)]
    path = write(folder, spec(models, variants=[PROMPT, OTHER], generation={"num_samples": 2}))
    report = themis.plan(path)
    assert (report.trials, report.to_call) == (4 + 8, 12)
    result = themis.run(path)
    assert calls(folder) == 12
    found = {(row.model_id, row.prompt_variant_id, row.n) for row in result.scores}
    assert found == {("own", "none", 4), ("llm", "plain", 4), ("llm", "other", 4)}
    assert themis.run(path).generated == 0
    assert calls(folder) == 12
    more = write(
        folder, spec(models, variants=[PROMPT, OTHER, {**OTHER, "id": "third"}], generation={"num_samples": 2})
    )
    assert themis.plan(more).to_call == 0  # equal messages, and no further call without a prompt


def test_a_threshold_may_be_for_what_is_asked_without_a_prompt(folder: Path) -> None:
    data = spec([model(wants=["q"])])
    data["benchmark"]["thresholds"] = [{"score": "exact", "prompt_variant_id": "none", "minimum": 0.0}]
    assert themis.run(write(folder, data)).exit_code == 0


def judged(of: dict[str, Any], **config: Any) -> list[dict[str, Any]]:
    metric = {"id": "judge/correctness", "judge": [{"model": of}], "config": config}
    return [{"name": "judged", "metrics": [metric]}]


@pytest.mark.parametrize(
    ("judging", "told"),
    [
        (model("j"), "reads no prompt, so it can't be asked the questions of judge/correctness"),
        (
            model("j", ["q"], prompted=True),
            r"has to be handed parts of the item \(q\), and the questions of judge/correctness have none",
        ),
    ],
)
def test_who_needs_an_item_or_reads_no_prompt_can_not_judge(folder: Path, judging: dict[str, Any], told: str) -> None:
    data = spec([model(wants=["q"])], scores=judged(judging, question="{{ item.q }}"))
    with pytest.raises(themis.SpecError, match=told):
        themis.plan(write(folder, data))


def test_a_judge_of_answers_without_a_prompt_has_to_be_told_the_question(folder: Path) -> None:
    judging = model("j", prompted=True)
    with pytest.raises(themis.SpecError, match="a model that reads no prompt, so what was asked is not known"):
        themis.plan(write(folder, spec([model(wants=["q"])], scores=judged(judging))))
    mixed = [model("own", ["q"]), model("llm", prompted=True)]
    with pytest.raises(themis.SpecError, match="a model that reads no prompt, so what was asked is not known"):
        themis.plan(write(folder, spec(mixed, variants=[PROMPT], scores=judged(judging))))
    themis.plan(write(folder, spec([model(wants=["q"])], scores=judged(judging, question="{{ item.q }}"))))


def pairwise(baseline: str) -> list[dict[str, Any]]:
    config = {"model": baseline, "question": "{{ item.q }}"}
    metric = {"id": "judge/pairwise", "judge": [{"model": model("j", prompted=True)}], "config": config}
    return [{"name": "pair", "metrics": [metric]}]


@pytest.mark.parametrize("baseline", ["own", "llm"])
def test_answers_with_and_without_a_prompt_can_be_compared_by_a_judge(folder: Path, baseline: str) -> None:
    models = [model("own", ["q"]), model("llm", prompted=True)]
    path = write(folder, spec(models, variants=[PROMPT], scores=pairwise(baseline)))
    asked = themis.plan(path)
    themis.run(path)
    assert calls(folder) >= asked.to_call  # and what is asked again of a judge that says no verdict
    assert themis.plan(path).to_call == 0


def test_what_is_asked_without_a_prompt_is_compared_with_one_prompt_only(folder: Path) -> None:
    models = [model("own", ["q"]), model("llm", prompted=True)]
    path = write(folder, spec(models, variants=[PROMPT, OTHER], scores=pairwise("llm")))
    with pytest.raises(themis.SpecError, match="put 2 prompt variants, and model 'own' reads none"):
        themis.plan(path)


@pytest.mark.parametrize("variants", [[PROMPT], [PROMPT, OTHER]])
def test_what_is_asked_with_and_without_a_prompt_is_compared_item_by_item(folder: Path, variants: Any) -> None:
    data = spec([model("own", ["q"]), model("llm", prompted=True)], variants=variants)
    data["benchmark"]["conclusions"] = ["stats/compare"]
    path = write(folder, data)
    result = themis.run(path)
    (pair,) = json.loads(
        CliRunner().invoke(cli, ["compare", result.run_id, "--spec", str(path), "--format", "json"]).stdout
    )["pairs"]
    assert pair["n"] == 2
    assert pair["unmatched"] == []
    assert (pair["ledger_a"]["unpaired"], pair["ledger_b"]["unpaired"]) == (0.0, 0.0)


def test_what_was_handed_is_in_the_export_and_comes_back_from_the_log(folder: Path) -> None:
    path = write(folder, spec([model(wants=["q"])]))
    result = themis.run(path)
    out = folder / "generations.jsonl"
    done = CliRunner().invoke(
        cli, ["export", result.run_id, "--what", "generations", "-o", str(out), "--spec", str(path)]
    )
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["item"] for line in out.read_text().splitlines()] == [{"q": "q0"}, {"q": "q1"}]
    with stored(path) as store:
        events = [themis.event_from(each) for each in store.events()]
    handed = [each.request.item for each in events if isinstance(each, themis.GenerationRecorded)]
    assert handed == [{"q": "q0"}, {"q": "q1"}]
