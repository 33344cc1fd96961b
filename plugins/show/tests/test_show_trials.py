"""`show trials`, `show items` and `show trial` over a run of several models, one of which never answered."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from themis_core.cli import cli
from themis_output import shortened

FRAGILE = """
from themis_core import Metric, Score, hookimpl

class Fragile(Metric):
    def score(self, item, generation, extraction):
        return Score(1 / (item.id != "b"))

@hookimpl
def themis_register_metrics(register):
    register("fragile", Fragile)
"""
ANSWERS = {"m1": {"a": "Rome", "b": "Lima"}, "m2": {}, "m3": {"a": "Paris", "only": "Oslo"}}


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="themis")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec that was run: two items for three models, and in a slice of its own a third one for m3."""
    golds = {"a": "Paris", "b": "Lima", "only": "Oslo"}
    rows = [json.dumps({"id": name, "gold": gold}) for name, gold in golds.items()]
    (tmp_path / "items.jsonl").write_text("\n".join(rows))
    for model, answers in ANSWERS.items():
        lines = [json.dumps({"id": name, "output": text}) for name, text in answers.items()]
        (tmp_path / f"{model}.jsonl").write_text("\n".join(lines or ['{"id": "none", "output": ""}']))
    (tmp_path / "fragile.py").write_text(FRAGILE)
    slices = [
        {
            "slice_id": name,
            "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
            "dataset_query": {"item_ids": items},
            "generation": {"models": models},
            "scores": [
                {"name": "accuracy", "metrics": ["text/exact_match"]},
                {"name": "own", "metrics": ["mine/fragile"]},
            ],
        }
        for name, items, models in (("all", ["a", "b"], ["m1", "m2", "m3"]), ("rest", ["b", "only"], ["m3"]))
    ]
    models = [{"model_id": m, "provider": "replay/file", "extras": {"path": f"{m}.jsonl"}} for m in ANSWERS]
    variants = [{"id": "plain", "messages": [{"role": "user", "content": "Capital?"}]}]
    benchmark = {"benchmark_id": "capitals", "models": models, "prompt_variants": variants, "slices": slices}
    file = tmp_path / "capitals.yaml"
    file.write_text(yaml.safe_dump({"project": {"plugins": {"mine": "./fragile.py"}}, "benchmark": benchmark}))
    assert themis("run", file, "--quiet").exit_code == 5
    return file


def trials_of(spec: Path) -> list[dict[str, Any]]:
    done = themis("show", "trials", "capitals", "--spec", spec, "--format", "json")
    listed: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return listed


def test_each_trial_has_its_own_scores_or_why_there_is_none(spec: Path) -> None:
    text = themis("show", "trials", "capitals", "--spec", spec).stdout
    assert [line.split(maxsplit=1)[1] for line in text.splitlines()] == [
        "outcome           slice  model  prompt  params   item  sample  accuracy/text/exact_match  own/mine/fragile",
        "answered          all    m1     plain   default  a     0       0                          1",
        "answered          all    m1     plain   default  b     0       1                          (metric_error)",
        "failed (missing)  all    m2     plain   default  a     0       –                          –",
        "failed (missing)  all    m2     plain   default  b     0       –                          –",
        "answered          all    m3     plain   default  a     0       1                          1",
        "failed (missing)  all    m3     plain   default  b     0       –                          –",
        "failed (missing)  rest   m3     plain   default  b     0       –                          –",
        "answered          rest   m3     plain   default  only  0       1                          1",
    ]
    assert [(each["item_id"], each["scores"]) for each in trials_of(spec)][1:3] == [
        (
            "b",
            {
                "accuracy/text/exact_match": {"value": 1.0, "reason": None},
                "own/mine/fragile": {"value": None, "reason": "metric_error"},
            },
        ),
        ("a", {}),
    ]


def test_a_trial_is_found_by_its_item_or_by_the_beginning_of_its_id(spec: Path) -> None:
    *_, trial = trials_of(spec)
    for name in ("only", trial["trial_id"][:8], trial["trial_id"]):
        done = themis("show", "trial", "capitals", name, "--spec", spec, "--format", "json")
        assert json.loads(done.stdout)["trial"]["trial_id"] == trial["trial_id"]


