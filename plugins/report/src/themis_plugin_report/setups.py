"""What one writes under "experimental set-up" in a paper: what was asked, of whom, how it was read and scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from themis_core import RunRecord, counted
from themis_output import safe

__all__ = ["setup_of"]

T = TypeVar("T")
_MEANS = {
    "scored": "Refused, empty and unparsed answers count as the metric's worst value; failed calls, and answers that "
    "could not be scored, are in no mean, and are counted beside it.",
    "parsed": "Means are of parsed answers alone; unparsed ones, failed calls, and answers that could not be scored, "
    "are in no mean, and are counted beside it.",
    "planned_missing_worst": "Means are of all planned trials; refused, empty and unparsed answers, failed calls, "
    "and answers that could not be scored, count as the metric's worst value.",
}
"""By the denominator of a score."""


def setup_of(run: RunRecord) -> str:
    """A few sentences of plain text, made from the run's manifest alone."""
    manifest = run.manifest
    told = " ".join([*_data(manifest), *_models(manifest), *_scoring(manifest), *_versions(run)])
    return safe(told)


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def _data(manifest: Mapping[str, Any]) -> Iterator[str]:
    slices = {each["slice_id"]: each for each in manifest["benchmark"]["slices"]}
    seed = manifest["project"].get("global_seed")
    for each in manifest.get("datasets", ()):
        dataset, query = slices[each["slice_id"]]["dataset"], slices[each["slice_id"]].get("dataset_query") or {}
        source = dataset.get("dataset_id") or "rows in the spec"
        more = [f"{name} {dataset[name]}" for name in ("config_name", "split", "revision") if dataset.get(name)]
        which = f"{source} ({', '.join(more)})".replace("config_name", "configuration") if more else source
        taken = "".join(f", {step}" for step in _taken(query, seed))
        yield (
            f"The slice {each['slice_id']} has {counted(each['items'], 'item')} of {which}{taken} "
            f"(SHA-256 of the items {each['digest'][:16]})."
        )


def _taken(query: Mapping[str, Any], global_seed: int | None) -> Iterator[str]:
    """How the items were chosen, step by step in the order in which it was done."""
    if query.get("item_ids") is not None:
        yield f"chosen by {counted(len(query['item_ids']), 'id')}"
    if query.get("filters"):
        wanted = [f"{name} is {_either(value)}" for name, value in query["filters"].items()]
        yield f"those whose {_listed(wanted)}"
    if query.get("kind", "all") != "all":
        seed = query.get("seed") if query.get("seed") is not None else global_seed or 0
        by = f" by {query['strata_field']}" if query.get("strata_field") else ""
        yield f"taken by the sampling '{query['kind']}'{by} of {query.get('count')} with the seed {seed}"
    if query.get("limit") is not None:
        yield f"at most the first {query['limit']}"


