"""What a component returns or raises wrongly costs its own score or trial only; what can be made plain is.

Each table is one run of many cases side by side, in the same commits as good answers, and the same run once more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import (
    Capabilities,
    Engine,
    EngineError,
    ExecutionPolicySpec,
    Extraction,
    Extractor,
    Generation,
    Item,
    Metric,
    Request,
    Score,
    Usage,
)
from themis_core.execution import Endpoint
from themis_core.execution.scoring import here, measuring, reading
from themis_core.plugins import Chain, Scorer
from themis_costs import Budget
from themis_interrupts import Interrupted as CtrlC

PLUGIN = """
import asyncio
import enum
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from themis_core import (
    Capabilities, Engine, EngineError, Extraction, Extractor, Generation, Judge, JudgeRequest, Metric, Score, Usage,
    hookimpl,
)

CALLS = Path(__file__).with_name("calls.txt")
DEEP = []
for _ in range(100_000):
    DEEP = [DEEP]
RING = {}
RING["ring"] = RING
ASKED = [{"role": "user", "content": "G('answered', text='a verdict')"}]
G = Generation


class Single(float):  # as NumPy's numbers: no plain float, and JSON has its own ideas of it
    def __repr__(self):
        return "Single"


class Word(enum.StrEnum):
    CUT = "cut"


class Mute(Exception):
    def __str__(self):
        return 5


class Bare(EngineError):
    def __init__(self):
        pass


class Exit(BaseException):
    pass


class Endless:
    def __iter__(self):
        while True:
            yield JudgeRequest(ASKED)


def throw(error):
    raise error


class OddEngine(Engine):
    async def generate(self, request):
        with CALLS.open("a") as file:
            print(request.item_id, file=file)
        await asyncio.sleep(0)
        return eval(request.messages[-1]["content"])


class OddLocal(OddEngine):
    capabilities = Capabilities(local=True)


class OddExtractor(Extractor):
    returns: str

    def extract(self, text):
        return eval(self.returns)


class OddMetric(Metric):
    lowest = highest = None
    returns: str = "Score(1.0)"

    def score(self, item, generation, value):
        return eval(self.returns)


class Seen(Metric):
    def score(self, item, generation, value):
        return Score(1.0, details={"seen": value})


class OddJudge(Judge):
    asks: str = "[JudgeRequest(ASKED)]"
    again_: str = "None"
    returns: str = "Score(1.0)"

    def requests(self, judged):
        return eval(self.asks)

    def again(self, judged, reply):
        return eval(self.again_)

    def score(self, judged, replies):
        return eval(self.returns)


@hookimpl
def themis_register_engines(register):
    register("engine", OddEngine)
    register("local", OddLocal)


@hookimpl
def themis_register_extractors(register):
    register("extractor", OddExtractor)


@hookimpl
def themis_register_metrics(register):
    register("metric", OddMetric)
    register("seen", Seen)


@hookimpl
def themis_register_judges(register):
    register("judge", OddJudge)
"""

GOOD = "G('answered', text='good')"


class Case:
    """A folder with the plugin and one spec, that is run twice."""

    def __init__(
        self, folder: Path, said: Iterable[str] = (GOOD,), scores: Iterable[dict[str, Any]] = (),
        parses: Iterable[dict[str, Any]] = (), provider: str = "odd/engine",
    ) -> None:  # fmt: skip
        (folder / "odd.py").write_text(PLUGIN, encoding="utf-8")
        rows = [{"id": f"i{number}", "say": say} for number, say in enumerate(said)]
        one = {
            "slice_id": "s",
            "dataset": {"source": "files/inline", "extras": {"rows": rows}},
            "generation": {},
            "parses": list(parses),
            "scores": list(scores) or [{"name": "plain", "metrics": ["odd/metric"]}],
        }
        spec = {
            "project": {
                "plugins": {"odd": "odd.py"},
                "execution_policy": {"max_retries": 0, "breaker_failures": 1000, "tokens_per_minute": 10**9},
            },
            "benchmark": {
                "benchmark_id": "b",
                "models": [{"model_id": "m", "provider": provider, "price": {"input_per_million": 1.0,
                                                                              "output_per_million": 1.0}}],
                "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.say }}"}]}],
                "slices": [one],
            },
        }  # fmt: skip
        self.spec = folder / "spec.json"
        self.spec.write_text(json.dumps(spec), encoding="utf-8")
        self.calls: list[list[str]] = []
        self.results = [self._run(folder / "calls.txt"), self._run(folder / "calls.txt")]

    def _run(self, calls: Path) -> themis.RunResult:
        calls.write_text("")
        result = themis.run(self.spec)
        self.calls.append(calls.read_text().split())
        return result

    def scores(self) -> dict[str, dict[str, Any]]:
        """What the store has of the only trial's scores, by name."""
        with themis.open_results(self.spec) as results:
            (run,) = results.runs()
            (row,) = results.trials(run.run_id)
            return {each["score"]: each for each in results.trial(run.run_id, row.trial_id)["scores"]}

    def turns(self) -> dict[str, dict[str, Any]]:
        """What the store has of each item's generation."""
        with themis.open_results(self.spec) as results:
            (run,) = results.runs()
            trials = list(results.trials(run.run_id))
            return {row.item_id: results.trial(run.run_id, row.trial_id)["turns"][0]["generation"] for row in trials}


