"""Says what a plan would do: calls, tokens and cost per model, and a rendered sample of each prompt variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from themis_core.components import Store
from themis_core.execution import Counted, JudgeForecast
from themis_core.planning import Plan, Trial, followed, handed_rows
from themis_core.plugins import ComposedModel
from themis_core.records import Generation, Part, Request, RunCost, RunRecord
from themis_core.session.batched import Batched
from themis_core.session.edited import Calls, Edited, code_of, told
from themis_core.session.finished import unscorable_of
from themis_core.session.parts import limits_of, spent_of
from themis_core.specs import PriceSpec
from themis_costs import foreseen_cost, output_limit, prompt_tokens

__all__ = ["PlanReport", "edits_told", "report_of"]

LOOK_UP = 500
"""Trials per look-up."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do."""

    run_id: str
    spec_digest: str
    trials: int
    stored: int
    to_call: int
    per_model: list[dict[str, Any]]
    """`model_id, model, provider, endpoint, params, trials, stored, calls, batches, submitted, input_tokens,
    max_output_tokens, cost`; `batches` says how many of them the calls go into, 0 if they are made one by one;
    `submitted` is how many requests are in batches at their provider, and in no other count;
    tokens are estimates, those of calls that are still to be made. An answer that several trials need is one call, and
    stored for none of them."""
    samples: list[dict[str, Any]]
    """One rendered request per prompt variant: `prompt_variant_id, slice_id, item_id, messages, user`; `user` is what
    the model that plays the user of its conversation is told, to which the first answer is added."""
    slices: list[dict[str, Any]]
    """`slice_id, items, trials`."""
    storage: str
    judges: list[dict[str, Any]]
    """One per judge and judging model, as `JudgeForecast.rows` gives them; their calls are in `to_call`."""
    users: list[dict[str, Any]]
    """One per conversation and model that plays its user: `prompt_variant_id, model_id, provider, endpoint, calls,
    input_tokens, max_output_tokens, cost`; their calls are in `to_call`."""
    at_most: bool
    """Whether there are conversations, which may be over before `max_turns`: then all of this is the most."""
    cost: float | None
    """Of all calls at most, if each has `max_tokens`; else of their input alone. None if none has a price."""
    unknown_cost_calls: int
    """Calls without a price, in no `cost`."""
    may_stop: str
    """Why `max_cost` may stop the run; empty if it can't."""

    unscorable: list[dict[str, Any]]
    """Items to which no answer can be scored: `slice_id, score, metric, reason, items, of_items, examples`."""
    leaks: list[dict[str, Any]]
    """Items that are among the examples of their prompt: `slice_id, prompt_variant_id, items, of_items, replaced,
    left_out, allowed, examples, digest`."""
    edited: list[dict[str, Any]]
    """Code that was edited, so that stored answers are asked again: `component, path, called` (of an application),
    `files` (what differs), `since` (a run id), `content` (what counted then), `calls, cost`, `keep` (how to keep the
    answers)."""
    code: list[dict[str, Any]]
    """Code of applications that engines call: `component, model, path, content` (what keys hold), `files` (name to
    SHA-256), `item_fields`."""
    handed: list[dict[str, Any]]
    """Models that are handed something of each item besides the prompt, or no prompt: `slice_id, model_id, item` (names
    of fields), `reference` (whether they are handed it), `prompt` (whether they are put one)."""
    engines: list[dict[str, Any]]
    """What engines hold while they are started, and how many requests they take at once, for those that say so:
    `provider, models, gpus, cpus, memory_bytes, at_once`."""
    needs: dict[str, float]
    """What one process that works on the run holds, all its engines together: `gpus, cpus, memory_bytes`."""
    variables: list[str]
    """The environment variables that components name in fields `*_env`, such as those of keys; never their values."""
    parts: list[int] = field(default_factory=list)
    """Trials of each part, if `plan` was asked for so many `parts`."""
    part: str | None = None
    """The part of the run that all of this is about, such as `3/16`; None: the whole."""
    max_cost: float | None = None
    """What the execution policy lets the run spend; of a part, its share."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `themis plan --format json` prints it."""
        return asdict(self)


