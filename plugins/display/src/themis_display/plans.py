"""A plan as people read it: calls and their costs, what can't be scored, a prompt of each variant as it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from themis_display.shapes import Plan
from themis_output import Figure, as_json, cell, echo, heading, number, quoted, safe, table
from themis_wording import counted

__all__ = ["show_messages", "show_plan"]


def show_plan(report: Plan, edited: Sequence[str] = ()) -> None:
    """Print what a run would do; `edited` says which engines were edited, so that stored answers are asked again."""
    echo(f"run {safe(report.run_id)}, spec {report.spec_digest[:12]}, store {safe(report.storage)}")
    echo(f"{counted(report.trials, 'trial')}, {report.stored} of them stored, {report.to_call} to call")
    if report.part is not None:
        share = "" if report.max_cost is None else f"; of max_cost it may spend {number(report.max_cost)}"
        echo(f"all of this is of shard {report.part}{share}")
    heading("Calls by model (input tokens are an estimate)")
    names = ("calls", "input_tokens", "max_output_tokens", "cost")
    labelled = ("model",) if any(row["model"] != row["model_id"] for row in report.per_model) else ()
    _show_calls(report.per_model, ("model_id", *labelled, "provider", "endpoint", "trials", "stored", *names))
    if any(row["params"] != report.per_model[0]["params"] for row in report.per_model):
        heading("Settings by model")
        _show_dicts(
            [{**row, "params": each} for row in report.per_model for each in row["params"]], ("model_id", "params")
        )
    if report.users:
        heading("Calls by simulated user (tokens are an estimate)")
        _show_calls(report.users, ("prompt_variant_id", "model_id", "provider", "endpoint", *names))
    if report.judges:
        heading("Calls by judge (without re-asks; tokens are an estimate)")
        _show_calls(report.judges, ("slice_id", "score", "metric", "model_id", "provider", "scores", "stored", *names))
    if report.at_most:
        echo("calls, tokens and costs at most: a conversation may be over before max_turns")
    if any(row["cost"] for row in (*report.per_model, *report.judges, *report.users)):
        echo("cost: ≤ if each answer has max_tokens, its most; ≥ where no such limit is set: of the input alone")
    for row in report.per_model:
        if row["batches"]:
            batches = "1 batch" if row["batches"] == 1 else f"{row['batches']} batches"
            echo(f"{safe(row['model_id'])}: its calls go into {batches}, at their price")
        if row["submitted"]:
            waiting = counted(row["submitted"], "request", "is", "are")
            echo(f"{safe(row['model_id'])}: {waiting} in batches at the provider, which a run collects")
    if report.unknown_cost_calls:
        calls = counted(report.unknown_cost_calls, "call", "goes", "go")
        asked = (*report.per_model, *report.judges)
        unpriced = dict.fromkeys(row["model_id"] for row in asked if row["cost"] is None and row["calls"])
        echo(f"{calls} to models without a price ({safe(', '.join(unpriced))}): what is unknown is in no sum")
    if report.may_stop:
        echo(report.may_stop)
    for line in edited:
        echo(safe(line))
    heading("Slices")
    _show_dicts(report.slices, ("slice_id", "items", "trials"))
    if report.code:
        heading("Code that is called, and what identifies it")
        _show_dicts([_code(row) for row in report.code], ("model", "path", "content", "files"))
    if report.handed:
        heading("Item data that engines get")
        _show_dicts([_handed(row) for row in report.handed], ("slice_id", "model_id", "item", "reference", "prompt"))
    if report.engines:
        heading("What engines occupy, and how many calls they take at once")
        _show_dicts([_held(row) for row in report.engines], ("models", "provider", "gpus", "cores", "memory", "calls"))
    if report.unscorable:
        heading("Items that can't be scored, whatever the answer is")
        _show_dicts(
            [{**row, "such as": ", ".join(row["examples"])} for row in report.unscorable],
            ("slice_id", "score", "metric", "reason", "items", "of_items", "such as"),
        )
    if report.leaks:
        heading("Items that are examples in their own prompt")
        _show_dicts(
            [{**row, "such as": ", ".join(row["examples"])} for row in report.leaks],
            ("slice_id", "prompt_variant_id", "items", "of_items", "replaced", "left_out", "allowed", "such as"),
        )
    for sample in report.samples:
        heading(f"Prompt {sample['prompt_variant_id']}, as sent for item {sample['item_id']} of {sample['slice_id']}")
        show_messages(sample["messages"])
        if sample["user"]:
            heading(f"Its simulated user, as asked for item {sample['item_id']} before any answer")
            show_messages(sample["user"])


def _code(row: Mapping[str, Any]) -> dict[str, Any]:
    content = str(row["content"])
    is_digest = len(content) == 64 and set(content) <= set("0123456789abcdef")
    return {**row, "content": content[:12] if is_digest else content, "files": ", ".join(row["files"])}


def _handed(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ", ".join("all fields" if each == "*" else each for each in row["item"])
    reference = "PASSED ON" if row["reference"] else "no"
    return {**row, "item": names or "nothing", "reference": reference, "prompt": "yes" if row["prompt"] else "none"}


def _held(row: Mapping[str, Any]) -> dict[str, Any]:
    memory = f"{number(row['memory_bytes'] / 1e9)} GB" if row["memory_bytes"] else None
    return {
        "models": ", ".join(row["models"]),
        "provider": row["provider"],
        "gpus": row["gpus"] or None,
        "cores": row["cpus"] or None,
        "memory": memory,
        "calls": row["at_once"],
    }


def _show_calls(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    bounded = [{**row, "cost": _bounded(row["cost"], row["max_output_tokens"])} for row in rows]
    _show_dicts(bounded, columns, shared=("provider", "endpoint", "slice", "score", "metric"))


def _bounded(cost: float | None, max_output_tokens: int | None) -> Figure | None:
    if cost is None:
        return None
    return Figure(f"{'≥' if max_output_tokens is None else '≤'} {number(cost)}" if cost else "0")


def _show_dicts(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...], shared: tuple[str, ...] = ()) -> None:
    table(
        ["sent as" if name == "model" else name.removesuffix("_id").replace("_", " ") for name in columns],
        [[row[name] for name in columns] for row in rows],
        shared=shared,
    )


def show_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Print rendered messages: the role, and beneath it what is said; parts that are no text, and calls, as JSON."""
    for message in messages:
        echo(f"  {cell(message.get('role'))}:")
        content = message.get("content")
        calls = message.get("tool_calls") or []
        if calls and not content:
            content = []
        said = [content] if isinstance(content, str) or content is None else [*content]
        for part in [*said, *calls]:
            text = part if isinstance(part, str) else (part or {}).get("text")
            echo(quoted(text if isinstance(text, str) else as_json(part, indent=None)))