# --- scores -------------------------------------------------------------------------------------------------

SCORES: list[tuple[str, float | None, list[float], str]] = [
    # what a metric does, the value, the parts, and the reason or what its error says
    ("Score(Single(0.5))", 0.5, [], ""),
    ("Score(Fraction(1, 2))", 0.5, [], ""),
    ("Score(Decimal('0.25'))", 0.25, [], ""),
    ("Score(True)", 1.0, [], ""),
    ("Score(3)", 3.0, [], ""),
    ("Score(0.5, parts=(Single(0.5), Fraction(1, 4), 3, True))", 0.5, [0.5, 0.25, 3, 1.0], ""),
    ("Score(0.5, parts=[1, 2.5])", 0.5, [1, 2.5], ""),
    ("Score(0.5, parts=(10**300,))", 0.5, [1e300], ""),
    ("Score(0.5, details={1: (2, 3)})", 0.5, [], ""),
    ("Score(reason=Word.CUT)", None, [], "cut"),
    ("Score()", None, [], "no_value"),
    ("Score(10**300)", None, [], "not_finite"),
    ("Score(-10**400)", None, [], "not_finite"),
    ("Score(10**5000)", None, [], "not_finite"),
    ("Score(Decimal('NaN'))", None, [], "not_finite"),
    ("Score(0.5, parts=(math.inf,))", None, [], "not_finite"),
    ("Score(0.5, parts=(10**400,))", None, [], "not_finite"),
    ("Score('0.5')", None, [], "TypeError: Score.value is of type str, not a number"),
    ("Score(0.5j)", None, [], "TypeError: Score.value is of type complex, not a number"),
    ("Score(Decimal('sNaN'))", None, [], "ValueError: "),
    ("Score(reason=5)", None, [], "TypeError: Score.reason is of type int, not a str"),
    ("Score(0.5, parts=5)", None, [], "TypeError: Score.parts is of type int, not a tuple of numbers"),
    ("Score(0.5, parts={1.0})", None, [], "TypeError: Score.parts is of type set, not a tuple of numbers"),
    ("Score(0.5, parts=('1',))", None, [], "TypeError: a number in Score.parts is of type str, not a number"),
    ("Score(0.5, details=['x'])", None, [], "TypeError: Score.details is of type list, not a dict"),
    ("Score(0.5, details=None)", None, [], "TypeError: Score.details is None, not a dict"),
    ("Score(0.5, details={'a': {1}})", None, [], "TypeError: Score.details holds what JSON can't say"),
    ("Score(0.5, details={'a': math.nan})", None, [], "TypeError: Score.details holds what JSON can't say"),
    ("Score(0.5, details={'a': 10**5000})", None, [], "TypeError: Score.details holds what JSON can't say"),
    ("Score(reason='none', details={'a': {1}})", None, [], "TypeError: Score.details holds what JSON can't say"),
    ("Score(0.5, details={'a': DEEP})", None, [], "TypeError: Score.details holds what JSON can't say"),
    ("Score(0.5, details=RING)", None, [], "TypeError: Score.details holds what JSON can't say"),
    ("0.5", None, [], "TypeError: it returned float, not a Score"),
    ("throw(SystemExit(3))", None, [], "SystemExit: 3"),
    ("throw(GeneratorExit())", None, [], "GeneratorExit: "),
    ("throw(asyncio.CancelledError('mine'))", None, [], "CancelledError: mine"),
    ("throw(BaseExceptionGroup('all', [Exit()]))", None, [], "BaseExceptionGroup: all"),
    ("throw(Exit('now'))", None, [], "Exit: now"),
    ("throw(Mute())", None, [], "Mute"),
]


