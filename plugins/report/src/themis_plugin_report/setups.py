"""What one writes under "experimental set-up" in a paper: what was asked, of whom, how it was read and scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from themis_core import RunRecord, counted
from themis_output import safe

__all__ = ["setup_of"]


def setup_of(run: RunRecord) -> str:
    """A few sentences of plain text, made from the run's manifest alone."""
    manifest = run.manifest
    told = " ".join([*_data(manifest), *_models(manifest), *_scoring(manifest), *_versions(run)])
    return safe(told)


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def _data(manifest: Mapping[str, Any]) -> Iterator[str]:
    datasets = manifest.get("datasets", ())
    slices = {each["slice_id"]: each for each in manifest["benchmark"]["slices"]}
    for each in datasets:
        dataset, query = slices[each["slice_id"]]["dataset"], slices[each["slice_id"]].get("dataset_query") or {}
        source = dataset.get("dataset_id") or "rows in the spec"
        more = [f"{name} {dataset[name]}" for name in ("config_name", "split", "revision") if dataset.get(name)]
        taken = "" if query.get("kind", "all") == "all" else f", taken by the sampling '{query['kind']}'"
        which = f"{source} ({', '.join(more)})".replace("config_name", "configuration") if more else source
        yield (
            f"The slice {each['slice_id']} has {counted(each['items'], 'item')} of {which}{taken} "
            f"(SHA-256 of the items {each['digest'][:16]})."
        )


def _models(manifest: Mapping[str, Any]) -> Iterator[str]:
    benchmark = manifest["benchmark"]
    models = [_model(each) for each in benchmark["models"]]
    prompts = [each["id"] for each in benchmark["prompt_variants"]]
    yield f"We evaluated {_listed(models)}." if models else "The answers are those that the data holds."
    if prompts:
        examples = (
            ", with few-shot examples" if any(each.get("examples") for each in benchmark["prompt_variants"]) else ""
        )
        yield f"Each item was asked with {counted(len(prompts), 'prompt')}, {_listed(prompts)}{examples}."
    settings = [_settings(each) for each in benchmark["inference_grid"]["params"]]
    swept = "".join(
        f"; {name} in {values}" for name, values in benchmark["inference_grid"].get("overrides", {}).items()
    )
    yield f"Inference parameters were {'; or '.join(settings)}{swept}."
    samples, seed = benchmark.get("num_samples", 1), manifest["project"].get("global_seed")
    yield f"We drew {counted(samples, 'sample')} per prompt{'' if seed is None else f' with the global seed {seed}'}."


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
    for each in scorers:
        judged = ", by judging models" if each["kind"] == "judge" else ""
        yield f"The score {each['score']} is {each['component']} (version {each['version']}){judged}."
    yield (
        "Refused, empty and unparsed answers count as the metric's worst value; failed calls, and answers that could "
        "not be scored, are in no mean, and are counted beside it. Intervals are 95 % intervals over items."
    )


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