def test_the_trials_of_an_item_are_listed_if_there_are_several(spec: Path) -> None:
    done = themis("show", "trial", "capitals", "a", "--spec", spec)
    run_id = json.loads(themis("runs", "--spec", spec, "--format", "json").stdout)["runs"][0]["run_id"]
    first, second, third = (each["trial_id"][:12] for each in trials_of(spec) if each["item_id"] == "a")
    assert (done.exit_code, done.stdout) == (2, "")
    how = "add --model, --prompt or --where, or give the beginning of a trial's id"
    assert done.stderr.splitlines() == [
        f"Error: several trials of {run_id} are of the item 'a': {how}",
        "  trial         outcome           slice  model  prompt  params   item  sample",
        f"  {first}  answered          all    m1     plain   default  a     0",
        f"  {second}  failed (missing)  all    m2     plain   default  a     0",
        f"  {third}  answered          all    m3     plain   default  a     0",
    ]


def test_a_trial_that_is_in_two_slices_is_shown_of_the_slice_that_is_named(spec: Path) -> None:
    *_, both, _ = trials_of(spec)
    done = themis("show", "trial", "capitals", both["trial_id"], "--spec", spec)
    assert done.exit_code == 2
    assert f"begin with '{both['trial_id']}': give --slice as well\n" in done.stderr
    for name in (both["trial_id"], "b"):
        shown = themis("show", "trial", "capitals", name, "--slice", "rest", "--spec", spec, "--format", "json")
        trial = json.loads(shown.stdout)["trial"]
        assert (trial["slice_id"], trial["trial_id"]) == ("rest", both["trial_id"])


def test_what_is_neither_an_item_nor_a_trial_gets_the_command_that_lists_them(spec: Path) -> None:
    done = themis("show", "trial", "capitals", "q0", "--spec", spec)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "has the item 'q0', or an id that begins so: `themis show trials capitals-" in done.stderr


def test_a_trial_tells_what_its_metric_raised(spec: Path) -> None:
    trial = trials_of(spec)[1]["trial_id"]
    text = themis("show", "trial", "capitals", trial, "--spec", spec).stdout
    assert text.splitlines()[-1] == "  own/mine/fragile: metric_error: ZeroDivisionError: division by zero"


TALKATIVE = """
from themis_core import Capabilities, Engine, Generation, hookimpl

class Talkative(Engine):
    capabilities = Capabilities(local=True, images=True)

    async def generate(self, request):
        tokens = [
            {"token": f"t{n}\\x1b", "logprob": -n / 4, "top_logprobs": [{"token": "other", "logprob": -9.5}]}
            for n in range(25)
        ]
        return Generation(
            "answered",
            text="Paris\\x1b]52;c;ZXZpbA==\\x07\\x9b31m\\u202e",
            finish_reason="tool_calls",
            tool_calls=({"id": "c1", "function": {"name": "look_up", "arguments": '{"place": "\\x1b[31mParis"}'}},),
            alternatives=("Rome", "Lima\\x9b"),
            logprobs=tuple(tokens),
        )

@hookimpl
def themis_register_engines(register):
    register("talkative", Talkative)
"""