def table_of(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [pytest.param(f"c{number}", *row[1:], id=row[0]) for number, row in enumerate(rows)]


def metrics(component: str, configs: Iterable[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"name": f"c{number}", "metrics": [{"id": component, "config": config, **more}]}
        for number, config in enumerate(configs)
    ]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Case:
    scores = metrics("odd/metric", ({"returns": row[0]} for row in SCORES))
    return Case(tmp_path_factory.mktemp("scores"), scores=scores)


def check_score(case: Case, name: str, value: float | None, parts: list[float], says: str) -> None:
    result = case.scores()[name]["result"]
    found = (result["value"], list(result["parts"]), result["reason"])
    if result["reason"] == "metric_error":
        assert result["details"]["error"].startswith(says)
        assert (found, bool(says)) == ((value, parts, "metric_error"), True)
    else:
        assert found == (value, parts, says or None)


@pytest.mark.parametrize(("name", "value", "parts", "says"), table_of(SCORES))
def test_what_a_metric_returns_wrongly_costs_its_own_score(
    scored: Case, name: str, value: float | None, parts: list[float], says: str
) -> None:
    check_score(scored, name, value, parts, says)


def test_a_run_with_odd_scores_is_complete_and_is_not_done_again(scored: Case) -> None:
    assert [each.status for each in scored.results] == ["completed", "completed"]
    assert [each.generated for each in scored.results] == [1, 0]
    assert scored.calls == [["i0"], []]


class Interrupted(Metric, Extractor):
    error: Any

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        raise self.error

    def extract(self, text: str) -> Extraction:
        raise self.error


@pytest.mark.parametrize("error", [CtrlC(), BaseExceptionGroup("all", [ValueError(), CtrlC()])])
def test_ctrl_c_while_a_component_works_is_no_fault_of_its_own(error: BaseException) -> None:
    component = Interrupted(error=error)
    chain = Chain("number", (), (("mine/first", component),), {})
    scorer = Scorer("accuracy", "mine/first", "mine/first", component, None, None, None, "")
    with pytest.raises(type(error)):
        here(measuring(scorer, Item("i", {}), Generation("answered"), None))
    with pytest.raises(type(error)):
        here(reading(chain, Generation("answered")))


# --- extractions --------------------------------------------------------------------------------------------

EXTRACTIONS: list[tuple[str, Any, str]] = [
    # what an extractor does, what the metric sees, and the reason or what its error says
    ("Extraction(Word.CUT)", "cut", ""),
    ("Extraction((1, [2.5, None]))", [1, [2.5, None]], ""),
    ("Extraction(10**400)", 10**400, ""),
    ("Extraction(reason=Word.CUT)", None, "cut"),
    ("Extraction(10**5000)", None, "TypeError: Extraction.value holds what JSON can't say"),
    ("Extraction({1})", None, "TypeError: Extraction.value holds what JSON can't say"),
    ("Extraction(math.nan)", None, "TypeError: Extraction.value holds what JSON can't say"),
    ("Extraction(b'x')", None, "TypeError: Extraction.value holds what JSON can't say"),
    ("Extraction(DEEP)", None, "TypeError: Extraction.value holds what JSON can't say"),
    ("Extraction(reason=5)", None, "TypeError: Extraction.reason is of type int, not a str"),
    ("None", None, "TypeError: it returned None, not an Extraction"),
    ("Score(1.0)", None, "TypeError: it returned Score, not an Extraction"),
    ("throw(SystemExit(3))", None, "SystemExit: 3"),
    ("throw(asyncio.CancelledError('mine'))", None, "CancelledError: mine"),
    ("throw(Mute())", None, "Mute"),
]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Case:
    parses = [
        {"name": f"p{number}", "extractors": [{"id": "odd/extractor", "config": {"returns": row[0]}}]}
        for number, row in enumerate(EXTRACTIONS)
    ]
    scores = [
        {"name": f"c{number}", "parse": f"p{number}", "metrics": ["odd/seen"]} for number in range(len(EXTRACTIONS))
    ]
    return Case(tmp_path_factory.mktemp("extractions"), scores=scores, parses=parses)


@pytest.mark.parametrize(("name", "value", "says"), table_of(EXTRACTIONS))
def test_what_an_extractor_returns_wrongly_costs_its_own_extraction(
    extracted: Case, name: str, value: Any, says: str
) -> None:
    score = extracted.scores()[name]
    extraction, result = score["extraction"], score["result"]
    if value is not None:
        assert (extraction, result["details"]) == ({"value": value, "reason": None}, {"seen": value})
    elif says == "cut":
        assert extraction == {"value": None, "reason": says}
    else:
        assert (extraction, result["reason"]) == (None, "extractor_error")
        assert result["details"] == {
            "component": "odd/extractor",
            "method": "extract",
            "error": result["details"]["error"],
        }
        assert result["details"]["error"].startswith(says)
    assert result["value"] == (1.0 if value is not None else 0.0 if says == "cut" else None)


def test_a_run_with_odd_extractions_is_complete_and_is_not_done_again(extracted: Case) -> None:
    assert [each.status for each in extracted.results] == ["completed", "completed"]
    assert extracted.calls == [["i0"], []]


# --- generations --------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Generation]] = [
    # what an engine does, and what is stored of it beside the latency
    (GOOD, Generation("answered", "good")),
    ("G('answered', text=Word.CUT, finish_reason=Word.CUT)", Generation("answered", "cut", finish_reason="cut")),
    ("G('answered', text='x', alternatives=['y', Word.CUT])", Generation("answered", "x", alternatives=("y", "cut"))),
    ("G('answered', text='', usage=Usage(12, 0), cost=Single(9))",
     Generation("answered", "", usage=Usage(12, 0), cost=12 / 1e6)),
    ("G('answered', text='x', tool_calls=[{'name': 'f'}], logprobs=[{'token': 't', 'logprob': -0.5}])",
     Generation("answered", "x", tool_calls=({"name": "f"},), logprobs=({"token": "t", "logprob": -0.5},))),
]  # fmt: skip

