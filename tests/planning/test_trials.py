"""Identities: keys change with what can change an answer, and with nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from themis_core import BenchmarkSpec, ProjectSpec, canonical_json, digest
from themis_core.planning import Plan, Trial, score_key, survey
from themis_core.plugins.compose import compose
from themis_core.reading import LoadedSpecs, Place

PLUGIN = """
from typing import ClassVar

from themis_core import Capabilities, Engine, Extraction, Extractor, Generation, Metric, Score, hookimpl


class Plain(Engine):
    flavour: str = "plain"
    timeout: float = 1.0
    not_identity = frozenset({"timeout"})

    async def generate(self, request):
        return Generation("answered", text="x")


class Seeded(Plain):
    capabilities = Capabilities(seed=True)


class Newer(Plain):
    version: ClassVar[int] = 2


class Whole(Extractor):
    strict: bool = False

    def extract(self, text):
        return Extraction(text)


class Exact(Metric):
    fold: bool = False

    def score(self, item, generation, value):
        return Score(1.0)


@hookimpl
def themis_register_engines(register):
    for cls in (Plain, Seeded, Newer):
        register(cls.__name__.lower(), cls)


@hookimpl
def themis_register_extractors(register):
    register("whole", Whole)


@hookimpl
def themis_register_metrics(register):
    register("exact", Exact)