def report_of(made: Plan, store: Store | None, finished: RunRecord | None = None) -> PlanReport:
    """What a run would do; `finished` is the run if it was finished before."""
    per_model: dict[str, dict[str, Any]] = {}
    samples: dict[str, dict[str, Any]] = {}
    users: dict[tuple[str, str], dict[str, Any]] = {}
    judged = JudgeForecast(made)
    edited = Edited(made, store)
    batched = Batched(made, store)
    counted = Counted(item_by_item=len(made.slices) == 1)  # no key is that of two endpoints: they have two models
    if finished is not None and store is not None and made.part is None and _says_it_all(made, store):
        _tally_stored(made, per_model, samples)
    else:
        for endpoint in (None, *made.endpoints()):
            trials, before = made.trials(endpoint), edited.trials(endpoint)
            while batch := list(islice(trials, LOOK_UP)):
                missing = _missing(batch, store)
                judged.add(batch, store)
                calls = [
                    _tally(per_model, users, trial, each, counted, batched)
                    for trial, each in zip(batch, missing, strict=True)
                ]
                edited.add(list(zip(batch, calls, strict=True)), list(islice(before, LOOK_UP)))
                _sample(samples, batch)
    slices = [
        {
            "slice_id": each.composed.spec.slice_id,
            "items": each.items.count,
            "trials": each.items.samples(each.samples) * each.of_sample(),
        }
        for each in made.slices
    ]
    rows = list(per_model.values())
    batched.count(rows)
    asked = [*rows, *judged.rows(), *users.values()]
    priced = [row["cost"] for row in asked if row["cost"] is not None]
    cost = sum(priced) if priced else None
    limit = limits_of(made).max_cost
    spent = RunCost() if store is None else spent_of(store, made, limited=limit is not None)
    location = made.composition.location
    return PlanReport(
        made.run_id,
        made.spec_digest,
        made.count(made.part),
        sum(row["stored"] for row in rows),
        sum(row["calls"] for row in asked),
        rows,
        list(samples.values()),
        slices,
        location,
        judged.rows(),
        list(users.values()),
        any(each.conversations for each in made.slices),
        cost,
        sum(row["calls"] for row in asked if row["cost"] is None) if priced else 0,
        _may_stop(limit, asked, cost or 0.0, spent, made.part),
        [asdict(each) for each in unscorable_of(made, finished)],
        [asdict(each) for each in made.leaks],
        edited.rows(),
        code_of(made.composition),
        [asdict(each) for each in handed_rows([each.composed for each in made.slices])],
        _engine_rows(made.composition.models()),
        asdict(made.composition.needs()),
        made.composition.variables(),
        part=None if made.part is None else str(made.part),
        max_cost=limit,
    )


def _engine_rows(models: Sequence[ComposedModel]) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for each in models:
        needs, at_once = each.needs, each.engine.at_once
        if needs or at_once is not None:
            row = {"provider": each.component, "models": [], **asdict(needs), "at_once": at_once}
            rows.setdefault(id(each.engine), row)["models"].append(each.spec.model_id)
    return list(rows.values())


def edits_told(made: Plan, store: Store) -> list[str]:
    """What a run has to say before it pays for answers that edited engines are asked again; once, when it begins."""
    if made.part is None and store.run(made.run_id) is not None:
        return []
    if made.part is not None and any(each.part in (None, str(made.part)) for each in store.executions(made.run_id)):
        return []
    if not Edited(made, store):
        return []
    return [told(row) for row in report_of(made, store).edited]


def _says_it_all(made: Plan, store: Store) -> bool:
    """Whether it is enough to know of a run that it was finished: each trial has an answer, and no judge was asked."""
    scorers = [scorer for each in made.slices for scorer in each.scorers]
    recorded = any(each.composed.spec.generation is None for each in made.slices)
    if recorded or any(scorer.judges or scorer.baseline for scorer in scorers):
        return False
    return all(each.outcome != "absent" for each in store.outcomes(made.run_id))


def _tally_stored(made: Plan, per_model: dict[str, dict[str, Any]], samples: dict[str, dict[str, Any]]) -> None:
    """Count all trials as stored. Those of one item are made, for each item has as many."""
    items = {each.composed.spec.slice_id: each.items.count for each in made.slices}
    for endpoint in made.endpoints():
        trials = list(made.trials(endpoint, items=1))
        _sample(samples, trials)
        for trial in trials:
            row = _row(per_model, trial)
            row["trials"] += items[trial.slice_id]
            row["stored"] += items[trial.slice_id]


def _sample(samples: dict[str, dict[str, Any]], batch: Sequence[Trial]) -> None:
    """Keep the first request of each prompt variant."""
    for trial in batch:
        if trial.requests[0].messages and trial.prompt_variant_id not in samples:
            samples[trial.prompt_variant_id] = {
                "prompt_variant_id": trial.prompt_variant_id,
                "slice_id": trial.slice_id,
                "item_id": trial.item.id,
                "messages": [m for request in trial.requests for m in request.messages],
                "user": trial.talk.replies[0].messages if trial.talk is not None and trial.talk.replies else [],
            }


def _may_stop(
    max_cost: float | None, calls: Sequence[dict[str, Any]], cost: float, spent: RunCost, part: Part | None
) -> str:
    if max_cost is None or not cost:
        return ""
    what = "run" if part is None else "shard"
    before = f", after {spent.most:.4g} that the {what} has spent" if spent.most else ""
    if cost + spent.most > max_cost:
        allowed = f"{max_cost:g} is allowed" if part is None else f"its share of max_cost is {max_cost:g}"
        return f"max_cost may stop this {what}: its calls may cost {cost:.4g}{before}, and {allowed}"
    if any(row["cost"] and row["max_output_tokens"] is None for row in calls):
        return f"max_cost may stop this run: without max_tokens nothing says what its answers cost{before}"
    return ""