NO_ANSWERS: list[tuple[str, str, str]] = [
    # what an engine does, the code, and the beginning of what is told
    ("None", "engine_error", "TypeError: it returned None, not a Generation"),
    ("{'text': 'x'}", "engine_error", "TypeError: it returned dict, not a Generation"),
    ("G('ok', text='x')", "engine_error", "ValueError: Generation.status is 'ok', not one of absent, answered, "),
    ("G([], text='x')", "engine_error", "TypeError: unhashable type: 'list'"),
    ("G('answered', text=b'x')", "engine_error", "TypeError: Generation.text is of type bytes, not a str"),
    ("G('answered', text=None)", "engine_error", "TypeError: Generation.text is None, not a str"),
    ("G('answered', finish_reason=5)", "engine_error", "TypeError: Generation.finish_reason is of type int"),
    ("G('answered', reasoning=['a'])", "engine_error", "TypeError: Generation.reasoning is of type list"),
    ("G('refused', refusal={})", "engine_error", "TypeError: Generation.refusal is of type dict"),
    ("G('answered', alternatives=({1, 2},))", "engine_error", "TypeError: one of Generation.alternatives is of"),
    ("G('answered', alternatives={'a'})", "engine_error", "TypeError: Generation.alternatives is of type set"),
    ("G('answered', alternatives=None)", "engine_error", "TypeError: Generation.alternatives is None"),
    ("G('answered', tool_calls=('f',))", "engine_error", "TypeError: one of Generation.tool_calls is of type str"),
    ("G('answered', tool_calls=({'f': {1}},))", "engine_error", "TypeError: Generation.tool_calls holds what JSON"),
    ("G('answered', logprobs=({'logprob': math.nan},))", "engine_error", "TypeError: Generation.logprobs holds what"),
    ("G('answered', provider=None)", "engine_error", "TypeError: Generation.provider is None, not a dict"),
    ("G('answered', provider={'raw': object()})", "engine_error", "TypeError: Generation.provider holds what JSON"),
    ("G('answered', usage=None)", "engine_error", "TypeError: Generation.usage is None, not a Usage"),
    ("G('answered', usage=Usage('12', 3))", "engine_error", "TypeError: Generation.usage.input_tokens is of type str"),
    ("G('answered', usage=Usage(12.5, 3))", "engine_error", "TypeError: Generation.usage.input_tokens is of"),
    ("G('answered', usage=Usage(12, True))", "engine_error", "TypeError: Generation.usage.output_tokens is of"),
    ("G('answered', usage=Usage(12, -1))", "engine_error", "ValueError: Generation.usage.output_tokens is no count"),
    ("G('answered', usage=Usage(10**5000, 1))", "engine_error", "ValueError: Generation.usage.input_tokens is no"),
    ("G('answered', cost=math.nan)", "engine_error", "ValueError: Generation.cost is nan, not a finite number"),
    ("G('answered', cost='1')", "engine_error", "TypeError: Generation.cost is of type str, not a number"),
    ("G('answered', latency_s=-1.0)", "engine_error", "ValueError: Generation.latency_s is -1.0, not a finite"),
    ("G('answered', attempts='1')", "engine_error", "TypeError: Generation.attempts is of type str, not an int"),
    ("throw(EngineError('bad_request', 'x', retry_after=10**400, status=400))", "bad_request", "x"),
    ("throw(EngineError(Word.CUT, Word.CUT))", "cut", "cut"),
    ("throw(EngineError(5, 'x'))", "engine_error", "TypeError: EngineError.code is of type int, not a str; the engine"),
    ("throw(EngineError('server_error', b'x'))", "engine_error", "TypeError: EngineError.message is of type bytes"),
    ("throw(EngineError('server_error', 'x', retryable=True, retry_after='5'))", "engine_error",
     "TypeError: EngineError.retry_after is of type str, not a number"),
    ("throw(EngineError('server_error', 'x', retryable='no'))", "engine_error",
     "TypeError: EngineError.retryable is of type str, not a bool"),
    ("throw(EngineError('server_error', 'x', status='500'))", "engine_error",
     "TypeError: EngineError.status is of type str, not an int"),
    ("throw(EngineError('server_error', 'x', usage={'input_tokens': 1}))", "engine_error",
     "TypeError: EngineError.usage is of type dict, not a Usage"),
    ("throw(EngineError('server_error', 'x', usage=Usage(1, -1)))", "engine_error",
     "ValueError: EngineError.usage.output_tokens is no count: it is negative"),
    ("throw(Bare())", "engine_error", "AttributeError: "),
    ("throw(asyncio.CancelledError('mine'))", "engine_error", "CancelledError: mine"),
    ("throw(BaseExceptionGroup('all', [asyncio.CancelledError()]))", "engine_error", "BaseExceptionGroup: all"),
    ("throw(Exit('now'))", "engine_error", "Exit: now"),
    ("throw(SystemExit(3))", "engine_error", "SystemExit: 3"),
    ("throw(Mute())", "engine_error", "Mute"),
]  # fmt: skip