def asked_once(folder: Path, row: dict[str, Any], content: Any) -> Path:
    """A spec that was run: one item, sent to an engine that says all that an answer can hold."""
    (folder / "items.jsonl").write_text(json.dumps(row))
    (folder / "talkative.py").write_text(TALKATIVE)
    benchmark = {
        "benchmark_id": "talk",
        "models": [{"model_id": "m", "provider": "mine/talkative"}],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": content}]}],
        "slices": [
            {
                "slice_id": "all",
                "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
                "generation": {},
                "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    file = folder / "talk.yaml"
    file.write_text(yaml.safe_dump({"project": {"plugins": {"mine": "./talkative.py"}}, "benchmark": benchmark}))
    done = themis("run", file, "--quiet")
    assert done.exit_code == 0, done.output
    return file


def test_a_trial_shows_tool_calls_choices_and_log_probabilities_and_shortens_data_urls(tmp_path: Path) -> None:
    image = "data:image/png;base64," + "iVBORw0KGgo" * 100
    parts = [{"type": "text", "text": "Where? {{ item.pic }}"}, {"type": "image_url", "image_url": "{{ item.pic }}"}]
    file = asked_once(tmp_path, {"id": "a", "gold": "Paris", "pic": image}, parts)
    text = themis("show", "trial", "talk", "a", "--spec", file).stdout
    assert "answered (tool_calls)" in text
    assert "tool call:" in text
    assert '"name":"look_up"' in text.replace(": ", ":")
    assert "choice 2:\n    Rome\n  choice 3:\n    Lima\\x9b\n" in text
    assert "'t3\\x1b' -0.75  (of 'other' -9.5)\n" in text
    assert "and 5 more tokens; --format json has them all" in text
    assert "\x1b" not in text
    assert image not in text
    assert text.count("data:image/png;base64,iVBORw0KGgoi… (1,100 characters)") == 3
    whole = json.loads(themis("show", "trial", "talk", "a", "--spec", file, "--format", "json").stdout)
    assert whole["item"]["fields"]["pic"] == image


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("data:image/png;base64," + "A" * 100, "data:image/png;base64,AAAAAAAAAAAA… (100 characters)"),
        ("see data:image/svg+xml;charset=utf-8,%3Csvg" + "x" * 96 + " and on",
         "see data:image/svg+xml;charset=utf-8,%3Csvgxxxxxx… (102 characters) and on"),
        ('{"url": "data:audio/wav;base64,' + "B" * 200 + '"}',
         '{"url": "data:audio/wav;base64,BBBBBBBBBBBB… (200 characters)"}'),
        ("data:text/plain,short", "data:text/plain,short"),
        ("the data: a/b, c", "the data: a/b, c"),
        ("x" * 500, "x" * 500),
    ],
)  # fmt: skip
def test_data_urls_are_cut_to_their_length(text: str, short: str) -> None:
    assert shortened(text) == short


def test_what_a_terminal_is_shown_of_an_export_can_not_steer_it(tmp_path: Path) -> None:
    spec = asked_once(tmp_path, {"id": "a", "gold": "Paris"}, "Where?")
    near, far = pty.openpty()
    command = [sys.executable, "-c", "from themis_core.cli import main; main()"]
    export = ["export", "--what", "trials", "--spec", str(spec), "--to"]
    shown = ""
    for name in ("csv", "jsonl"):
        subprocess.run([*command, *export, name], stdout=far, check=True)
        shown += os.read(near, 100_000).decode()
    os.close(near)
    os.close(far)
    assert shown.count("]52;c;ZXZpbA==") == 2
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    piped = subprocess.run([*command, *export, "csv"], capture_output=True, check=True)
    assert b"\x1b]52;c;" in piped.stdout


CHOSEN: list[tuple[tuple[str, ...], list[tuple[str, str, str]]]] = [
    # options; slice, model and item of the trials that have it
    (("--outcome", "failed", "--model", "m3"), [("all", "m3", "b"), ("rest", "m3", "b")]),
    (("--scored", "right", "--metric", "accuracy"), [("all", "m1", "b"), ("all", "m3", "a"), ("rest", "m3", "only")]),
    (("--scored", "wrong"), [("all", "m1", "a")]),
    (("--scored", "wrong", "--metric", "mine/fragile"), []),
    (("--scored", "unscored"), [("all", "m1", "b")]),
    (("--scored", "unparsed"), []),
    (("--slice", "rest", "--prompt", "plain"), [("rest", "m3", "b"), ("rest", "m3", "only")]),
    (("--where", "sample=0", "--where", "slice=all", "--limit", "1"), [("all", "m1", "a")]),
]


@pytest.mark.parametrize(("options", "expected"), CHOSEN)
def test_trials_are_chosen_by_how_they_ended_and_what_they_are_of(
    spec: Path, options: tuple[str, ...], expected: list[tuple[str, str, str]]
) -> None:
    done = themis("show", "trials", "latest", "--spec", spec, "--format", "json", *options)
    found = [(each["slice_id"], each["model_id"], each["item_id"]) for each in json.loads(done.stdout)["trials"]]
    assert found == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--model", "m9"), "has no model 'm9'. It has: m1, "),
        (("--where", "prompt=x"), "has no prompt 'x'. It has: plain"),
        (("--slice", "x"), "has no slice 'x'. It has: all, rest"),
        (("--metric", "x"), "has no score or metric 'x'. It has: accuracy, "),
    ],
)
@pytest.mark.parametrize("kind", ["trials", "items"])
def test_a_name_that_the_run_does_not_have_is_told(spec: Path, kind: str, options: tuple[str, ...], told: str) -> None:
    done = themis("show", kind, "latest", "--spec", spec, *options)
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


