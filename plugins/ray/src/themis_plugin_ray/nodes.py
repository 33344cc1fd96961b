"""Asks the nodes of a cluster whether workers could work there, before anything is called."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from themis_core import PluginError, SpecError, StorageError, WorkOrder, counted
from themis_plugin_ray.remote import look_around

__all__ = ["check_nodes"]

LOOK_AROUND_S = 180.0
"""Seconds that all nodes have to say what is there; meanwhile they may have to make an environment."""
_LISTED = 3


def check_nodes(
    here: WorkOrder, there: WorkOrder, nodes: Sequence[Mapping[str, Any]], passed: Mapping[str, str]
) -> None:
    """Compare nodes with the driver: `here` and `there` are the order as the driver and as workers read it.

    `nodes` are as `ray.nodes()` has them. Raises PluginError, SpecError or StorageError that names those that differ.
    """
    with _signed(here) as sign:
        found = _ask(there, nodes, passed, sign)
    differing = {name: ", ".join(each["differences"]) for name, each in found.items()}
    if not there.allow_differing and any(differing.values()):
        raise PluginError(
            f"{_counted(differing, nodes)} from the driver: {_listed(differing)}. Install the same versions there, or "
            "accept that results may differ with --allow-differing-versions"
        )
    if missing := [f"{each['missing']} is not on {name}" for name, each in found.items() if each["missing"]]:
        raise SpecError(
            f"{_shortened(missing)}: put the spec's folder where all nodes have it under that path, or let Ray copy it "
            "with --working-dir FOLDER"
        )
    absent = {name: f"{', '.join(each['absent'])} is not set" for name, each in found.items() if each["absent"]}
    if absent:
        raise SpecError(
            f"variables that are set here, and that components of the run read, are missing: {_listed(absent)}. Set "
            "them there before `ray start`, or hand them on with --pass-env NAME"
        )
    stores = {name: each["store"] for name, each in found.items()}
    if any(stores.values()):
        raise StorageError(f"workers there can't use the run's store: {_listed(stores)}")


@contextmanager
def _signed(order: WorkOrder) -> Iterator[str]:
    """Put a file into each folder that the store has; whoever sees it shares that folder."""
    backend, base_dir = order.storage()
    sign = f".themis-{secrets.token_hex(8)}"
    folders = [each.folder for each in backend.only_here(base_dir) if each.folder is not None]
    try:
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / sign).touch()
        except OSError as error:
            raise StorageError(f"a folder of the store can't be written: {error}") from None
        yield sign
    finally:
        for folder in folders:
            with suppress(OSError):
                (folder / sign).unlink(missing_ok=True)


def _ask(
    order: WorkOrder, nodes: Sequence[Mapping[str, Any]], passed: Mapping[str, str], sign: str
) -> dict[str, dict[str, Any]]:
    """What each node says, by its name and address."""
    task = ray.remote(look_around)
    asked = []
    for node in nodes:
        place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        reply = task.options(num_cpus=0, max_retries=0, scheduling_strategy=place).remote(
            order.to_dict(), dict(passed), sign
        )
        asked.append((f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", node["NodeID"], reply))
    until = time.monotonic() + LOOK_AROUND_S
    found: dict[str, dict[str, Any]] = {}
    for name, node_id, reply in asked:
        # Several nodes may be on one machine.
        found[f"{name}, node {node_id[:8]}" if name in found else name] = _reply(name, reply, until)
    return found


def _reply(name: str, reply: Any, until: float) -> dict[str, Any]:
    try:
        found: dict[str, Any] = ray.get(reply, timeout=max(0.0, until - time.monotonic()))
    except GetTimeoutError:
        raise PluginError(
            f"node {name} did not say within {LOOK_AROUND_S:.0f} s what is installed there: look whether it is alive "
            "with `ray status`, and try again"
        ) from None
    except (RayError, ImportError) as error:
        if "ModuleNotFoundError" in str(error) or isinstance(error, ImportError):
            raise PluginError(
                f"themis-plugin-ray can't be imported on node {name} ({_last_line(error)}): install there what is here"
            ) from None
        raise PluginError(f"node {name} can't say what is installed there: {_last_line(error)}") from None
    return found


def _counted(told: Mapping[str, str], nodes: Sequence[Mapping[str, Any]]) -> str:
    many = sum(map(bool, told.values()))
    return f"{counted(many, 'node')} of {len(nodes)} {'differs' if many == 1 else 'differ'}"


def _listed(told: Mapping[str, str]) -> str:
    return _shortened([f"{name}: {what}" for name, what in told.items() if what])


def _shortened(told: Sequence[str]) -> str:
    more = f"; and {len(told) - _LISTED} more" if len(told) > _LISTED else ""
    return "; ".join(told[:_LISTED]) + more


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