@pytest.fixture(scope="module", params=["odd/engine", "odd/local"])
def answered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    said = [*(row[0] for row in ANSWERS), *(row[0] for row in NO_ANSWERS)]
    return Case(tmp_path_factory.mktemp("answers"), said=said, provider=request.param)


@pytest.mark.parametrize(("number", "stored"), [(n, row[1]) for n, row in enumerate(ANSWERS)])
def test_what_an_engine_returns_is_made_plain(answered: Case, number: int, stored: Generation) -> None:
    found = answered.turns()[f"i{number}"]
    found["provider"].pop("unknown_cost", None)  # a price without usage
    assert found == asdict(replace(stored, latency_s=found["latency_s"]))


@pytest.mark.parametrize(
    ("number", "code", "says"), [pytest.param(n, *row[1:], id=row[0]) for n, row in enumerate(NO_ANSWERS)]
)
def test_what_an_engine_returns_wrongly_costs_its_own_trial(answered: Case, number: int, code: str, says: str) -> None:
    found = answered.turns()[f"i{number + len(ANSWERS)}"]
    assert (found["status"], found["error_code"]) == ("failed", code)
    named = found["error"].partition(": generate: ")[2]
    assert (named if code == "engine_error" else found["error"]).startswith(says)


def test_only_the_trials_without_an_answer_are_called_again(answered: Case) -> None:
    good, bad = len(ANSWERS), len(NO_ANSWERS)
    assert [(each.status, each.generated, each.failed) for each in answered.results] == [
        ("failed", good, bad),
        ("failed", 0, bad),
    ]
    items = [f"i{number}" for number in range(good + bad)]
    assert [sorted(each) for each in answered.calls] == [sorted(items), sorted(items[good:])]


class Stalled(Engine):
    async def generate(self, request: Request) -> Generation:
        await asyncio.sleep(3600)
        raise EngineError("engine_error", "not reached")


class StalledLocal(Stalled):
    capabilities = Capabilities(local=True)