def test_that_nothing_matches_is_said(spec: Path) -> None:
    done = themis("show", "trials", "latest", "--spec", spec, "--scored", "unparsed")
    assert (done.stdout.count("\n"), " matches" in done.stderr) == (1, True)


def test_the_worst_items_come_first(spec: Path) -> None:
    done = themis("show", "items", "latest", "--spec", spec, "--metric", "accuracy", "--limit", "2")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["score", "metric", "item", "mean", "n"],
        ["accuracy", "text/exact_match", "a", "0.5", "2"],
        ["accuracy", "text/exact_match", "b", "1", "1"],
    ]
    only = themis("show", "items", "latest", "--spec", spec, "--model", "m3", "--format", "json")
    assert [(each["score"], each["item_id"], each["mean"]) for each in json.loads(only.stdout)["items"]] == [
        ("accuracy", "a", 1.0),
        ("accuracy", "only", 1.0),
        ("own", "a", 1.0),
        ("own", "only", 1.0),
    ]
    assert themis("show", "items", "latest", "--spec", spec, "--where", "sample=7").stderr == "no scores\n"


def test_a_trial_is_found_by_item_and_model(spec: Path) -> None:
    done = themis("show", "trial", "latest", "a", "--model", "m3", "--spec", spec, "--format", "json")
    assert json.loads(done.stdout)["trial"]["model_id"] == "m3"
    wrong = themis("show", "trial", "latest", "a", "--where", "model", "--spec", spec)
    assert (wrong.exit_code, wrong.stderr) == (
        2, "Error: --where 'model': write NAME=VALUE, such as metadata.category=sums\n",
    )  # fmt: skip
    none = themis("show", "trial", "latest", "a", "--model", "m9", "--spec", spec)
    assert none.exit_code == 2
    assert "with model 'm9' has the item 'a'" in none.stderr


def test_runs_say_what_is_new_in_each_against_the_one_before(spec: Path) -> None:
    slices = [{"slice_id": "new", "dataset": yaml.safe_load(spec.read_text())["benchmark"]["slices"][0]["dataset"],
               "generation": {}, "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}]}]  # fmt: skip
    changed = yaml.safe_load(spec.read_text())
    changed["benchmark"] |= {"slices": [*changed["benchmark"]["slices"], *slices], "num_samples": 2}
    del changed["benchmark"]["models"][1]
    changed["benchmark"]["slices"][0]["generation"]["models"] = ["m1", "m3"]
    later = spec.with_name("later.yaml")
    later.write_text(yaml.safe_dump(changed))
    done = themis("run", later, "--quiet", "--limit", "1")
    assert done.exit_code == 5, done.output
    runs = json.loads(themis("runs", "--spec", spec, "--format", "json").stdout)["runs"]
    what = (
        "model m2 removed, slice all changed (dataset_query, generation), slice rest changed (dataset_query), "
        "slice new added, num_samples 2 instead of 1"
    )
    assert [each["new"] for each in runs] == [
        f"{what}, 1 item of all instead of 2, 1 item of rest instead of 2",
        None,
    ]