def _either(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _models(manifest: Mapping[str, Any]) -> Iterator[str]:
    slices = manifest["benchmark"]["slices"]
    asked = [each for each in slices if each.get("generation") is not None]
    recorded = [each["slice_id"] for each in slices if each.get("generation") is None]
    if asked:
        yield from _asked(manifest, asked)
    if recorded:
        which = f" of the {'slice' if len(recorded) == 1 else 'slices'} {_listed(recorded)}" if asked else ""
        yield f"The answers{which} are those that the data holds: no model was asked for them."


def _asked(manifest: Mapping[str, Any], asked: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Models, prompts, parameters and samples; what slices have of their own is said of each."""
    benchmark = manifest["benchmark"]
    models, prompts = benchmark["models"], benchmark["prompt_variants"]
    yield f"We evaluated {_listed([_model(each) for each in models])}."
    shots = ", with few-shot examples" if any(each.get("examples") for each in prompts) else ""
    names = _listed([each["id"] for each in prompts])
    yield f"Each item was asked with {counted(len(prompts), 'prompt')}, {names}{shots}."
    yield from _exceptions(asked)
    grids = {
        each["slice_id"]: _grid(each["generation"].get("inference_grid") or benchmark["inference_grid"])
        for each in asked
    }
    for grid, where in _by_slice(grids):
        yield f"Inference parameters{where} were {grid}."
    common = benchmark.get("num_samples", 1)
    drawn = {each["slice_id"]: each["generation"].get("num_samples") or common for each in asked}
    seed = manifest["project"].get("global_seed")
    seeded = "" if seed is None else f" with the global seed {seed}"
    for samples, where in _by_slice(drawn):
        yield f"We drew {counted(samples, 'sample')} per prompt{where}{seeded}."


def _exceptions(asked: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Which slices have some of the models or prompts alone."""
    for each in asked:
        if each["generation"].get("models") is not None:
            yield f"The slice {each['slice_id']} was asked of {_listed(each['generation']['models'])} alone."
        if each.get("prompt_variants") is not None:
            yield f"The slice {each['slice_id']} was asked with {_listed(each['prompt_variants'])}."
        if each.get("prompt_families") is not None:
            yield f"The slice {each['slice_id']} was asked with the prompts of {_listed(each['prompt_families'])}."


def _by_slice(values: Mapping[str, T]) -> Iterator[tuple[T, str]]:
    """Each value, with the words that say in which slices; without, if all have the same."""
    different = list(dict.fromkeys(values.values()))
    for value in different:
        mine = [name for name, each in values.items() if each == value]
        yield value, f" in the {'slice' if len(mine) == 1 else 'slices'} {_listed(mine)}" if different[1:] else ""


def _grid(grid: Mapping[str, Any]) -> str:
    settings = "; or ".join(_settings(each) for each in grid["params"])
    return settings + "".join(f"; {name} in {values}" for name, values in (grid.get("overrides") or {}).items())


def _model(model: Mapping[str, Any]) -> str:
    sent = model.get("model")
    label = f"{model['model_id']} (sent as {sent})" if sent and sent != model["model_id"] else str(model["model_id"])
    return f"{label} through {model['provider']}"


def _settings(params: Mapping[str, Any]) -> str:
    told = [f"{name} {value}" for name, value in params.items() if value not in (None, {}, [])]
    return ", ".join(told) or "the defaults of the provider"


def _scoring(manifest: Mapping[str, Any]) -> Iterator[str]:
    parses: dict[str, dict[str, Any]] = {}
    for each in manifest["benchmark"]["slices"]:
        for parse in each.get("parses") or ():
            parses.setdefault(parse["name"], parse)
    for name, parse in parses.items():
        tried = [str(each["id"]) for each in parse["extractors"]]
        before = [str(each["id"]) for each in parse.get("prepare") or ()]
        prepared = f" after {_listed(before)}" if before else ""
        yield f"The value {name} was read from answers by {', else '.join(tried)}{prepared}."
    scorers = {(each["score"], each["metric"]): each for each in manifest["scorers"]}.values()
    panels = _panels(manifest)
    for each in scorers:
        yield f"The score {each['score']} is {each['component']} (version {each['version']})."
        for panel, where in _by_slice(panels.get((each["score"], each["metric"]), {})):
            yield f"Its verdicts{where} are {panel}."
    means = {each["score"]: _MEANS[each.get("denominator", "scored")] for each in manifest["scorers"]}
    for mean in dict.fromkeys(means.values()):
        of = [name for name, each in means.items() if each == mean]
        yield mean if len(of) == len(means) else f"Of {_listed(of)}: {mean[0].lower()}{mean[1:]}"
    yield "Intervals are 95 % intervals over items."
    yield from map(_aggregate, manifest["benchmark"].get("aggregates") or ())


def _aggregate(each: Mapping[str, Any]) -> str:
    """What a named mean of the spec is a mean of."""
    weighting, levels = each["weighting"], each["levels"]
    groups = {
        "micro": "of all scores",
        "macro": f"of groups by {_listed(levels)}",
        "nested_macro": f"of groups by {', in those by '.join(levels)}",
    }
    score = f"{each['score']}/{each['metric']}" if each.get("metric") else each["score"]
    samples = f", with {each['repeats']} of each item's samples" if each.get("repeats") else ""
    return f"{each['name']} is the {weighting.replace('_', ' ')} mean of {score} {groups[weighting]}{samples}."


def _panels(manifest: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """(score, metric) to slice to the judging models with their settings, for what asks any."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for of_slice in manifest["benchmark"]["slices"]:
        for score in of_slice.get("scores") or ():
            for metric in score["metrics"]:
                if metric.get("judge"):
                    place = (score["name"], metric.get("name") or metric["id"])
                    found.setdefault(place, {})[of_slice["slice_id"]] = (
                        f"by {_listed(list(map(_judge, metric['judge'])))}"
                    )
    return found


def _judge(judge: Mapping[str, Any]) -> str:
    repeats = judge.get("repeats", 1)
    often = f", asked {repeats} times" if repeats > 1 else ""
    return f"{_model(judge['model'])} (parameters: {_settings(judge.get('params') or {})}{often})"


def _versions(run: RunRecord) -> Iterator[str]:
    manifest = run.manifest
    plugins = [
        f"{each['distribution']} {each['version']}"
        if "distribution" in each
        else f"{each['path']} ({each['sha256'][:12]})"
        for each in manifest.get("plugins", ())
    ]
    yield (
        f"All was run with themis-core {manifest.get('themis')} on Python {manifest.get('python')}, with "
        f"{_listed(plugins)}. The run is {run.run_id}, its spec {manifest['spec_digest'][:16]}, its plan "
        f"{str(manifest.get('plan_digest'))[:16]}."
    )