@pytest.mark.parametrize("engine", [Stalled(), StalledLocal()])
def test_cancelling_a_call_ends_it_as_cancelled(engine: Engine) -> None:
    async def story() -> None:
        policy = ExecutionPolicySpec()
        endpoint = Endpoint("here", policy, asyncio.Semaphore(1), Budget(policy))
        call = asyncio.create_task(endpoint.call(engine, Request("m", [{"role": "user", "content": "q"}]), None))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(story())


# --- judges -------------------------------------------------------------------------------------------------

JUDGES: list[tuple[dict[str, str], float | None, str]] = [
    # what a judge does, the value, and the reason or what its error says
    ({}, 1.0, ""),
    ({"returns": "Score(Single(0.5))"}, 0.5, ""),
    ({"asks": "[]"}, 1.0, ""),
    ({"asks": "[JudgeRequest(ASKED, {'temperature': 1, 'stop': 'x', 'top_p': None})]"}, 1.0, ""),
    ({"asks": "None"}, None, "TypeError: it returned None, not a list of JudgeRequests"),
    ({"asks": "{}"}, None, "TypeError: it returned dict, not a list of JudgeRequests"),
    ({"asks": "Endless()"}, None, "TypeError: it returned Endless, not a list of JudgeRequests"),
    ({"asks": "[5]"}, None, "TypeError: it returned int, not a JudgeRequest"),
    ({"asks": "[JudgeRequest('judge this')]"}, None, "TypeError: JudgeRequest.messages is no list of dicts"),
    ({"asks": "[JudgeRequest([{'content': 'x'}])]"}, None, "TypeError: JudgeRequest.messages is no list of dicts"),
    ({"asks": "[JudgeRequest([{'role': 'user', 'content': None}])]"}, None, "TypeError: JudgeRequest.messages is no"),
    ({"asks": "[JudgeRequest([{'role': 'user', 'content': [{'text': 5}]}])]"}, None, "TypeError: JudgeRequest.mess"),
    ({"asks": "[JudgeRequest([{'role': 'user', 'content': 'x', 'more': object()}])]"}, None,
     "TypeError: JudgeRequest.messages holds what JSON can't say"),
    ({"asks": "[JudgeRequest(ASKED, {'temperature': math.nan})]"}, None,
     "TypeError: JudgeRequest.params holds what JSON can't say"),
    ({"asks": "[JudgeRequest(ASKED, {'max_tokens': 'many'})]"}, None,
     "ValueError: JudgeRequest.params.max_tokens: should be a whole number"),
    ({"asks": "[JudgeRequest(ASKED, {'seed': '7'})]"}, None,
     "ValueError: JudgeRequest.params.seed: should be a whole number"),
    ({"asks": "[JudgeRequest(ASKED, {'heat': 1})]"}, None, "ValueError: JudgeRequest.params.heat: unknown key"),
    ({"asks": "[JudgeRequest(ASKED, [])]"}, None, "TypeError: JudgeRequest.params is of type list, not a dict"),
    ({"asks": "throw(asyncio.CancelledError('mine')) if judged.value else []"}, None, "CancelledError: mine"),
    ({"again_": "5"}, None, "TypeError: it returned int, not a JudgeRequest"),
    ({"again_": "JudgeRequest([{'role': object(), 'content': ''}])"}, None, "TypeError: JudgeRequest.messages is no"),
    ({"again_": "JudgeRequest(ASKED, {'temperature': math.inf})"}, None, "TypeError: JudgeRequest.params holds what"),
    ({"again_": "throw(Exit('now'))"}, None, "Exit: now"),
    ({"returns": "1.0"}, None, "TypeError: it returned float, not a Score"),
    ({"returns": "Score(1.0, details={'a': {1}})"}, None, "TypeError: Score.details holds what JSON can't say"),
    ({"returns": "throw(SystemExit(3))"}, None, "SystemExit: 3"),
]  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Case:
    judge = {"model": {"model_id": "j", "provider": "odd/engine"}}
    return Case(tmp_path_factory.mktemp("judges"), scores=metrics("odd/judge", (row[0] for row in JUDGES), judge=judge))


@pytest.mark.parametrize(("name", "value", "says"), table_of((str(row[0]), *row[1:]) for row in JUDGES))
def test_what_a_judge_returns_wrongly_costs_its_own_score(
    judged: Case, name: str, value: float | None, says: str
) -> None:
    check_score(judged, name, value, [], says)


def test_a_run_with_odd_judges_is_complete_and_is_not_done_again(judged: Case) -> None:
    assert [each.status for each in judged.results] == ["completed", "completed"]
    assert judged.calls[1] == []
