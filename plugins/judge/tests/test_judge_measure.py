"""`themis judge measure` from the spec to what it prints, with a judge of the tests' own over a scripted server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from themis_core import SpecError
from themis_core.cli import cli
from themis_core.testing.server import ScriptedServer
from themis_intervals import shown
from themis_labels.agreement import Estimate, Rate, alpha, kappa
from themis_labels.calibration import corrected_mean, corrected_share
from themis_labels.labelled import Judged, JudgeScores, Labels
from themis_labels.measure import _check_range, _measured

PLUGIN = '''
from pydantic import Field

from themis_core import Judge, JudgeRequest, Score, hookimpl


class Asking(Judge):
    """Asks one line per repeat and order; a verdict is a number, alone."""

    highest = None

    tries: int = Field(1, description="How often.")
    orders: tuple[str, ...] = Field(("ab",), description="Which.")

    def _asked(self):
        return [(k, order) for order in self.orders for k in range(self.tries)]

    def requests(self, judged):
        lines = [f"{judged.value} {k} {order}" for k, order in self._asked()]
        return [JudgeRequest([{"role": "user", "content": line}]) for line in lines]

    def score(self, judged, replies):
        verdicts = []
        for (k, order), reply in zip(self._asked(), replies, strict=True):
            try:
                value, reason = float(reply.generation.text), None
            except ValueError:
                value, reason = None, "no_verdict"
            verdicts.append({"judge": reply.model_id, "repeat": k, "order": order, "value": value, "reason": reason})
        return Score(verdicts[0]["value"], verdicts[0]["reason"], details={"verdicts": verdicts})


@hookimpl
def themis_register_judges(register):
    register("asking", Asking)
'''


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in args], prog_name="themis")


def measured(*args: object) -> dict[str, Any]:
    done = themis("judge", "measure", *args, "--format", "json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


class Bench:
    """A spec of labelled recorded outputs and of a model's answers without labels, both judged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.verdicts: dict[str, str] = {}
        self.labelled: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def label(self, name: str, label: Any, verdict: str, output: str | None = None) -> None:
        """A recorded output with its human label, and what the judge says of it."""
        self.labelled.append({"id": name, "output": name if output is None else output, "human": label})
        self.verdict(name, verdict)

    def ask(self, name: str, verdict: str) -> None:
        """An item without a label; the model's answer is its question."""
        self.asked.append({"id": name, "q": name})
        self.verdict(name, verdict)

    def verdict(self, answer: str, verdict: str, asked: str = "0 ab") -> None:
        self.verdicts[f"{answer} {asked}"] = verdict

    def script(self) -> dict[str, Any]:
        rows = [{"prompt": prompt, "output": output} for prompt, output in self.verdicts.items()]
        answers = [{"prompt": each["q"], "output": each["q"]} for each in self.asked]
        return {"answers": {"rule": "table", "rows": [*rows, *answers]}}

    def write(self, server: ScriptedServer, config: dict[str, Any] | None = None, **change: Any) -> Path:
        endpoint = {"provider": "openai/chat", "extras": {"base_url": server.base_url}}
        judge = {"id": "mine/asking", "config": config or {}, "judge": {"model": {"model_id": "judge-1", **endpoint}}}
        slices = []
        for name, rows in (("labelled", self.labelled), ("asked", self.asked)):
            (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            fields = {"output": "output", "metadata": ["human"]} if name == "labelled" else {}
            dataset = {"source": "files/jsonl", "dataset_id": f"{name}.jsonl", "fields": fields}
            scores = [{"name": "graded", "metrics": [judge]}]
            slices.append({"slice_id": name, "dataset": dataset, "scores": scores})
        slices[1]["generation"] = {}
        benchmark = {
            "benchmark_id": "measure",
            "models": [{"model_id": "small-1", **endpoint}],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "slices": [each for each, rows in zip(slices, (self.labelled, self.asked), strict=True) if rows],
            **change,
        }
        path = self.folder / "spec.json"
        path.write_text(json.dumps({"project": {"plugins": {"mine": "mine.py"}}, "benchmark": benchmark}), "utf-8")
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def binary(bench: Bench) -> Bench:
    """20 + 20 labels: 18 of the right ones found right, 4 of the wrong ones; one more unread, and one empty answer."""
    for number in range(20):
        bench.label(f"r{number}", 1, "1" if number < 18 else "0")
        bench.label(f"w{number}", 0, "1" if number < 4 else "0")
    bench.label("unread", 1, "perhaps")
    bench.label("empty", 1, "1", output="")
    for number in range(50):
        bench.ask(f"a{number}", "1" if number < 30 else "0")
    bench.ask("unreadable", "11 of 10")
    return bench


@pytest.fixture
def server(binary: Bench) -> Iterator[ScriptedServer]:
    with ScriptedServer(binary.script()) as running:
        yield running


def test_binary_labels_give_every_figure_and_the_corrected_score(binary: Bench, server: ScriptedServer) -> None:
    spec = binary.write(server)
    found = measured(spec, "--label", "human")
    pairs = [(1.0, 1.0)] * 18 + [(0.0, 1.0)] * 2 + [(1.0, 0.0)] * 4 + [(0.0, 0.0)] * 16
    sensitivity, specificity = Rate(18, 20, 20), Rate(16, 20, 20)
    nothing = {"prompt_variant_id": "–", "params": "–"}
    (judge,) = found["judges"]
    rows = judge.pop("corrected")
    assert judge == {
        "score": "graded",
        "metric": "mine/asking",
        "component": "mine/asking",
        "slices": ["labelled", "asked"],
        "labelled": 42,
        "n": 40,
        "unscored": {"no_verdict": 2},
        "not_judged": 1,
        "scale": "nominal",
        "binary": True,
        "method": "rogan_gladen",
        "human_mean": 0.5,
        "judge_mean": 22 / 40,
        "accuracy": asdict(Rate(34, 40, 40).estimate()),
        "kappa": asdict(kappa(pairs)),
        "alpha": asdict(alpha(pairs)),
        "sensitivity": asdict(sensitivity.estimate()),
        "specificity": asdict(specificity.estimate()),
        "reliability": [
            {"judge": 0.0, "n": 18, "human": asdict(Rate(2, 18, 18).estimate())},
            {"judge": 1.0, "n": 22, "human": asdict(Rate(18, 22, 22).estimate())},
        ],
        "self_agreement": asdict(Estimate(None)),
        "self_alpha": asdict(Estimate(None)),
        "position_bias": None,
    }
    assert [{**row, **nothing} for row in reversed(rows)] == [
        {
            "slice_id": "labelled", "model_id": "recorded", **nothing, "n": 0, "judge_mean": None,
            "corrected": asdict(Estimate(None)), "human_mean": asdict(Rate(20, 40, 40).estimate()),
            "not_judged": 0, "unscored": 0,  # the two that are have labels
        },
        {
            "slice_id": "asked", "model_id": "small-1", **nothing, "n": 50, "judge_mean": 0.6,
            "corrected": asdict(corrected_share(Rate(30, 50, 50), sensitivity, specificity)),
            "human_mean": asdict(Estimate(None)), "not_judged": 0, "unscored": 1,
        },
    ]  # fmt: skip


def test_measuring_again_asks_nothing(binary: Bench, server: ScriptedServer) -> None:
    spec = binary.write(server)
    first = measured(spec, "--label", "human")
    asked = server.count
    assert asked == 51 + 41 + 51  # answers, judged recorded outputs (the empty one is not), judged answers
    assert measured(spec, "--label", "human", "--no-run") == measured(spec, "--label", "human") == first
    assert server.count == asked


def test_without_a_run_only_what_is_stored_is_read(binary: Bench, server: ScriptedServer) -> None:
    spec = binary.write(server)
    nowhere = themis("judge", "measure", spec, "--label", "human", "--no-run")
    assert (nowhere.exit_code, nowhere.stdout) == (4, "")
    measured(spec, "--label", "human")
    asked = server.count
    other = themis("judge", "measure", binary.write(server, num_samples=2), "--label", "human", "--no-run")
    assert (other.exit_code, other.stdout, server.count) == (2, "", asked)
    assert "which is the run of this spec: leave out --no-run" in other.stderr


def test_the_page_for_people_has_the_same_figures(binary: Bench, server: ScriptedServer) -> None:
    page = themis("judge", "measure", binary.write(server), "--label", "human").stdout
    assert page.splitlines() == [
        "graded/mine/asking (mine/asking), slices: labelled, asked",
        "42 answers have a label, 40 of them a score; of all answers 2 unscored (no_verdict 2), 1 not judged",
        "",
        "figure                          value   95 % interval   n",
        "human mean                     0.5000               –  40",
        "judge mean                     0.5500               –  40",
        "accuracy                       0.8500  [0.709, 0.929]  40",
        "Cohen's kappa, unweighted      0.7000  [0.410, 0.862]  40",
        "Krippendorff's alpha, nominal  0.7030  [0.454, 0.900]  40",
        "sensitivity                    0.9000  [0.699, 0.972]  20",
        "specificity                    0.8000  [0.584, 0.919]  20",
        "",
        "answers without a label, corrected by Rogan and Gladen's estimate, Lang and Reiczigel's interval:",
        "slice  model    prompt  params    judge  corrected   95 % interval   n  not judged  unscored",
        "asked  small-1  plain   default  0.6000     0.5714  [0.302, 0.842]  50           0         1",
    ]


def test_grades_get_weighted_figures_and_a_prediction_powered_mean(bench: Bench) -> None:
    pairs = [(k % 5, min(4, k % 5 + (k % 3 == 0))) for k in range(30)]
    for number, (judge, human) in enumerate(pairs):
        bench.label(f"l{number}", f"grade {human}", str(judge))
    for number in range(20):
        bench.ask(f"a{number}", str(number % 5))
    with ScriptedServer(bench.script()) as server:
        texts = [each for grade in range(5) for each in ("--label-value", f"grade {grade}={grade}")]
        spec = bench.write(server)
        (graded,) = measured(spec, "--label", "human", *texts)["judges"]
        (cut,) = measured(spec, "--label", "human", *texts, "--threshold", 2)["judges"]
        (ordinal,) = measured(spec, "--label", "human", *texts, "--scale", "ordinal")["judges"]
    floats = [(float(a), float(b)) for a, b in pairs]
    assert (graded["binary"], graded["scale"], graded["method"]) == (False, "interval", "prediction_powered")
    assert graded["kappa"] == asdict(kappa(floats, "interval"))
    assert ordinal["kappa"] == asdict(kappa(floats, "ordinal"))
    assert graded["sensitivity"] == asdict(Estimate(None))
    assert graded["corrected"][0]["corrected"] == asdict(corrected_mean([0.0, 1.0, 2.0, 3.0, 4.0] * 4, floats))
    halves = [(float(a >= 2), float(b >= 2)) for a, b in pairs]
    assert (cut["binary"], cut["method"], cut["kappa"]) == (True, "rogan_gladen", asdict(kappa(halves)))
    assert cut["human_mean"] == sum(b for _, b in halves) / 30


def test_repeats_and_orders_give_self_agreement_and_position_bias(bench: Bench) -> None:
    # Four answers in two tries and two orders. First try: r is right in both, w wrong in both, f and g right only when
    # shown first. Second try: the same, but for w, which is then right when shown first.
    first = {"r": ("1", "1"), "w": ("0", "0"), "f": ("1", "0"), "g": ("1", "0")}
    for name, (ab, ba) in first.items():
        bench.label(name, int(name in "rg"), ab)
        bench.verdict(name, ba, "0 ba")
        bench.verdict(name, "1" if name == "w" else ab, "1 ab")
        bench.verdict(name, ba, "1 ba")
    with ScriptedServer(bench.script()) as server:
        spec = bench.write(server, {"tries": 2, "orders": ["ab", "ba"]})
        (judge,) = measured(spec, "--label", "human")["judges"]
        page = themis("judge", "measure", spec, "--label", "human").stdout
    assert judge["self_agreement"] == asdict(Rate(7, 8, 4).estimate())  # eight questions about four items
    assert judge["position_bias"] == {
        "n": 4, "consistent": 1 / 4, "first": 3, "second": 0, "bias": 5 / 8, "p": pytest.approx(2 / 8),
    }  # fmt: skip
    assert page.splitlines()[-5:] == [
        "alpha of repeats               0.7619               –  8",
        "",
        "position: 4 questions in both orders, 0.2500 consistent; 3 favour the first place, 0 the second (p = 0.2500)",
        "",
        "every scored answer has a label: there is nothing to correct",
    ]


def test_a_mapping_labels_each_models_answer(bench: Bench) -> None:
    for number in range(6):
        bench.ask(f"a{number}", str(number % 2))
        bench.asked[-1]["human"] = {"small-1": int(number > 2), "small-2": None}
    with ScriptedServer(bench.script()) as server:
        endpoint = {"provider": "openai/chat", "extras": {"base_url": server.base_url}}
        models = [{"model_id": name, **endpoint} for name in ("small-1", "small-2")]
        (judge,) = measured(bench.write(server, models=models), "--label", "human")["judges"]
        assert (judge["n"], [(row["model_id"], row["n"]) for row in judge["corrected"]]) == (
            6, [("small-1", 0), ("small-2", 6)],
        )  # fmt: skip
        for row in bench.asked:
            row["human"] = 1
        both = themis("judge", "measure", bench.write(server, models=models), "--label", "human")
    assert both.exit_code == 2
    assert both.stderr.startswith(
        "Error: slice asked, item 'a0': 'human' is one label, but there is more than one answer"
    )
    assert "write a mapping from model id to label" in both.stderr


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([1, 0, 1], [], "no item has a label in 'label': name the field or metadata with the human label by --label. "),
        ([1, 0, 1], [], "The items have: human, id\n"),
        ([None, None], ["--label", "human"], "no item has a label in 'human'"),
        ([1, 1], ["--label", "human"], "all labels are 1: agreement beyond chance needs answers that people scored"),
        ([3, 4, 5], ["--label", "human", "--threshold", "2"], "all labels are on one side of 2"),
        ([1, "good"], ["--label", "human"], "slice labelled, item 'l1': the label in 'human' is 'good', which is no"),
        ([1, "good"], ["--label", "human"], "number. Say what it counts as, such as --label-value 'good'=1\n"),
        ([1, [1]], ["--label", "human"], "item 'l1': the label in 'human' is '[1]', which is no number.\n"),
        ([1, "nan"], ["--label", "human"], "the label in 'human' is 'nan', which is no number"),
        ([1, 0], ["--label-value", "good=nan"], "--label-value good=nan: write it as label=number"),
        ([1, 0], ["--label-value", "good"], "--label-value good: write it as label=number, such as good=1\n"),
    ],
)
def test_labels_that_teach_nothing_are_said(bench: Bench, labels: list[Any], options: list[str], message: str) -> None:
    for number, label in enumerate(labels):
        bench.label(f"l{number}", label, "1")
    with ScriptedServer(bench.script()) as server:
        done = themis("judge", "measure", bench.write(server), *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def rewritten(spec: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    data = json.loads(spec.read_text("utf-8"))
    change(data["benchmark"]["slices"])
    spec.write_text(json.dumps(data), "utf-8")
    return spec


def test_a_run_without_a_judge_has_nothing_to_measure(bench: Bench) -> None:
    def without(slices: list[dict[str, Any]]) -> None:
        slices[0]["scores"] = [{"name": "n", "metrics": ["text/exact_match"]}]

    bench.label("l0", 1, "1")
    with ScriptedServer(bench.script()) as server:
        done = themis("judge", "measure", rewritten(bench.write(server), without), "--label", "human")
    assert done.exit_code == 2
    assert "has no score by a judge: give a metric of the spec a `judge`" in done.stderr


def test_a_trial_in_two_slices_is_not_measured_twice(bench: Bench) -> None:
    bench.label("l0", 1, "1")
    with ScriptedServer(bench.script()) as server:
        spec = rewritten(bench.write(server), lambda slices: slices.append({**slices[0], "slice_id": "again"}))
        done = themis("judge", "measure", spec, "--label", "human")
    assert done.exit_code == 2
    assert "slices again and labelled have trials in common: measure them in specs of their own" in done.stderr


def test_judges_that_differ_in_config_or_model_are_measured_apart_and_names_are_shown_safely(bench: Bench) -> None:
    bench.label("l0", 1, "1")
    bench.label("l1", 0, "1")

    def several(slices: list[dict[str, Any]]) -> None:
        (metric,) = slices[0]["scores"][0]["metrics"]
        other = {**metric["judge"], "params": {"temperature": 0.5}}
        named = [{**metric, "name": "a\x1b[2J"}, {**metric, "name": "b", "judge": other}]
        slices[0]["scores"] = [{"name": "graded", "metrics": named}]

    with ScriptedServer(bench.script()) as server:
        page = themis("judge", "measure", rewritten(bench.write(server), several), "--label", "human").stdout
    assert [line for line in page.splitlines() if "slices:" in line] == [
        "graded/a\\x1b[2J (mine/asking), slices: labelled",
        "graded/b (mine/asking), slices: labelled",
    ]


def test_the_judges_of_the_plugin_are_measured_by_the_verdicts_they_leave(tmp_path: Path) -> None:
    # Correctness finds three of four good answers right and every bad one wrong; the comparison always names A.
    answers = {"g1": "Good.", "g2": "Good.", "g3": "Good.", "g4": "Fine.", "b1": "Bad.", "b2": "Bad.", "b3": "Bad."}
    rows = [
        {"id": name, "q": "How?", "gold": "Good.", "output": text, "other": "So so.", "human": int(name[0] == "g")}
        for name, text in answers.items()
    ]
    fields = {"id": "id", "reference": "gold", "output": "output", "metadata": ["human"]}
    says = "So it is.\nVERDICT-{marker}: "
    script = {
        "rule": "judge",
        "find": {"marker": "(?s).*VERDICT-([0-9a-f]{10})"},
        "rows": [
            {"pattern": "<answer-a-", "output": f"{says}A"},
            {"pattern": r"<answer-[0-9a-f]{10}>\nGood", "output": f"{says}CORRECT"},
        ],
        "output": f"{says}INCORRECT",
    }
    with ScriptedServer({"answers": script}) as server:
        model = {"model_id": "judge-1", "provider": "openai/chat", "extras": {"base_url": server.base_url}}
        judge = {"model": model, "repeats": 2}
        metrics = [
            {"id": "judge/correctness", "config": {"question": "{{ item.q }}"}, "judge": judge},
            {"id": "judge/pairwise", "config": {"question": "{{ item.q }}", "field": "other"}, "judge": judge},
        ]
        dataset = {"source": "files/inline", "fields": fields, "extras": {"rows": rows}}
        only = {"slice_id": "s", "dataset": dataset, "scores": [{"name": "judged", "metrics": metrics}]}
        plain = {"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}
        spec = tmp_path / "spec.json"
        benchmark = {"benchmark_id": "b", "prompt_variants": [plain], "slices": [only]}
        spec.write_text(json.dumps({"benchmark": benchmark}), "utf-8")
        correctness, pairwise = measured(spec, "--label", "human")["judges"]
    pairs = [(1.0, 1.0)] * 3 + [(0.0, 1.0)] + [(0.0, 0.0)] * 3
    assert (correctness["n"], correctness["kappa"]) == (7, asdict(kappa(pairs)))
    assert correctness["sensitivity"] == asdict(Rate(3, 4, 4).estimate())
    assert correctness["self_agreement"] == asdict(Rate(7, 7, 7).estimate())
    assert (pairwise["judge_mean"], pairwise["binary"], pairwise["self_agreement"]["n"]) == (0.5, False, 14)
    assert pairwise["position_bias"] == {
        "n": 7, "consistent": 0.0, "first": 7, "second": 0, "bias": 1.0, "p": pytest.approx(2 / 2**7),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("label", "lowest", "highest", "message"),
    [
        (0.0, 0.0, 1.0, None), (1.0, 0.0, 1.0, None), (0.25, 0.0, 1.0, None), (None, 0.0, 1.0, None),
        (4.0, 0.0, None, None), (-7.0, None, None, None), (5.0, 1.0, 5.0, None),
        (4.0, 0.0, 1.0, "0 to 1: say what each label counts as, such as --label-value 4=1"),
        (100.0, 0.0, 1.0, "such as --label-value 100=1"),
        (-1.0, 0.0, 1.0, "such as --label-value -1=0"),
        (0.0, 1.0, 5.0, "1 to 5: say what each label counts as, such as --label-value 0=1"),
        (-1.0, 0.0, None, "0 to inf: say what"),
        (2.0, None, 1.0, "-inf to 1: say what"),
    ],
)  # fmt: skip
def test_labels_on_another_scale_than_the_scores_are_refused(
    label: float | None, lowest: float | None, highest: float | None, message: str | None
) -> None:
    judged = Judged(("s", "m", "v", "default"), "l0", 1.0, None, True, label, ())
    judge = JudgeScores("graded", "judge/scale", "judge/scale", ["s"], [judged], lowest, highest)
    if message is None:
        _check_range(judge)
        return
    with pytest.raises(SpecError) as refused:
        _check_range(judge)
    assert message in refused.value.message
    assert "item 'l0': the label " in refused.value.message


@pytest.mark.parametrize(
    ("label", "number"), [("4", 1.0), (4, 1.0), (4.0, 1.0), ("good", 0.5), (2, 2.0), ("2", 2.0), (0.5, 0.25)]
)
def test_label_values_hold_for_numbers_too(label: Any, number: float) -> None:
    assert Labels("human", {"4": 1.0, "good": 0.5, "0.5": 0.25}).number(label, "here") == number


@pytest.mark.parametrize(
    ("kind", "rest", "labelled", "scale"),
    [
        # judge and human of the labelled answers; what the judge gives the others
        ("too kind", [0.1, 0.5], [(0.9, 0.5), (1.0, 0.4), (0.8, 0.6)], (0.0, 1.0)),
        ("too strict", [0.9, 0.5], [(0.1, 0.5), (0.0, 0.6), (0.2, 0.4)], (0.0, 1.0)),
        ("all alike", [0.5], [(0.5, 0.75)], (0.0, 1.0)),
        ("never differs", [0.5, 1.0], [(0.5, 0.5), (0.25, 0.25)], (0.0, 1.0)),
        ("grades", [4.0, 5.0], [(3.0, 5.0), (4.0, 5.0), (5.0, 5.0)], (1.0, 5.0)),
        ("binary", [0.0], [(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)], (0.0, 1.0)),
        ("binary, contradicted", [0.0] * 30, [(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)] * 8, (0.0, 1.0)),
    ],
)  # fmt: skip
def test_every_interval_lies_within_its_range_and_has_a_width(
    kind: str, rest: list[float], labelled: list[tuple[float, float]], scale: tuple[float, float]
) -> None:
    answer = ("s", "m", "v", "default")
    judged = [
        Judged(answer, f"l{place}", value, None, True, label, ()) for place, (value, label) in enumerate(labelled * 5)
    ] + [Judged(answer, f"r{place}", value, None, True, None, ()) for place, value in enumerate(rest * 5)]
    found = _measured(JudgeScores("graded", "judge/x", "judge/x", ["s"], judged, *scale), None)
    (row,) = found.corrected
    told = [
        (row.corrected, scale), (row.human_mean, scale), (found.accuracy, (0, 1)), (found.kappa, (-1, 1)),
        (found.alpha, (-1, 1)), (found.sensitivity, (0, 1)), (found.specificity, (0, 1)),
    ]  # fmt: skip
    for figure, (lowest, highest) in told:
        if figure.low is not None and figure.high is not None:
            assert figure.value is not None
            assert lowest <= figure.low <= figure.value <= figure.high <= highest
            assert figure.low < figure.high
            low, high = map(float, shown(figure.low, figure.high).strip("[]").split(","))
            assert low < high
    assert row.corrected.value is not None
    assert scale[0] <= row.corrected.value <= scale[1]
    assert (row.corrected.low is None) is (kind in ("all alike", "never differs", "binary, contradicted"))
    assert row.human_mean.low is not None or len({label for _, label in labelled}) == 1