class _Call(NamedTuple):
    """A call that a run has to make, at most."""

    request: Request
    input_tokens: int
    user: ComposedModel | None = None
    """The model that is asked, if it plays the user."""


def _missing(batch: Sequence[Trial], store: Store | None) -> list[list[_Call]]:
    """The calls that a run has to make, trial by trial: none after a stored turn that ended the trial."""
    keys = [request.key for trial in batch for request in trial.own]
    stored = store.stored_generations(keys) if store is not None else set()
    turns = [request.key for trial in batch if len(trial.requests) > 1 for request in trial.own]
    known = [key for key in turns if key in stored]
    answers = store.generations(known) if store is not None and known else {}
    return [[call for call in _calls(trial, answers) if call.request.key not in stored] for trial in batch]


def _calls(trial: Trial, answers: Mapping[str, Generation]) -> Iterator[_Call]:
    """The calls of a trial from the first one on that is not stored, each with the most that was said before it."""
    if len(trial.requests) == 1:
        yield _Call(trial.requests[0], prompt_tokens(trial.requests[0].messages))
        return
    talk = followed(trial, answers)
    if talk.next is None:
        return
    user, replies = (trial.talk.user, trial.talk.replies) if trial.talk else (None, ())
    said, turn = prompt_tokens(talk.next.messages), talk.turns
    is_of_user = talk.is_of_user
    while turn < len(trial.requests):
        if is_of_user:
            request = replies[turn - 1]
            yield _Call(request, said if turn == talk.turns else said + prompt_tokens(request.messages), user)
        else:
            request = trial.requests[turn]
            said += prompt_tokens(request.messages) if turn > talk.turns else 0
            yield _Call(request, said)
            turn += 1
        said += output_limit(request.params) or 0
        is_of_user = user is not None and not is_of_user


def _tally(
    per_model: dict[str, dict[str, Any]],
    per_user: dict[tuple[str, str], dict[str, Any]],
    trial: Trial,
    missing: Sequence[_Call],
    counted: Counted,
    batched: Batched,
) -> Calls:
    """Add a trial to its model's row. Returns the calls that it is the first to need, each with its cost."""
    calls: Calls = []
    row = _row(per_model, trial)
    row["trials"] += 1
    row["stored"] += not missing
    if trial.model is None:
        return calls
    for call in missing:
        if counted.is_new(trial.item.id, call.request.key):
            if batched.has(call.request.key):
                row["submitted"] += 1
                continue
            its = row if call.user is None else _user_row(per_user, trial.prompt_variant_id, call.user)
            price = batched.price_of(trial.model) if call.user is None else call.user.spec.price
            calls.append((call.request, _count(its, call, price)))
    return calls


def _count(row: dict[str, Any], call: _Call, price: PriceSpec | None) -> float | None:
    """Count a call in its row. Returns its cost."""
    limit = output_limit(call.request.params)
    row["calls"] += 1
    row["input_tokens"] += call.input_tokens
    if limit is None or row["max_output_tokens"] is None:
        row["max_output_tokens"] = None
    else:
        row["max_output_tokens"] += limit
    cost = foreseen_cost(call.request, call.input_tokens, (limit or 0) * (call.request.params.get("n") or 1), price)
    if cost is not None:
        row["cost"] = (row["cost"] or 0.0) + cost
    return cost


def _user_row(rows: dict[tuple[str, str], dict[str, Any]], variant: str, user: ComposedModel) -> dict[str, Any]:
    return rows.setdefault(
        (variant, user.spec.model_id),
        {
            "prompt_variant_id": variant,
            "model_id": user.spec.model_id,
            "provider": user.component,
            "endpoint": user.engine.endpoint,
            "calls": 0,
            "input_tokens": 0,
            "max_output_tokens": 0,
            "cost": None,
        },
    )


def _row(per_model: dict[str, dict[str, Any]], trial: Trial) -> dict[str, Any]:
    row = per_model.get(trial.model_id)
    if row is None:
        row = per_model[trial.model_id] = _row_of(trial)
    if trial.params not in row["params"]:
        row["params"].append(trial.params)
    return row


def _row_of(trial: Trial) -> dict[str, Any]:
    """The row of a trial's model, before anything is counted."""
    model = trial.model
    return {
        "model_id": trial.model_id,
        "model": model.spec.sent if model else trial.model_id,
        "provider": model.component if model else "recorded",
        "endpoint": model.engine.endpoint if model else None,
        "params": [],
        "trials": 0,
        "stored": 0,
        "calls": 0,
        "batches": 0,
        "submitted": 0,
        "input_tokens": 0,
        "max_output_tokens": 0,
        "cost": None,
    }