"""

SPEC: dict[str, Any] = {
    "project": {"project_name": "p"},
    "benchmark": {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "mine/plain", "extras": {"flavour": "plain"}}],
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/inline",
                    "fields": {"reference": "gold"},
                    "extras": {"rows": [{"id": "a", "q": "1+1?", "gold": "2", "note": "n"}]},
                },
                "generation": {},
                "parses": [{"name": "all", "extractors": ["mine/whole"]}],
                "scores": [{"name": "accuracy", "parse": "all", "metrics": ["mine/exact"]}],
            }
        ],
    },
}
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def make(*changes: Change) -> Plan:
        data = copy.deepcopy(SPEC)
        for change in changes:
            change(data)
        project = ProjectSpec.model_validate({**data["project"], "plugins": {"mine": "mine.py"}})
        benchmark = BenchmarkSpec.model_validate(data["benchmark"])
        place = Place()
        composition = compose(LoadedSpecs(project, benchmark, tmp_path, tmp_path, place, place))
        made = survey(composition, place)
        made.check()
        return made

    return make


def trials(plan: Plan) -> list[Trial]:
    return [trial for endpoint in (None, *plan.endpoints()) for trial in plan.trials(endpoint)]


def keys(plan: Plan) -> dict[str, str]:
    trial = trials(plan)[0]
    (scorer, *_) = plan.slices[0].scorers
    return {
        "run": plan.run_id,
        "trial": trial.trial_id,
        "generation": trial.key,
        "score": score_key(trial.key, trial.item, scorer),
    }


def model(data: dict[str, Any]) -> dict[str, Any]:
    return data["benchmark"]["models"][0]  # type: ignore[no-any-return]


def variant(data: dict[str, Any]) -> dict[str, Any]:
    return data["benchmark"]["prompt_variants"][0]  # type: ignore[no-any-return]


def slice_of(data: dict[str, Any]) -> dict[str, Any]:
    return data["benchmark"]["slices"][0]  # type: ignore[no-any-return]


def row(data: dict[str, Any]) -> dict[str, Any]:
    return slice_of(data)["dataset"]["extras"]["rows"][0]  # type: ignore[no-any-return]


ANSWER = {"run", "trial", "generation", "score"}
CHANGES: list[tuple[str, Change, set[str]]] = [
    ("nothing", lambda d: None, set()),
    # what can change an answer
    ("model id", lambda d: model(d).update(model_id="n"), ANSWER),
    ("engine", lambda d: model(d).update(provider="mine/seeded"), ANSWER),
    ("engine version", lambda d: model(d).update(provider="mine/newer"), ANSWER),
    ("engine config", lambda d: model(d)["extras"].update(flavour="spicy"), ANSWER),
    ("params", lambda d: d["benchmark"].update(inference_grid={"params": [{"temperature": 0.5}]}), ANSWER),
    ("params of the slice", lambda d: slice_of(d)["generation"].update(
        inference_grid={"params": [{"max_tokens": 5}]}), ANSWER),
    ("seed", lambda d: d["benchmark"].update(inference_grid={"params": [{"seed": 5}]}), ANSWER),
    ("message", lambda d: variant(d).update(messages=[{"role": "user", "content": "{{ item.q }}!"}]), ANSWER),
    ("role", lambda d: variant(d).update(messages=[{"role": "system", "content": "{{ item.q }}"}]), ANSWER),
    ("question", lambda d: row(d).update(q="2+2?"), ANSWER),
    ("item id", lambda d: row(d).update(id="b"), ANSWER),
    ("follow-up", lambda d: variant(d).update(follow_ups=[{"role": "user", "content": "Sure?"}]), ANSWER),
    # what can change a score only, or which trial it is
    ("reference", lambda d: row(d).update(gold="3"), {"run", "trial", "score"}),
    ("a column that no prompt shows", lambda d: row(d).update(note="other"), {"run", "trial", "score"}),
    ("metric config", lambda d: slice_of(d)["scores"][0].update(
        metrics=[{"id": "mine/exact", "config": {"fold": True}}]), {"run", "score"}),
    ("extractor config", lambda d: slice_of(d)["parses"][0].update(
        extractors=[{"id": "mine/whole", "config": {"strict": True}}]), {"run", "score"}),
    ("no parse", lambda d: slice_of(d)["scores"][0].pop("parse"), {"run", "score"}),
    ("variant id", lambda d: variant(d).update(id="w"), {"run", "trial"}),
    ("dataset split", lambda d: slice_of(d)["dataset"].update(split="test"), {"run", "trial"}),
    # names
    ("slice id", lambda d: slice_of(d).update(slice_id="t"), {"run"}),
    ("score name", lambda d: slice_of(d)["scores"][0].update(name="correct"), {"run"}),
    ("metric label", lambda d: slice_of(d)["scores"][0].update(
        metrics=[{"id": "mine/exact", "name": "e"}]), {"run"}),
    ("dimensions", lambda d: slice_of(d).update(dimensions={"a": "b"}), {"run"}),
    ("benchmark id", lambda d: d["benchmark"].update(benchmark_id="c"), {"run"}),
    ("project name", lambda d: d["project"].update(project_name="q"), {"run"}),
    ("another slice before it", lambda d: d["benchmark"]["slices"].append(
        {**copy.deepcopy(slice_of(d)), "slice_id": "t"}), {"run"}),
    ("another sample", lambda d: d["benchmark"].update(num_samples=2), {"run"}),
    # what changes nothing
    ("policy", lambda d: d["project"].update(execution_policy={"max_retries": 0}), set()),
    ("researcher", lambda d: d["project"].update(researcher_id="r"), set()),
    ("storage", lambda d: d["project"].update(storage={"backend": "sqlite", "root_dir": "x"}), set()),
    ("a global seed, where the engine takes none", lambda d: d["project"].update(global_seed=7), {"run"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change", "expected"), CHANGES, ids=[each[0] for each in CHANGES])
def test_a_change_renews_these_identities(
    planned: Callable[..., Plan], what: str, change: Change, expected: set[str]
) -> None:
    before, after = keys(planned()), keys(planned(change))
    assert {name for name in before if before[name] != after[name]} == expected


def test_a_timeout_or_a_price_changes_no_answer(planned: Callable[..., Plan]) -> None:
    before = keys(planned())
    for change in (
        lambda d: model(d)["extras"].update(timeout=9),
        lambda d: model(d).update(price={"input_per_million": 1, "output_per_million": 1}),
    ):
        after = keys(planned(change))
        assert (after["trial"], after["generation"], after["score"]) == (
            before["trial"], before["generation"], before["score"],
        )  # fmt: skip


# --- seeds --------------------------------------------------------------------------------------------------


def seeds(plan: Plan) -> list[int | None]:
    return [trial.requests[0].seed for trial in trials(plan)]


def sampled(count: int) -> Change:
    return lambda d: d["benchmark"].update(num_samples=count)


def with_seed(data: dict[str, Any]) -> None:
    data["benchmark"]["inference_grid"] = {"params": [{"seed": 5}]}


def globally(data: dict[str, Any]) -> None:
    data["project"]["global_seed"] = 7


def seeded(data: dict[str, Any]) -> None:
    model(data)["provider"] = "mine/seeded"


def test_a_seed_is_sent_only_where_one_is_asked_for(planned: Callable[..., Plan]) -> None:
    assert seeds(planned(sampled(2))) == [None, None]  # the engine takes none
    assert seeds(planned(sampled(2), globally)) == [None, None]
    assert seeds(planned(seeded)) == [None]  # sample 0, and no seed anywhere
    assert seeds(planned(seeded, with_seed)) == [5]


@pytest.mark.parametrize("changes", [(seeded,), (seeded, with_seed), (seeded, globally), (seeded, globally, with_seed)])
def test_samples_have_seeds_of_their_own_which_more_samples_keep(
    planned: Callable[..., Plan], changes: tuple[Change, ...]
) -> None:
    few, many = planned(*changes, sampled(2)), planned(*changes, sampled(5))
    assert seeds(many)[:2] == seeds(few)
    assert len(set(seeds(many))) == 5
    assert all(seed is None or 0 <= seed < 2**31 for seed in seeds(many))
    assert [trial.key for trial in trials(many)][:2] == [trial.key for trial in trials(few)]


def test_samples_differ_even_if_the_engine_takes_no_seed(planned: Callable[..., Plan]) -> None:
    assert len({trial.key for trial in trials(planned(sampled(3)))}) == 3


def test_the_global_seed_gives_other_seeds(planned: Callable[..., Plan]) -> None:
    def other(data: dict[str, Any]) -> None:
        data["project"]["global_seed"] = 8

    assert seeds(planned(seeded, globally)) != seeds(planned(seeded, other))
    assert seeds(planned(seeded, globally)) == seeds(planned(seeded, globally))


# --- follow-ups and streams ---------------------------------------------------------------------------------


def test_a_follow_up_keeps_the_key_of_the_turn_before(planned: Callable[..., Plan]) -> None:
    def asking(*texts: str) -> Change:
        return lambda d: variant(d).update(follow_ups=[{"role": "user", "content": text} for text in texts])

    (alone,) = trials(planned())
    (both,) = trials(planned(asking("Sure about {{ item.q }}", "Why?")))
    (other,) = trials(planned(asking("Sure about {{ item.q }}", "How?")))
    assert [request.messages for request in both.requests] == [
        [{"role": "user", "content": "1+1?"}],
        [{"role": "user", "content": "Sure about 1+1?"}],
        [{"role": "user", "content": "Why?"}],
    ]
    turns, others = ([request.key for request in trial.requests] for trial in (both, other))
    assert turns[0] == alone.key
    assert (turns[:2], turns[2] == others[2]) == (others[:2], False)
    assert (len(set(turns)), both.key) == (3, turns[2])


def test_the_count_is_that_of_the_stream(planned: Callable[..., Plan]) -> None:
    def wide(data: dict[str, Any]) -> None:
        data["benchmark"]["models"].append({"model_id": "n", "provider": "mine/seeded"})
        data["benchmark"]["prompt_variants"].append({**copy.deepcopy(variant(data)), "id": "w"})
        data["benchmark"]["inference_grid"] = {"params": [{}], "overrides": {"temperature": [0, 0.5, 1]}}
        slice_of(data)["dataset"]["extras"]["rows"] = [{"id": i, "q": f"{i}?", "gold": 0} for i in range(5)]

    plan = planned(wide, sampled(2))
    found = trials(plan)
    assert len(found) == plan.count() == 5 * 2 * 2 * 3 * 2  # items, variants, models, settings, samples
    assert len({trial.trial_id for trial in found}) == len(found)
    assert len({trial.key for trial in found}) == len(found) / 2  # the two variants say the same


# --- digests ------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
PLAIN = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@settings(deadline=None)  # a machine may be slow
@given(PLAIN)
def test_the_canonical_form_is_one_for_equal_data(value: Any) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical_json(shuffled(value)) == text == canonical_json(json.loads(text))
    assert digest(shuffled(value)) == digest(value)


@settings(deadline=None)  # a machine may be slow
@given(PLAIN, PLAIN)
def test_different_data_has_a_different_digest(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (canonical_json(one) == canonical_json(other))
    if one != other:
        assert digest(one) != digest(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), {"a": [float("nan")]}])
def test_numbers_that_json_lacks_have_no_digest(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest(value)


def test_the_digest_is_the_sha_256_of_the_canonical_text() -> None:
    # printf '{"a":[1,2.5,null,true],"\\u00fc":"\\ud800"}' | sha256sum
    value = {"ü": "\ud800", "a": [1, 2.5, None, True]}
    assert canonical_json(value) == r'{"a":[1,2.5,null,true],"\u00fc":"\ud800"}'
    assert digest(value) == "bc3d098a1dbb3f4c63c263a2e558b6529c15ca166e4c09cc3c035b42b0904a19"
